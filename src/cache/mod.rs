//! The cache: how responses are stored, and when a stored one may answer.

mod dealt;
pub mod rules;
pub mod store;

pub use dealt::Dealt;
