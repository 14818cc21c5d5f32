//! The cache: how responses are stored, and when a stored one may answer.

mod failure;
pub mod store;
mod stored;

pub use failure::Failure;
pub use stored::{Stored, Times};
