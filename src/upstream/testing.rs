//! Upstreams and endpoints for the tests of this module.

use std::sync::Arc;

use wiregate_sdk::value::{decode, read};

use super::{Address, Endpoint, Reach, Upstream};
use crate::config::model::upstream as model;
use crate::observe::metrics::{Metrics, UpstreamMetrics};

/// What the configuration of an upstream means with these options, besides its endpoints.
pub(super) fn config(options: &str) -> model::Upstream {
    let text = format!("endpoints: [\"127.0.0.1:1\"]\n{options}\n");
    let value = read(&"test.yaml".into(), &text).unwrap();
    decode(&value).unwrap()
}

/// So many endpoints, each with a state of its own.
pub(super) fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
    let reach = Reach::new("app", &config(""), None);
    (1..=count)
        .map(|port| {
            let address = Address::Inet(([10, 0, 0, 1], port).into());
            let peer = reach.peer(&address, None).unwrap();
            Arc::new(Endpoint::new(address, 1, peer, Arc::default()))
        })
        .collect()
}

/// An upstream `app` with these options and so many endpoints.
pub(super) fn upstream(options: &str, count: usize) -> Upstream {
    of(&config(options), endpoints(u16::try_from(count).unwrap()))
}

/// An upstream `app` of this configuration with these endpoints.
pub(super) fn of(config: &model::Upstream, endpoints: Vec<Arc<Endpoint>>) -> Upstream {
    let metrics = UpstreamMetrics::new(Metrics::new(), "app".into());
    let (timeouts, vitals) = (Default::default(), Default::default());
    Upstream::new("app".into(), config, timeouts, endpoints, metrics, &vitals)
}
