//! The router as a whole.

mod explaining;
mod finding;
mod guide;
mod problems;
mod properties;
mod when;

use pingora_http::RequestHeader;
use wiregate_sdk::Exchange;
use wiregate_sdk::testing::exchange;
use wiregate_sdk::value::{Place, Problem};

use super::*;

/// Routes from lines of `name: {match as JSON}`, where a priority may stand before the match. A name
/// that ends with `+` is that of a route that answers preflights.
fn routes(lines: &[&str]) -> Vec<RouteSpec> {
    let parse = |(at, line): (usize, &&str)| {
        let (name, rest) = line.split_once(": ").unwrap();
        let (priority, json) = rest.split_at(rest.find('{').unwrap());
        RouteSpec {
            name: name.into(),
            matching: serde_json::from_str(json).unwrap_or_else(|error| panic!("{line}: {error}")),
            preflights: name.ends_with('+'),
            priority: priority.trim().parse().unwrap_or(0),
            place: place(at + 1),
            written: None,
        }
    };
    lines.iter().enumerate().map(parse).collect()
}

fn place(line: usize) -> Place {
    Place {
        file: "wiregate.yaml".into(),
        line: u32::try_from(line).unwrap(),
        column: 1,
        width: 1,
    }
}

fn compile(lines: &[&str]) -> Result<Router, Vec<Problem>> {
    Router::compile(routes(lines), EncodedSlash::Refuse)
}

fn router(lines: &[&str]) -> Router {
    compile(lines).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A request, as a line like `GET http://host/path?query`.
#[derive(Debug)]
struct Sent {
    head: RequestHeader,
    exchange: Exchange,
    host: String,
    path: String,
}

impl Sent {
    fn new(line: &str) -> Self {
        let (method, url) = line.split_once(' ').unwrap();
        let (host, target) = match url.strip_prefix("http://") {
            Some(rest) => rest.split_at(rest.find('/').unwrap()),
            None => ("", url),
        };
        let head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        let path = normalise(head.uri.path(), EncodedSlash::Refuse)
            .unwrap()
            .into_owned();
        let exchange = exchange(&head);
        Self {
            head,
            exchange,
            host: host.to_owned(),
            path,
        }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.head.append_header(name, value).unwrap();
        self
    }

    fn from(mut self, address: &str) -> Self {
        self.exchange.client.address = address.parse().unwrap();
        self
    }

    /// The exchange, for whoever looks for a route.
    fn asked(&self) -> Exchange {
        let mut asked = exchange(&self.head);
        asked.client = self.exchange.client.clone();
        asked
    }

    fn find(&self, router: &Router) -> Result<Option<Hit>, MatchError> {
        let found = router.find(&self.head, &mut self.asked(), &self.host, &self.path);
        // What is found by less is the same.
        if self.head.method != Method::OPTIONS
            && let Some(at) = router.find_plainly(&self.head.method, &self.host, &self.path)
        {
            assert_eq!(found, Ok(Some(router.found(at, &self.path))), "{self:?}");
        }
        found
    }

    /// The name of the route that takes it; `-` where none does.
    fn taken_by(&self, router: &Router) -> String {
        let hit = self.find(router).unwrap();
        hit.map_or("-".into(), |hit| {
            router.routes()[hit.route].name.to_string()
        })
    }

    fn explain(&self, router: &Router) -> Explanation {
        router.explain(&self.head, &mut self.asked(), &self.host, &self.path)
    }
}

#[track_caller]
fn takes(router: &Router, request: &str, name: &str) {
    assert_eq!(Sent::new(request).taken_by(router), name, "{request}");
}
