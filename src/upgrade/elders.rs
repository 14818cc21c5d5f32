//! Processes that are not this one's parent or child, and whether they live.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::wire::{Line, Received};

/// How long to wait before it is told again that something was lost.
const SELDOM: Duration = Duration::from_millis(100);

/// A process that has a pipe's other end, which it never writes to, for as long as it lives.
#[derive(Clone, Debug)]
pub(super) struct Elder {
    /// Its number.
    pub(super) pid: u32,
    /// This end of the pipe.
    pub(super) life: Arc<OwnedFd>,
    /// The line on which it tells what it purges. Whoever came next reads it, for as long as that lives.
    pub(super) line: Option<Arc<OwnedFd>>,
}

impl Elder {
    /// This process, which lives for as long as it keeps what comes with it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn own() -> io::Result<(Self, PipeWriter)> {
        let (life, kept): (PipeReader, _) = io::pipe()?;
        let elder = Self {
            pid: std::process::id(),
            life: Arc::new(life.into()),
            line: None,
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
    /// Those with these numbers and pipes, and, behind the pipe of each that has one, lines.
    pub(super) fn new(pids: Vec<u32>, lines: &[bool], descriptors: Vec<OwnedFd>) -> Self {
        let mut descriptors = descriptors.into_iter().map(Arc::new);
        let each = pids.into_iter().enumerate().map_while(|(number, pid)| {
            let life = descriptors.next()?;
            let has_line = lines.get(number).is_some_and(|has_line| *has_line);
            let line = has_line.then(|| descriptors.next()).flatten();
            Some(Elder { pid, life, line })
        });
        Self(each.collect())
    }

    /// Those that live.
    pub(super) fn living(&self) -> impl Iterator<Item = &Elder> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.0.iter().filter(move |elder| elder.lives(Some(&now)))
    }

    /// Hears out all that have a line, the newest first: whoever did so before has ended, and one that has ended since may have
    /// said something that nobody has heard. Where what one says cannot be read, since
    /// a part of it was read before, `lost` is told, and again for what it says from then on. Blocks.
    pub(super) fn hear_out(&self, mut heard: impl FnMut(Received), mut lost: impl FnMut()) {
        for elder in self.0.iter().rev() {
            let line = elder.line.as_ref().and_then(|line| line.try_clone().ok());
            let Some(line) = line.map(|line| Line::new(UnixStream::from(line))) else {
                continue;
            };
            let end = loop {
                match line.hear(None) {
                    Ok(received) => heard(received),
                    Err(error) => break error,
                }
            };
            if end.kind() == io::ErrorKind::UnexpectedEof {
                continue;
            }
            tracing::warn!(
                "what an earlier process purges cannot be made out: all caches are emptied whenever it says \
                 something, until it has ended"
            );
            lost();
            // There is no telling where the next message begins, but that there is one.
            while let Ok(true) = line.skip() {
                lost();
                thread::sleep(SELDOM);
            }
        }
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

    use super::super::wire::Message;
    use super::*;

    #[test]
    fn whoever_keeps_its_end_lives_and_the_last_one_is_waited_for() {
        let ((one, first), (other, second)) = (Elder::own().unwrap(), Elder::own().unwrap());
        let pipe = |elder: Elder| Arc::into_inner(elder.life).unwrap();
        let elders = Elders::new(vec![7, 8], &[], vec![pipe(one), pipe(other)]);
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

    #[test]
    fn what_one_has_said_before_it_ended_is_heard() {
        let (one, kept) = Elder::own().unwrap();
        let (line, theirs) = UnixStream::pair().unwrap();
        let life = Arc::into_inner(one.life).unwrap();
        let elders = Elders::new(vec![7], &[true], vec![life, theirs.into()]);
        let until = std::time::Instant::now() + Duration::from_secs(20);
        Line::new(line).say(&Message::Purged, until).unwrap();
        drop(kept);
        assert_eq!(elders.living().count(), 0);
        let mut heard = Vec::new();
        elders.hear_out(|received| heard.push(received.message), || unreachable!());
        assert_eq!(heard, [Message::Purged]);
    }

    #[test]
    fn those_that_live_are_heard_out_and_what_cannot_be_read_is_told() {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        let (one, _first) = Elder::own().unwrap();
        let (other, _second) = Elder::own().unwrap();
        let pipe = |elder: Elder| Arc::into_inner(elder.life).unwrap();
        let [(old, newer), (older, new)] = [(); 2].map(|()| UnixStream::pair().unwrap());
        let descriptors = vec![pipe(one), newer.into(), pipe(other), new.into()];
        let elders = Elders::new(vec![7, 8], &[true, true], descriptors);
        let older = Line::new(older);
        older.say(&Message::Purged, until).unwrap();
        older.cut();
        // Somebody else has read the beginning of this one.
        io::Write::write_all(&mut &old, b"\"say\":\"purged\"}").unwrap();
        let old = Line::new(old);
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let heard = scope.spawn(move || {
                let mut heard = Vec::new();
                let lost = || tell.send(()).unwrap();
                elders.hear_out(|received| heard.push(received.message), lost);
                heard
            });
            let until_lost = || told.recv_timeout(Duration::from_secs(20)).unwrap();
            until_lost();
            // The rest of that may count once more; what is said later counts in any case.
            while told.recv_timeout(Duration::from_millis(300)).is_ok() {}
            old.say(&Message::Purged, until).unwrap();
            until_lost();
            drop(old);
            assert_eq!(heard.join().unwrap(), [Message::Purged]);
        });
    }
}
