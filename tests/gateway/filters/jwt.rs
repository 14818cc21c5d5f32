//! `jwt`, between clients and an issuer that both have sockets of their own.

mod callers;
mod discovery;
mod fetching;
mod keeping;
mod limits;

use serde_json::json;

use super::{forwarding, reason, saw};
use crate::harness::{Answer, Echo, Gateway, KEY_OF_ANN, until};
use crate::issuer::{Issuer, Key, OAUTH, OPENID};

/// For a gateway that does not wait for keys that do not come.
const IMPATIENT: &str = "limits: { start_deadline: 200ms }\n";

/// A gateway with a route that has this filter, and an open one.
fn guarding(filter: &str) -> (Gateway, Echo) {
    forwarding(&(IMPATIENT.to_owned() + &routes(filter)))
}

fn routes(filter: &str) -> String {
    format!(
        r#"routes:
  - name: guarded
    upstream: app
    filters:
      - jwt: {filter}
      - headers: {{ request: {{ set: {{ x-user: "${{identity.name}}", x-consumer: "${{consumer}}", x-plan: "${{identity.plan}}", x-level: "${{identity.claims.level}}", x-groups: "${{identity.groups}}" }} }} }}
  - {{ name: open, match: {{ path: /open }}, upstream: app }}
"#
    )
}

/// The options of a filter for an issuer.
fn by(issuer: &Issuer, more: &str) -> String {
    format!("{{ issuer: \"{}\", audience: orders{more} }}", issuer.url)
}

impl Gateway {
    fn bring(&self, token: &str) -> Answer {
        self.ask("/", &["-H", &format!("authorization: Bearer {token}")])
    }

    /// Why the last of so many requests was refused.
    fn why(&self, requests: usize) -> String {
        let log = self.access_log(requests);
        log[requests - 1]["detail"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    }
}
