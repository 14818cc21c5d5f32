//! Where responses are stored: in memory, or in memory with a disk behind it.
//!
//! A [`Store`] is shared by all workers and outlives reloads. A request asks [`Store::find`] first,
//! which neither waits nor allocates. Where nothing fits, [`Store::join`] settles who fetches: the
//! first gets a [`Lead`], the others wait for what becomes of it. A lead ends as a [`Fill`], which
//! readers follow while it runs, as a refreshed entry, as a failure that all who waited share, or with
//! the word that this response is not for the cache.
//!
//! The index is in parts, each behind a lock of its own that is held for a look or a change, never
//! while anything is read, written or waited for.

mod body;
mod disk;
mod entry;
mod figures;
mod fill;
mod flight;
mod heir;
mod incoming;
mod key;
mod lead;
mod numbers;
mod options;
mod outgoing;
mod part;
mod parts;
mod prefetch;
mod purge;
mod reader;
mod refused;
mod room;
mod shard;
mod sketch;
#[cfg(test)]
mod tests;

pub use body::Broken;
pub use entry::Entry;
pub use figures::Figures;
pub use fill::Fill;
pub use flight::{Asker, Join, Outcome, Waiting};
pub use heir::Leaving;
pub use incoming::Incoming;
pub use key::{Key, Url};
pub use lead::Lead;
pub use options::{Disk, Options};
pub use outgoing::{Bounds, FORMAT, Outgoing};
pub use parts::{Find, FindGood, Store};
pub(super) use prefetch::will_write;
pub use purge::{Mode, What};
pub use reader::Reader;
pub use refused::Refused;
pub(super) use room::allocated;
