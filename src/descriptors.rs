//! File descriptors: which of them clients leave to others, connections to endpoints to health checks and names, and all of
//! these to what keeps the gateway in hand.
//!
//! The system gives the lowest number that is free, so a number says how many there are.

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, getrlimit};

/// Clients leave a part of the descriptors to others: a sixteenth, but so many at least and at most, and no more than half
/// of those that were free when the gateway began to accept. Half of that is for connections to endpoints, half of the rest for
/// health checks and names, and what is left for reloads, upgrades and the admin API.
const PART: u64 = 16;
const LEAST: u64 = 32;
const MOST: u64 = 256;

/// How many were taken when the gateway began to accept.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Counts those that are taken before the first client comes.
pub fn count_taken() {
    if let Some(next) = next(io::stdin()) {
        TAKEN.store(u64::try_from(next).unwrap_or(0), Ordering::Relaxed);
    }
}

/// The descriptors that clients may have are those below this one.
pub fn for_clients() -> RawFd {
    below(1)
}

/// What the gateway opens a socket of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To take a request to an endpoint.
    Request,
    /// To find out about endpoints: health checks and names.
    Upkeep,
}

impl Purpose {
    /// Whether a socket for this may have the descriptor that it has.
    ///
    /// # Errors
    /// What the system would say, had it none.
    pub fn may_have(self, descriptor: impl AsFd) -> io::Result<()> {
        match descriptor.as_fd().as_raw_fd() < self.below() {
            true => Ok(()),
            false => Err(Errno::MFILE.into()),
        }
    }

    fn below(self) -> RawFd {
        below(match self {
            Self::Request => 2,
            Self::Upkeep => 4,
        })
    }
}

fn below(share: u64) -> RawFd {
    let most = getrlimit(Resource::Nofile).current;
    most.map_or(RawFd::MAX, |most| {
        let kept = kept(most, TAKEN.load(Ordering::Relaxed)) / share;
        RawFd::try_from(most - kept).unwrap_or(RawFd::MAX)
    })
}

fn kept(most: u64, taken: u64) -> u64 {
    (most / PART)
        .clamp(LEAST, MOST)
        .min(most.saturating_sub(taken) / 2)
}

/// Whether there is one more below this one; asks with one that is open.
pub fn is_one_left(open: impl AsFd, below: RawFd) -> bool {
    next(open).is_some_and(|next| next < below)
}

fn next(open: impl AsFd) -> Option<RawFd> {
    let next = fcntl_dupfd_cloexec(open, 0).ok()?;
    Some(next.as_raw_fd())
}

/// Why clients, or connections to endpoints, get no more of them, though the system would give some.
pub fn kept_back() -> io::Error {
    io::Error::other("the descriptors that are left are kept for others")
}

/// Whether the system says by this that there is no descriptor.
pub fn is_lack(error: &(dyn Error + 'static)) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let error = error.downcast_ref::<io::Error>();
    (error.and_then(io::Error::raw_os_error)).is_some_and(|error| errors.contains(&error))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_part_of_the_descriptors_is_left() {
        assert_eq!(
            [1024, 4096, 1 << 20].map(|most| kept(most, 60)),
            [64, 256, 256]
        );
        assert_eq!([144, 64, 50].map(|most| kept(most, 44)), [32, 10, 3]);
        assert_eq!([kept(64, 64), kept(0, 9)], [0, 0]);
        let [requests, upkeep] = [Purpose::Request, Purpose::Upkeep].map(Purpose::below);
        assert!(for_clients() < requests && requests < upkeep);
    }

    #[test]
    fn the_next_descriptor_tells_whether_one_is_left() {
        let open = File::open("/dev/null").unwrap();
        assert!(is_one_left(&open, RawFd::MAX));
        assert!(!is_one_left(&open, open.as_raw_fd().min(3)));
        assert!(Purpose::Request.may_have(&open).is_ok());
        assert!(is_lack(&io::Error::from(Errno::MFILE)) && !is_lack(&kept_back()));
    }
}
