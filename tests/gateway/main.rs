//! Whole-gateway tests: the real binary, real sockets, real peers. A module for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod bodies;
mod configuration;
mod docs;
mod exchange;
mod explain;
mod faults;
mod fences;
mod filters;
mod forwarding;
mod generated;
mod hardening;
mod harness;
mod links;
mod observe;
mod origin;
mod process;
mod readme;
mod reload;
mod resilience;
mod routing;
mod targets;
mod upstreams;
