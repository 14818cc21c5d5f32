//! Filters that guard: who is let in, and what browsers may do.

pub mod body_limit;
pub mod cors;
pub mod ip;
