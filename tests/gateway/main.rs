//! Whole-gateway tests: the real binary, real sockets, real peers. A module for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod bodies;
mod configuration;
mod docs;
mod exchange;
mod explain;
mod fences;
mod filters;
mod generated;
mod hardening;
mod harness;
mod http1;
mod http2;
mod links;
mod nginx;
mod observe;
mod process;
mod protocols;
mod readme;
mod reload;
mod routing;
mod secrets;
mod targets;
mod upstreams;
