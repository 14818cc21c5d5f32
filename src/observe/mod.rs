//! What operators see of the traffic.

pub mod access_log;
pub mod metrics;
pub mod traces;
