//! The cache: how responses are stored, and when a stored one may answer.

pub mod rules;
pub mod store;
