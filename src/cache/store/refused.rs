//! Why there is no entry.

/// Why a response is not, or no longer, being stored. The response itself goes on to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is larger than one body may be.
    TooLarge,
    /// There is no room: fills that run, and bodies that are being read, take all of it.
    NoRoom,
    /// It has another length than it announced.
    Length,
    /// A purge has hit it.
    Purged,
    /// What was to be refreshed is not in the store any more.
    Gone,
}
