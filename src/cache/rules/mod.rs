//! The rules of HTTP caching (RFC 9111), without any I/O: heads and times go in, decisions come out.

mod age;
pub mod conditional;
mod date;
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

use std::time::SystemTime;

pub use age::Sent;

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    date::seconds(time)
}
