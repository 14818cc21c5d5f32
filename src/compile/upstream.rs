//! Upstreams out of their configuration.

mod check;

use std::collections::HashMap;
use std::sync::Arc;

use wiregate_sdk::build::Kept;
use wiregate_sdk::value::Problem;

use super::{Config, Context, Tasks, Upstreams};
use crate::config::model::upstream as model;
use crate::config::model::upstream::health::Start;
use crate::observe::metrics::UpstreamMetrics;
use crate::upstream::{
    Address, Check, Connections, Endpoint, Interval, Reach, Site, States, Upstream, keep,
};

/// Builds all upstreams, with the health that their endpoints had before.
pub(super) fn build(
    config: &Config,
    cx: &Context<'_>,
    kept: &Kept,
    tasks: &mut Tasks,
    problems: &mut Vec<Problem>,
) -> Upstreams {
    let mut upstreams = HashMap::new();
    let here = config.zone.as_ref().map(|zone| zone.as_str());
    for (name, config) in &config.upstreams {
        check::check(name, config, problems);
        let name: Arc<str> = name.as_str().into();
        let endpoints = endpoints(&name, config, here, kept, problems);
        let metrics = UpstreamMetrics::new(cx.metrics.clone(), name.clone());
        let upstream = Upstream::new(name.clone(), config, endpoints, metrics);
        let upstream = Arc::new(upstream.timed_by(cx.clock.clone()));
        if let Some(health) = &config.health {
            let connections = kept.get_or_insert("health".to_owned(), Connections::default);
            let check = Check::new(upstream.clone(), health.clone(), connections);
            tasks.push(Box::pin(check.run()));
        }
        if config.outliers.is_some() || config.slow_start.is_some() {
            let key = format!("interval\u{0}{name}");
            let interval = kept.get_or_insert(key, Interval::default);
            tasks.push(Box::pin(keep(upstream.clone(), interval)));
        }
        upstreams.insert(name, upstream);
    }
    upstreams
}

/// The endpoints that are written, with the state that they had before.
fn endpoints(
    upstream: &str,
    config: &model::Upstream,
    here: Option<&str>,
    kept: &Kept,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Endpoint>> {
    let states = states(upstream, config, kept);
    let reach = Reach::new(config);
    let mut endpoints = Vec::with_capacity(config.endpoints.len());
    for endpoint in &config.endpoints {
        let (address, weight) = parts(endpoint);
        match reach.peer(address) {
            Ok(peer) => {
                let state = states.of(address);
                let site = site(endpoint, here);
                let endpoint = Endpoint::new(address.clone(), weight, peer, state).placed(site);
                endpoints.push(Arc::new(endpoint));
            }
            Err(error) => problems.push(Problem::new(
                endpoint.place.clone(),
                format!("endpoint `{address}` cannot be reached: {error}"),
            )),
        }
    }
    endpoints
}

/// The states that endpoints had before. Without a check nothing would ever make an unhealthy
/// endpoint healthy again, so that they begin anew where checks come or go.
fn states(upstream: &str, config: &model::Upstream, kept: &Kept) -> Arc<States> {
    let start = config.health.as_ref().map(|health| health.start);
    let rule = start.map_or("unchecked".to_owned(), |start| start.to_string());
    let healthy = start != Some(Start::Unhealthy);
    kept.get_or_insert(format!("upstream\u{0}{upstream}\u{0}{rule}"), || {
        States::new(healthy)
    })
}

fn parts(endpoint: &model::Endpoint) -> (&Address, u32) {
    match endpoint {
        model::Endpoint::Short(address) => (address, 1),
        model::Endpoint::Full(weighted) => (&weighted.address, weighted.weight.get()),
    }
}

/// The place of an endpoint among the others, for a gateway that is `here`.
fn site(endpoint: &model::Endpoint, here: Option<&str>) -> Site {
    match endpoint {
        model::Endpoint::Short(_) => Site::default(),
        model::Endpoint::Full(weighted) => {
            let zone = weighted.zone.as_ref().map(|zone| zone.as_str());
            Site {
                priority: weighted.priority,
                near: here.is_some() && zone == here,
                zone: zone.map(Into::into),
            }
        }
    }
}
