//! Processes that are not this one's parent or child, and whether they live.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A process that has a pipe's other end, which it never writes to, for as long as it lives.
#[derive(Clone, Debug)]
pub(super) struct Elder {
    /// Its number.
    pub(super) pid: u32,
    /// This end of the pipe.
    pub(super) life: Arc<OwnedFd>,
}

impl Elder {
    /// This process, which lives for as long as it keeps what comes with it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn own() -> std::io::Result<(Self, PipeWriter)> {
        let (life, kept): (PipeReader, _) = std::io::pipe()?;
        let elder = Self {
            pid: std::process::id(),
            life: Arc::new(life.into()),
        };
        Ok((elder, kept))
    }

    /// Whether it lives; waits, with `None` until it does not.
    fn lives(&self, patience: Option<&Timespec>) -> bool {
        loop {
            let mut asked = [PollFd::new(&*self.life, PollFlags::empty())];
            match poll(&mut asked, patience) {
                Err(Errno::INTR) => {}
                // Whoever cannot be asked is not waited for.
                polled => return polled == Ok(0),
            }
        }
    }
}

/// All that came before a process, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Elders(Arc<[Elder]>);

impl Elders {
    /// Those with these numbers and pipes.
    pub(super) fn new(pids: Vec<u32>, pipes: Vec<OwnedFd>) -> Self {
        let each = pids.into_iter().zip(pipes);
        let each = each.map(|(pid, life)| Elder {
            pid,
            life: Arc::new(life),
        });
        Self(each.collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that live.
    pub(super) fn living(&self) -> impl Iterator<Item = &Elder> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.0.iter().filter(move |elder| elder.lives(Some(&now)))
    }

    /// Waits until none of them lives. Blocks.
    pub(super) fn wait(&self) {
        for elder in self.0.iter() {
            elder.lives(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_keeps_its_end_lives_and_the_last_one_is_waited_for() {
        let ((one, first), (other, second)) = (Elder::own().unwrap(), Elder::own().unwrap());
        let pipe = |elder: Elder| Arc::into_inner(elder.life).unwrap();
        let elders = Elders::new(vec![7, 8], vec![pipe(one), pipe(other)]);
        let living = || elders.living().map(|elder| elder.pid).collect::<Vec<_>>();
        assert_eq!(living(), [7, 8]);
        drop(first);
        assert_eq!(living(), [8]);
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                elders.wait();
                tell.send(()).unwrap();
            });
            let early = told.recv_timeout(Duration::from_millis(50));
            assert!(early.is_err(), "one of them lives");
            drop(second);
            told.recv_timeout(Duration::from_secs(20)).unwrap();
        });
        assert!(living().is_empty());
    }
}
