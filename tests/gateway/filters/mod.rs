//! Each built-in filter in a running gateway, between curl and an echo server.

mod auth;
mod chain;
mod compress;
mod headers;
mod json;
mod jwt;
mod observe;
mod rate_limit;
mod security;
mod template;
mod traffic;

use serde_json::Value;

use super::harness::{Answer, Echo, Gateway, curl, curl_with, echo, raw, until, upstream};

/// A gateway with one route, which has these filters, to an echo server.
fn filtering(filters: &str) -> (Gateway, Echo) {
    forwarding(&format!(
        "routes: [{{ name: all, filters: [{filters}], upstream: app }}]"
    ))
}

/// A gateway with an upstream `app`, which is an echo server.
pub(super) fn forwarding(rest: &str) -> (Gateway, Echo) {
    let origin = echo();
    let gateway = Gateway::start(&format!("{}{rest}\n", upstream(&origin)));
    (gateway, origin)
}

impl Gateway {
    /// Asks for a path of its listener `public`.
    pub(super) fn ask(&self, path: &str, arguments: &[&str]) -> Answer {
        curl(&[&["--path-as-is", "--globoff", &self.url(path)], arguments].concat())
    }

    /// The value of a filter's metric, once it is this one.
    pub(super) fn counts(&self, what: &str, route: &str, filter: &str, count: f64) {
        let metric =
            format!("wiregate_filter_{what}_total{{filter=\"{filter}\",route=\"{route}\"}}");
        until(&format!("{metric} is {count}"), || {
            (self.metric(&metric) - count).abs() < 0.1
        });
    }
}

/// The word for the cause of a problem.
fn reason(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let kind = answer.json()["type"].as_str().unwrap().to_owned();
    kind.strip_prefix("urn:wiregate:").expect(&kind).to_owned()
}

/// A field of the request that the echo server saw; null where there was none.
pub(super) fn saw(answer: &Answer, field: &str) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["headers"][field].clone()
}
