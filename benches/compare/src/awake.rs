//! Keeps the processors of the load awake while it is measured what the proxy takes of its own.
//!
//! A processor of a virtual machine that has nothing to do is given back to the host, and whoever
//! wakes it waits for the host, some microseconds each time. The proxy does so with what it sends, the
//! more often the more the load waits for it: a slower contender would pay for being slower once more.
//! A process of the class for idle work (`sched(7)`) makes way for everybody at once, and leaves no
//! processor without work.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::process::{Process, processors};

/// Keeps processors awake until dropped.
#[derive(Debug)]
pub struct Awake {
    #[cfg_attr(not(test), expect(dead_code, reason = "they end when it is dropped"))]
    busy: Vec<Process>,
}

impl Awake {
    /// Keeps these awake, a list as that of `taskset`; the logs lie in `folder`.
    ///
    /// # Errors
    /// A program that cannot be started.
    pub fn keep(list: &str, folder: &Path) -> io::Result<Self> {
        let numbers = processors(list).unwrap_or_default().into_iter();
        let busy = numbers.map(|number| {
            let mut command = Command::new("setpriv"); // nobody is busy for one who was killed
            command.args(["--pdeathsig", "KILL", "chrt", "--idle", "0"]);
            command.args(["taskset", "--cpu-list", &number.to_string()]);
            command.args(["sh", "-c", "while :; do :; done"]);
            Process::start(&format!("awake-{number}"), command, folder)
        });
        Ok(Self {
            busy: busy.collect::<io::Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process::Pinning;

    /// `SCHED_IDLE`, field 41 of `/proc/PID/stat`: proc(5).
    const IDLE: &str = "5";

    #[test]
    fn who_keeps_a_processor_awake_makes_way_for_all_others() {
        let Some(pinning) = Pinning::detect() else {
            return; // the proxy has the only one
        };
        let folder = tempfile::tempdir().unwrap();
        let awake = Awake::keep(&pinning.others, folder.path()).unwrap();
        assert!(!awake.busy.is_empty());
        for busy in &awake.busy {
            let start = Instant::now();
            let policy = || {
                let stat = fs::read_to_string(format!("/proc/{}/stat", busy.pid())).unwrap();
                let rest = stat.rsplit_once(") ").unwrap().1;
                rest.split(' ').nth(41 - 3).unwrap().to_owned()
            };
            while policy() != IDLE || busy.used().unwrap().all == 0.0 {
                assert!(start.elapsed() < Duration::from_secs(30), "it is not busy");
                std::thread::yield_now();
            }
        }
    }
}
