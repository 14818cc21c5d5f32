//! File descriptors: how many clients leave for others, and how seldom it is said that there are none.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// Clients leave a part of the descriptors to reloads, upgrades, the admin API and connections to endpoints: a
/// sixteenth, but so many at least and at most; where there are few of all, a quarter.
const PART: u64 = 16;
const LARGEST_PART: u64 = 4;
const LEAST: u64 = 32;
const MOST: u64 = 256;
/// How often the same is said in the log, at most.
const EVERY: Duration = Duration::from_secs(60);

/// The descriptors that clients may have are those below this one: the system gives the lowest that is free.
pub(super) fn for_clients() -> RawFd {
    let most = getrlimit(Resource::Nofile).current;
    most.map_or(RawFd::MAX, below)
}

fn below(most: u64) -> RawFd {
    let kept = (most / PART).clamp(LEAST, MOST).min(most / LARGEST_PART);
    let left = most - kept;
    RawFd::try_from(left).unwrap_or(RawFd::MAX)
}

/// Whether clients may have one more descriptor; asks with one that is open.
pub(super) fn is_one_left(open: impl AsFd, below: RawFd) -> bool {
    use std::os::fd::AsRawFd;
    fcntl_dupfd_cloexec(open, 0).is_ok_and(|next| next.as_raw_fd() < below)
}

/// Why no more clients are accepted, though the system would.
pub(super) fn kept_back() -> io::Error {
    io::Error::other("the descriptors that are left are not for clients")
}

/// Something that happens again and again, and is said once a minute at most.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// It has happened; says how often since it was last said, where it is to be said now.
    pub fn happened(&self) -> Option<u64> {
        self.happened_at(Instant::now())
    }

    fn happened_at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.times += 1;
        let is_due = said.last.is_none_or(|last| now >= last + EVERY);
        is_due.then(|| {
            said.last = Some(now);
            std::mem::take(&mut said.times)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_part_of_the_descriptors_is_left() {
        assert_eq!([0, 20, 128, 1024].map(below), [0, 15, 96, 960]);
        assert_eq!(below(1 << 20), (1 << 20) - 256);
        assert_eq!(below(u64::MAX), RawFd::MAX);
    }

    #[test]
    fn the_next_descriptor_tells_whether_one_is_left() {
        let open = File::open("/dev/null").unwrap();
        assert!(is_one_left(&open, RawFd::MAX));
        assert!(!is_one_left(&open, open.as_raw_fd().min(3)));
    }

    #[test]
    fn what_happens_all_the_time_is_said_once_a_minute() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.happened_at(start), Some(1));
        for seconds in 1..60 {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(seldom.happened_at(now), None);
        }
        assert_eq!(seldom.happened_at(start + EVERY), Some(60));
        assert_eq!(seldom.happened_at(start + EVERY), None);
    }
}
