//! What the admin API tells of an upstream.

use std::time::Instant;

use serde_json::{Value, json};

use crate::upstream::{Endpoint, Upstream};

/// The state of an upstream and of its endpoints.
pub(super) fn state(upstream: &Upstream, now: Instant) -> Value {
    let members = upstream.members();
    let endpoints = members.endpoints.iter();
    let endpoints: Vec<Value> = endpoints.map(|e| endpoint(upstream, e, now)).collect();
    json!({ "panics": members.panics, "endpoints": endpoints })
}

fn endpoint(upstream: &Upstream, endpoint: &Endpoint, now: Instant) -> Value {
    let ejected = endpoint.ejected_for(now);
    let ejected = ejected.filter(|_| upstream.policy.outliers.is_some());
    json!({
        "address": &*endpoint.label,
        "available": upstream.policy.has(endpoint),
        "health": upstream.health(endpoint, now).word(),
        "ejected_for_seconds": ejected.map(|left| left.as_secs_f64()),
        "ejections": endpoint.ejections(),
        "errors": endpoint.failures(),
        "in_flight": endpoint.in_flight(),
        "latency_seconds": endpoint.latency(now),
        "weight": endpoint.weight,
        "weight_percent": upstream.policy.percent(endpoint, now),
        "priority": endpoint.site.priority,
        "zone": endpoint.site.zone.as_deref(),
        "near": endpoint.site.near,
    })
}
