//! Wiregate beside a bare Pingora proxy and nginx: what its speed claims are measured with.
//!
//! `compare` starts an origin and every contender, then puts each under the same closed-loop load
//! in alternating rounds, and prints medians and ratios. See `docs/performance.md` for the method.

pub mod alone;
pub mod attack;
pub mod awake;
pub mod bare;
pub mod check;
pub mod command;
pub mod contender;
mod files;
mod frame;
pub mod generator;
pub mod idle;
pub mod load;
mod nginx;
pub mod origin;
pub mod paced;
pub mod process;
pub mod report;
pub mod scenario;
