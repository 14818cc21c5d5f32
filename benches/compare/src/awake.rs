//! Keeps the load and the origin awake while it is measured what the proxy takes of its own.
//!
//! A program that waits for an answer sleeps, and whoever sends it wakes it: an interrupt for its processor, which in a
//! virtual machine goes through the host, some microseconds each time. Here that would be the proxy, the more often
//! the more the load waits for it: a slower contender would pay for being slower once more. Peers
//! of a gateway are on other machines, and cost it nothing of the kind. So the load and the origin ask the system again
//! and again whether something has come, and let each other run in between (`awake.c`).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("../awake.c");

/// A library that keeps programs awake.
#[derive(Debug)]
pub struct Awake {
    library: PathBuf,
}

impl Awake {
    /// Compiles it into `folder`.
    ///
    /// # Errors
    /// A compiler that is missing, or what it says.
    pub fn build(folder: &Path) -> io::Result<Self> {
        let (source, library) = (folder.join("awake.c"), folder.join("awake.so"));
        std::fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot run cc: {error}")))?;
        match compiled.status.success() {
            true => Ok(Self { library }),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&compiled.stderr).into_owned(),
            )),
        }
    }

    /// What this starts stays awake as long as something comes for it all the time.
    pub fn keep(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::contender::Stage;
    use crate::origin::Origin;
    use crate::scenario::Scenario;

    #[test]
    fn an_origin_is_awake_while_it_is_asked_and_sleeps_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage {
            binaries: folder.path(),
            folder: folder.path(),
            memory: folder.path(),
        };
        let awake = Awake::build(folder.path()).unwrap();
        let origin = Origin::start(Scenario::ALL[0], &stage, None, Some(&awake)).unwrap();
        let used = || origin.used().unwrap().all;
        let start = Instant::now();
        let before = used();
        while used() - before < 0.2 {
            assert!(start.elapsed() < Duration::from_secs(30), "it sleeps");
            origin.requests().unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(200));
        let before = used();
        std::thread::sleep(Duration::from_millis(500));
        assert!(used() - before < 0.1, "it does not sleep");
    }
}
