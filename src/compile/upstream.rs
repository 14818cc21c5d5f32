//! Upstreams out of their configuration.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use pingora_http::RequestHeader;
use wiregate_sdk::build::Kept;
use wiregate_sdk::value::{At, Place, Problem};

use super::{Tasks, Upstreams, resilience};
use crate::config::model::upstream as model;
use crate::observe::metrics::{Metrics, UpstreamMetrics};
use crate::upstream::{Address, Check, Connections, Endpoint, Reach, States, Upstream, Vitals};

const MOST_ENDPOINTS: usize = 500;
const MOST_WEIGHT: u32 = 100;

/// Builds all upstreams, with the health that their endpoints had before.
pub(super) fn build(
    configs: &IndexMap<String, At<model::Upstream>>,
    timeouts: &model::Timeouts,
    metrics: &Arc<Metrics>,
    kept: &Kept,
    tasks: &mut Tasks,
    problems: &mut Vec<Problem>,
) -> Upstreams {
    let mut upstreams = HashMap::new();
    resilience::check_fallbacks(configs, problems);
    for (name, config) in configs {
        check(name, config, problems);
        resilience::check(config, problems);
        let name: Arc<str> = name.as_str().into();
        let endpoints = endpoints(&name, config, kept, problems);
        let metrics = UpstreamMetrics::new(metrics.clone(), name.clone());
        let vitals = kept.get_or_insert(format!("vitals\u{0}{name}"), Vitals::default);
        let times = config.timeouts.as_deref().copied().unwrap_or_default();
        let upstream = Upstream::new(
            name.clone(),
            config,
            times.or(*timeouts),
            endpoints,
            metrics,
            &vitals,
        );
        let upstream = Arc::new(upstream);
        if let Some(health) = &config.health {
            let connections = kept.get_or_insert("health".to_owned(), Connections::default);
            let check = Check::new(upstream.clone(), health.clone(), connections);
            tasks.push(Box::pin(check.run()));
        }
        upstreams.insert(name, upstream);
    }
    upstreams
}

/// The endpoints that are written, with the state that they had before.
fn endpoints(
    upstream: &str,
    config: &model::Upstream,
    kept: &Kept,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Endpoint>> {
    // Without a check nothing would ever make an unhealthy endpoint healthy again.
    let checked = config.health.is_some();
    let key = format!("upstream\u{0}{upstream}\u{0}{checked}");
    let states: Arc<States> = kept.get_or_insert(key, States::default);
    let reach = Reach::new(config);
    let mut endpoints = Vec::with_capacity(config.endpoints.len());
    for endpoint in &config.endpoints {
        let (address, weight) = parts(endpoint);
        match reach.peer(address) {
            Ok(peer) => {
                let state = states.of(address);
                endpoints.push(Arc::new(Endpoint::new(
                    address.clone(),
                    weight,
                    peer,
                    state,
                )));
            }
            Err(error) => problems.push(Problem::new(
                endpoint.place.clone(),
                format!("endpoint `{address}` cannot be reached: {error}"),
            )),
        }
    }
    endpoints
}

fn parts(endpoint: &model::Endpoint) -> (&Address, u32) {
    match endpoint {
        model::Endpoint::Short(address) => (address, 1),
        model::Endpoint::Full(weighted) => (&weighted.address, weighted.weight.get()),
    }
}

fn check(name: &str, config: &At<model::Upstream>, problems: &mut Vec<Problem>) {
    let mut say = |place: &Place, message: String| {
        problems.push(Problem::new(place.clone(), message));
    };
    let count = config.endpoints.len();
    if count == 0 {
        say(&config.place, format!("upstream `{name}` has no endpoints"));
    }
    if count > MOST_ENDPOINTS {
        let message = format!("expected at most {MOST_ENDPOINTS} endpoints, found {count}");
        say(&config.place, message);
    }
    let mut seen: HashMap<&Address, &Place> = HashMap::new();
    for endpoint in &config.endpoints {
        let (address, weight) = parts(endpoint);
        if weight > MOST_WEIGHT {
            let message = format!("expected a weight from 1 to {MOST_WEIGHT}, found {weight}");
            say(&endpoint.place, message);
        }
        if seen.insert(address, &endpoint.place).is_some() {
            say(
                &endpoint.place,
                format!("endpoint `{address}` is there twice"),
            );
        }
    }
    if let Some(health) = &config.health {
        check_health(health, &mut say);
    }
}

fn check_health(health: &model::Health, say: &mut impl FnMut(&Place, String)) {
    let path = &health.http;
    let head = RequestHeader::build("GET", path.as_bytes(), None);
    if head.is_err() || !path.starts_with('/') {
        let message = format!("expected a path such as `/healthz`, found `{}`", path.value);
        say(&path.place, message);
    }
    if let Some(host) = &health.host
        && (host.is_empty() || http::HeaderValue::from_str(host).is_err())
    {
        say(
            &host.place,
            format!("expected a host name, found `{}`", host.value),
        );
    }
    if health
        .expect
        .is_some_and(|code| !(200..600).contains(&code))
    {
        say(
            &path.place,
            "expected `expect` to be a status from 200 to 599".to_owned(),
        );
    }
}
