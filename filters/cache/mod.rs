//! Filters that keep responses.

pub mod http;
mod lifetimes;
#[cfg(test)]
mod tests;
