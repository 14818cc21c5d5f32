//! Child processes: started on chosen processors, read through `/proc`, always stopped.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contender::DESCRIPTORS;
use crate::scenario::Scenario;

/// What Linux counts processor time in, on every architecture it is read through `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Which processors the proxy has for itself, and which the load and the origin share.
#[derive(Clone, Debug)]
pub struct Pinning {
    pub proxy: String,
    pub others: String,
}

impl Pinning {
    /// The first allowed processor for the proxy and the rest for the others; nothing where there
    /// is only one, or no `taskset`.
    pub fn detect() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let allowed = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Command::new("taskset").arg("--version").output().ok()?;
        let mut allowed = processors(allowed.trim())?.into_iter();
        let proxy = allowed.next()?.to_string();
        let others: Vec<String> = allowed.map(|number| number.to_string()).collect();
        (!others.is_empty()).then(|| Self {
            proxy,
            others: others.join(","),
        })
    }
}

/// Reads `0-2,5`.
fn processors(list: &str) -> Option<Vec<u32>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    let ranges = list.split(',').map(range).collect::<Option<Vec<_>>>()?;
    Some(ranges.into_iter().flatten().collect())
}

/// `program` on these processors, or anywhere.
pub fn pinned(program: &Path, processors: Option<&str>) -> Command {
    match processors {
        None => Command::new(program),
        Some(list) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", list]).arg(program);
            command
        }
    }
}

/// Lets this process, and so those that it starts, open enough files.
pub fn raise_descriptors() {
    let limit = format!("--nofile={DESCRIPTORS}");
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    if !raised.is_ok_and(|status| status.success()) {
        eprintln!("the limit of open files cannot be raised to {DESCRIPTORS}");
    }
}

/// An address of the loopback interface that was free a moment ago.
///
/// # Errors
/// No free port.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A running process with all its children. Dropping it stops them.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to a file in `folder`.
    ///
    /// # Errors
    /// A program that cannot be started, by name.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> io::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot start {name}: {error}"))
            })?;
        Ok(Self {
            name: name.into(),
            child,
            log,
        })
    }

    /// Waits until what is asked is answered with a 200.
    ///
    /// # Errors
    /// A process that ends, or does not get there within 30 s: with what it printed.
    pub fn wait_ready(&mut self, probe: &Probe) -> io::Result<()> {
        let start = Instant::now();
        loop {
            let answer = probe.ask();
            if matches!(&answer, Ok(status) if status == "200") {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_LIMIT {
                let state =
                    ended.map_or("is not ready".into(), |status| format!("ended: {status}"));
                let printed = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "{} {state}; its last answer: {answer:?}; it printed:\n{printed}",
                    self.name
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processor time used so far by the process, its threads and its children.
    ///
    /// # Errors
    /// A process that has ended.
    pub fn used(&self) -> io::Result<Used> {
        let tree = self.tree()?;
        let seconds =
            |ticks: fn(&Stat) -> u64| tree.iter().map(ticks).sum::<u64>() as f64 / TICKS_PER_SECOND;
        let (user, all) = (
            seconds(|stat| stat.user),
            seconds(|stat| stat.user + stat.system),
        );
        Ok(Used { user, all })
    }

    /// Resident memory of the process and its children, in bytes.
    ///
    /// # Errors
    /// A process that has ended.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let kibibytes = self.tree()?.into_iter().map(|stat| {
            let status = fs::read_to_string(format!("/proc/{}/status", stat.pid))?;
            let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = field.and_then(|field| field.split_whitespace().next()?.parse().ok());
            Ok(number.unwrap_or(0))
        });
        Ok(kibibytes.sum::<io::Result<u64>>()? * 1024)
    }

    /// The number of the process itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, name: &str) {
        send(name, &[Stat::of(self.child.id())]);
    }

    fn tree(&self) -> io::Result<Vec<Stat>> {
        let mut rest = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // A process may end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) {
                rest.extend(Stat::parse(pid, &text));
            }
        }
        let mut family: Vec<Stat> = rest
            .extract_if(.., |stat| stat.pid == self.child.id())
            .collect();
        let mut next = 0;
        while next < family.len() {
            let parent = family[next].pid;
            family.extend(rest.extract_if(.., |stat| stat.parent == parent));
            next += 1;
        }
        match family.is_empty() {
            true => Err(io::Error::other(format!("{} has ended", self.name))),
            false => Ok(family),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let family = self.tree().unwrap_or_default();
        // SIGINT is the quick end for Pingora, for nginx and for Wiregate.
        send("INT", &[Stat::of(self.child.id())]);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < STOP_LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            send("KILL", &family);
            // Killed, so it cannot take long.
            let _ = self.child.wait();
        }
    }
}

fn send(signal: &str, to: &[Stat]) {
    let pids = to.iter().map(|stat| stat.pid.to_string());
    let sent = Command::new("kill")
        .arg(format!("-{signal}"))
        .args(pids)
        .status();
    if let Err(error) = sent {
        eprintln!("cannot run kill: {error}");
    }
}

/// Processor time, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// In the program itself.
    pub user: f64,
    /// There, and in the kernel on its behalf.
    pub all: f64,
}

/// What `/proc/PID/stat` tells: proc(5).
#[derive(Debug, Default, PartialEq)]
struct Stat {
    pid: u32,
    parent: u32,
    user: u64,
    system: u64,
}

impl Stat {
    fn of(pid: u32) -> Self {
        Self {
            pid,
            ..Self::default()
        }
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        // The second field is a name in brackets that may hold anything; state is the third.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            user: ticks(14)?,
            system: ticks(15)?,
        })
    }
}

/// One request, by curl.
pub struct Probe(Vec<String>);

impl Probe {
    /// A request as clients of a scenario send it.
    pub fn new(scenario: Scenario, address: SocketAddr, headers: &[&str]) -> Self {
        let scheme = if scenario.tls() { "https" } else { "http" };
        let url = format!("{scheme}://{address}{}", scenario.path());
        let mut arguments = match (scenario.http2(), scenario.tls()) {
            (true, false) => vec!["--http2-prior-knowledge".to_owned()],
            (true, true) => vec!["--http2".to_owned()],
            (false, _) => vec!["--http1.1".to_owned()],
        };
        for header in headers {
            arguments.extend(["--header".to_owned(), (*header).to_owned()]);
        }
        arguments.push(url);
        Self(arguments)
    }

    /// A request as proxies send it to the origin.
    pub fn of_origin(scenario: Scenario, address: SocketAddr, path: &str) -> Self {
        let version = match scenario.http2_upstream() {
            true => "--http2-prior-knowledge",
            false => "--http1.1",
        };
        Self(vec![version.to_owned(), format!("http://{address}{path}")])
    }

    /// The answer: its head, as it came, and its body.
    ///
    /// # Errors
    /// There is no curl, or no answer.
    pub fn answer(&self) -> io::Result<String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--insecure", "--include"])
            .args(["--max-time", "10"])
            .args(&self.0)
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )),
        }
    }

    fn ask(&self) -> io::Result<String> {
        let output = Command::new("curl")
            .args(["--silent", "--insecure", "--max-time", "2"])
            .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
            .args(&self.0)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_whose_name_looks_like_one() {
        let line = "42 (a) R (b) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 3 0 100 1 1";
        let expected = Stat {
            pid: 42,
            parent: 7,
            user: 150,
            system: 50,
        };
        assert_eq!(Stat::parse(42, line), Some(expected));
    }

    #[test]
    fn reads_a_list_of_processors() {
        assert_eq!(processors("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(processors("3"), Some(vec![3]));
        assert_eq!(processors("a"), None);
    }

    #[test]
    fn counts_children_and_stops_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // The child is busy; its parent only waits, and passes the end on.
        let script = "sh -c 'while :; do :; done' & trap 'kill $!; exit' INT; echo $!; wait";
        command.args(["-c", script]);
        let process = Process::start("busy", command, folder.path()).unwrap();
        let start = Instant::now();
        while process.used().unwrap().all < 0.05 {
            assert!(start.elapsed() < START_LIMIT, "a busy child is not counted");
            std::thread::yield_now();
        }
        assert!(process.resident_bytes().unwrap() > 4096);
        let printed = fs::read_to_string(folder.path().join("busy.log")).unwrap();
        let child = format!("/proc/{}", printed.trim());
        assert!(Path::new(&child).exists());
        drop(process);
        while Path::new(&child).exists() {
            assert!(start.elapsed() < START_LIMIT, "the child is still there");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_process_that_ends_is_an_error_with_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such file >&2; exit 78"]);
        let mut process = Process::start("broken", command, folder.path()).unwrap();
        let address = free_address().unwrap();
        let probe = Probe::new(Scenario::Http1, address, &[]);
        let error = process.wait_ready(&probe).unwrap_err().to_string();
        assert!(
            error.starts_with("broken ended: exit status: 78;"),
            "{error}"
        );
        assert!(error.ends_with("it printed:\nno such file\n"), "{error}");
    }
}
