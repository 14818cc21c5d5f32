//! Filters that say how much may pass.

pub mod rate_limit;
