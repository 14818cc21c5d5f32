//! Traces, as a receiver of OTLP/HTTP gets them.

mod attempts;
mod configured;
mod ending;
mod outage;
mod parents;
mod receiver;
mod requests;

use super::harness::{Echo, Gateway, echo, upstream};
use receiver::Receiver;

/// The section that sends spans to a receiver, soon; with these further options.
fn to(receiver: &Receiver, options: &str) -> String {
    let endpoint = receiver.url();
    format!("traces: {{ endpoint: \"{endpoint}\", interval: 100ms{options} }}\n")
}

/// A gateway with one route to an echo server, a receiver, and this further options of `traces`.
fn traced(options: &str) -> (Gateway, Echo, Receiver) {
    let (origin, receiver) = (echo(), Receiver::start());
    let routes = "routes: [{ name: all, match: { path: /** }, upstream: app }]\n";
    let text = to(&receiver, options) + &upstream(&origin) + routes;
    (Gateway::start(&text), origin, receiver)
}

fn exported(gateway: &Gateway) -> f64 {
    gateway.metric("wiregate_traces_exported_total")
}

fn dropped(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!(
        "wiregate_traces_dropped_total{{reason=\"{reason}\"}}"
    ))
}
