//! Whole-gateway tests: the real binary, real sockets, real peers. A module for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod balance;
mod bodies;
mod cache;
mod configuration;
mod consumers;
mod deb;
mod docs;
mod endpoints;

mod examples;
mod exchange;
mod explain;
mod faults;
mod fences;
mod filters;
mod forwarding;
mod generated;
mod hardening;
mod harness;
mod health;
mod house;
mod http1;
mod http2;
mod issuer;
mod links;
mod listeners;
mod nginx;
mod observe;
mod origin;
mod overload;
mod peers;
mod process;
mod protocols;
mod readme;
mod redis;
mod reload;
mod resilience;
mod routing;
mod secrets;
mod sticky;
mod systemd;
mod targets;
mod top;
mod traces;
mod upgrade;
mod upstreams;
