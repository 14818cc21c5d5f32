//! What the operating system says of the process, by the names that Prometheus' clients use.

use std::fs;

use prometheus::{Counter, IntGauge};
use rustix::process::{Resource, getrlimit};

use super::family::families;

families! {
    /// The process
    pub(super) struct System {
        /// Processor time that the process has used, user and system.
        cpu: Counter = "process_cpu_seconds_total" [];
        /// Open file descriptors.
        open_fds: IntGauge = "process_open_fds" [];
        /// How many file descriptors may be open.
        max_fds: IntGauge = "process_max_fds" [];
        /// Virtual memory.
        virtual_memory: IntGauge = "process_virtual_memory_bytes" [];
        /// Resident memory.
        resident_memory: IntGauge = "process_resident_memory_bytes" [];
        /// When the process was started.
        start_time: IntGauge = "process_start_time_seconds" [];
        /// Threads of the process.
        threads: IntGauge = "process_threads" [];
    }
}

/// Ticks of the clock that `/proc` counts in, per second: part of what Linux promises to programs.
const TICKS: f64 = 100.0;
/// The place of `state`, the first field behind the name, in proc_pid_stat(5).
const STATE: usize = 3;

impl System {
    /// Brings all of it up to date; what cannot be read stays as it was.
    pub(super) fn look(&self) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let stat = read("/proc/self/stat");
        if let (Some(user), Some(system)) = (field(&stat, 14), field(&stat, 15)) {
            let used = (user + system) as f64 / TICKS;
            self.cpu.inc_by((used - self.cpu.get()).max(0.0));
        }
        let booted = read("/proc/stat");
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime "));
        let booted: Option<u64> = booted.and_then(|seconds| seconds.trim().parse().ok());
        let started = field(&stat, 22).map(|ticks| (ticks as f64 / TICKS) as u64);
        show(&self.threads, field(&stat, 20));
        show(&self.virtual_memory, field(&stat, 23));
        show(&self.start_time, booted.zip(started).map(|(a, b)| a + b));
        show(&self.resident_memory, resident(&read("/proc/self/status")));
        // One of them is the folder itself.
        let open = fs::read_dir("/proc/self/fd").map(|folder| folder.count().saturating_sub(1));
        show(&self.open_fds, open.ok().map(|count| count as u64));
        let most = getrlimit(Resource::Nofile).current;
        show(&self.max_fds, Some(most.unwrap_or(u64::MAX)));
    }
}

fn show(gauge: &IntGauge, value: Option<u64>) {
    if let Some(value) = value {
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

/// A field of proc_pid_stat(5), by its number there. The name of the process, which comes before
/// them, can hold anything.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let field = fields.split_ascii_whitespace().nth(number - STATE)?;
    field.parse().ok()
}

/// Resident memory in bytes, from proc_pid_status(5).
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) S (b) R 1 2 3 4 5 6 7 8 9 10 110 205 13 14 15 16 17 18 4242 1000 9 10";
        assert_eq!((field(stat, 14), field(stat, 15)), (Some(110), Some(205)));
        assert_eq!((field(stat, 20), field(stat, 22)), (Some(17), Some(4242)));
        assert_eq!((field(stat, 90), field("", 14)), (None, None));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn what_is_told_of_this_process_can_be() {
        let system = System::new(&prometheus::Registry::new());
        let start = std::time::Instant::now();
        while system.cpu.get() < 0.02 {
            assert!(start.elapsed().as_secs() < 60);
            system.look();
        }
        let before = system.cpu.get();
        system.look();
        assert!(system.cpu.get() >= before);
        assert!(system.resident_memory.get() > 1 << 20);
        assert!(system.virtual_memory.get() >= system.resident_memory.get());
        assert!((3..=system.max_fds.get()).contains(&system.open_fds.get()));
        assert!(system.threads.get() >= 1);
        let now = super::super::timestamp(std::time::SystemTime::now());
        assert!((now - 86_400..=now + 5).contains(&system.start_time.get()));
    }
}
