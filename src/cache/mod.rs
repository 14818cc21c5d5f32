//! The cache: how responses are stored, and when a stored one may answer.

mod dealt;
mod failure;
pub mod rules;
pub mod store;
mod stored;

pub use dealt::Dealt;
pub use failure::{Failure, UPSTREAM_ERROR};
pub use stored::{Draft, Head, Selector, Stored, Times, Variant};
