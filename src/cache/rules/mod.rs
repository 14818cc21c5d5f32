//! The rules of HTTP caching (RFC 9111), without any I/O: heads and times go in, decisions come out.

mod age;
pub mod conditional;
mod date;
mod edits;
mod fields;
mod last;
mod list;
pub mod marks;
pub mod range;
pub mod request;
pub mod response;
pub mod reuse;
pub mod status;
pub mod storing;
#[cfg(test)]
mod storing_tests;
#[cfg(test)]
mod updating_tests;
pub mod vary;

use std::time::{Duration, SystemTime};

pub use age::Came;

/// The moment that a field tells (RFC 9110, 5.6.7); `now` settles the century of a year with two
/// digits.
pub fn date(text: &[u8], now: SystemTime) -> Option<SystemTime> {
    let since = date::parse(text, date::seconds(now))?;
    let since = Duration::from_secs(u64::try_from(since).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    date::seconds(time)
}
