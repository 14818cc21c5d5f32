//! What systemd and this process tell each other: sockets, readiness, state and signs of life.
//! Without systemd nothing of it is there, and nothing is said.

mod notify;

use std::env;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::listen::{Bound, Handed};

pub use notify::Notify;

/// The first descriptor that systemd passes (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;
/// What belongs to one process, and not to those that it starts.
pub const OF_ONE_PROCESS: [&str; 4] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// What systemd has given this process.
#[derive(Debug, Default)]
pub struct Systemd {
    /// How it is told things.
    pub notify: Notify,
    /// How often it wants a sign of life, at least.
    pub watchdog: Option<Duration>,
    /// Sockets that it has opened.
    pub sockets: Vec<Handed>,
}

impl Systemd {
    /// What the environment says. Called once, before anything else opens a descriptor.
    ///
    /// # Errors
    /// Descriptors that are no sockets which listen, more of them than a process can have, or a notification socket that
    /// cannot be used.
    pub fn of_process() -> io::Result<Self> {
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let ours = |pid: Option<u64>| pid.is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0);
        let count = number("LISTEN_FDS").filter(|_| number("LISTEN_PID").is_some());
        let count = count.filter(|_| ours(number("LISTEN_PID"))).unwrap_or(0);
        Ok(Self {
            notify: Notify::new(env::var_os("NOTIFY_SOCKET").as_deref())?,
            watchdog: watchdog
                .filter(|_| ours(number("WATCHDOG_PID")))
                .map(Duration::from_micros),
            sockets: sockets(count)?,
        })
    }
}

/// Whether what is written there goes to the journal, by `$JOURNAL_STREAM` (`systemd.exec(5)`): all that a
/// unit starts inherits it, wherever that writes to.
pub fn is_journal(output: impl AsFd) -> bool {
    env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stream(output, &stream))
}

/// Whether it has this device and this inode.
fn is_stream(output: impl AsFd, stream: &str) -> bool {
    let Ok(stat) = rustix::fs::fstat(output) else {
        return false;
    };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn sockets(count: u64) -> io::Result<Vec<Handed>> {
    descriptors(count)?.map(socket).collect()
}

/// The descriptors that systemd passes, where it says that there are so many.
fn descriptors(count: u64) -> io::Result<Range<RawFd>> {
    let end = RawFd::try_from(count).ok();
    let end = end.and_then(|count| FIRST.checked_add(count));
    end.map(|end| FIRST..end).ok_or_else(|| {
        let message = format!(
            "`LISTEN_FDS` is {count}: expected as many descriptors as a process can have, at most {}",
            RawFd::MAX - FIRST
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

#[expect(
    unsafe_code,
    reason = "the descriptors are known by their numbers alone"
)]
fn socket(number: RawFd) -> io::Result<Handed> {
    // SAFETY: by the protocol of LISTEN_FDS, which names this process, these descriptors are open and
    // are its own to keep; they are taken once, before anything else here opens or closes one.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let bound = Bound::lent(descriptor).map_err(|error| {
        let message = format!("systemd passes descriptor {number}: {error}");
        io::Error::new(error.kind(), message)
    })?;
    Ok(Handed {
        name: None,
        bind: bound.address.clone(),
        bound: vec![bound],
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let (file, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let meta = file.metadata().unwrap();
        let stream = format!("{}:{}", meta.dev(), meta.ino());
        assert!(is_stream(&file, &stream));
        assert!(!is_stream(&other, &stream), "it inherits the variable only");
        for nothing in ["", ":", "8:1:2", "a:b"] {
            assert!(!is_stream(&file, nothing), "{nothing}");
        }
    }

    #[test]
    fn more_descriptors_than_a_process_can_have_are_refused() {
        assert_eq!(descriptors(0).unwrap(), 3..3);
        assert_eq!(descriptors(2).unwrap(), 3..5);
        let most = u64::from(i32::MAX.unsigned_abs()) - 3;
        assert_eq!(descriptors(most).unwrap().end, i32::MAX);
        for count in [most + 1, most + 3, most + 4, u64::MAX] {
            let error = descriptors(count).unwrap_err().to_string();
            let expected = format!(
                "`LISTEN_FDS` is {count}: expected as many descriptors as a process can have, at most 2147483644"
            );
            assert_eq!(error, expected);
        }
    }
}
