//! What a configuration does with a request, as data.

use serde::Serialize;
use serde_json::{Map, Value};
use wiregate_sdk::{Mode, Registry, host_of};

use super::asked::Asked;
use crate::compile::{Goal, Route, Snapshot};
use crate::router::{Explanation, Win};
use crate::upstream;

/// What becomes of a request.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) request: Request,
    /// The route that takes it.
    pub(super) route: Option<Taken>,
    /// Why none does.
    pub(super) refusal: Option<Refusal>,
    /// The routes that come close, those that are tried first in front.
    pub(super) near_misses: Vec<NearMiss>,
    /// How many more come close.
    pub(super) omitted: usize,
}

/// The request, as routes see it.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) method: String,
    /// Lower case, without a port; empty where the request names none.
    pub(super) host: String,
    /// As it was written.
    pub(super) target: String,
    /// As it is matched and sent on.
    pub(super) path: Option<String>,
    pub(super) client: String,
}

/// A reply of the gateway's own.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// The route that takes a request.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    pub(super) name: String,
    /// `file:line`.
    pub(super) place: String,
    /// The host pattern that matched.
    pub(super) host: String,
    /// The path pattern that matched.
    pub(super) path: String,
    /// What the path's parameters stand for.
    pub(super) params: Map<String, Value>,
    /// The method that a preflight asks for, where that is why the route takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preflight: Option<String>,
    pub(super) filters: Vec<Filter>,
    pub(super) upstream: Option<Upstream>,
    /// Where its requests go, where that is decided for each of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) split: Vec<Upstream>,
}

/// A filter that would run.
#[derive(Debug, Serialize)]
pub(super) struct Filter {
    /// Its name in logs and metrics.
    pub(super) label: String,
    /// Its word.
    pub(super) filter: &'static str,
    /// `file:line`.
    pub(super) place: String,
    /// Whether it answers every request that reaches it.
    pub(super) answers: bool,
    /// Whether it acts, or is only looked at.
    pub(super) mode: Mode,
}

#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) weight: u32,
}

/// A route that comes close.
#[derive(Debug, Serialize)]
pub(super) struct NearMiss {
    pub(super) name: String,
    /// `file:line`.
    pub(super) place: String,
    pub(super) reason: String,
}

impl Answer {
    /// What the gateway would do with a request.
    pub(super) fn find(snapshot: &Snapshot, registry: &Registry, mut asked: Asked) -> Self {
        let head = &asked.head;
        let host = host_of(head).into_owned();
        let target = head.uri.path_and_query();
        let mut answer = Self {
            request: Request {
                method: head.method.to_string(),
                host: host.to_string(),
                target: target.map_or_else(String::new, ToString::to_string),
                path: None,
                client: asked.exchange.client.address.to_string(),
            },
            route: None,
            refusal: None,
            near_misses: Vec::new(),
            omitted: 0,
        };
        let path = match snapshot.router.normalise(head.uri.path()) {
            Ok(path) => Ok(path.into_owned()),
            Err(refusal) => Err(refusal.to_string()),
        };
        let path = match path.and_then(|path| asked.normalise(&path).map(|()| path)) {
            Ok(path) => path,
            Err(detail) => {
                answer.refusal = Some(Refusal::new(400, "invalid_path", detail));
                return answer;
            }
        };
        let Asked { head, exchange } = &mut asked;
        let found = snapshot.router.explain(head, exchange, &host, &path);
        answer.explain(snapshot, registry, found);
        answer.request.path = Some(path);
        answer
    }

    fn explain(&mut self, snapshot: &Snapshot, registry: &Registry, found: Explanation) {
        let misses = found.misses.into_iter().map(|miss| NearMiss {
            place: snapshot.routes[miss.route].place.clone(),
            name: miss.name,
            reason: miss.reason,
        });
        self.near_misses = misses.collect();
        self.omitted = found.omitted;
        self.refusal = match (&found.winner, found.error) {
            (Some(_), _) => None,
            (None, Some(error)) => Some(Refusal::new(500, "condition_failed", error)),
            (None, None) => {
                let detail = "no route takes this request".to_owned();
                Some(Refusal::new(404, "no_route", detail))
            }
        };
        self.route = found.winner.map(|win| {
            let route = &snapshot.routes[win.route];
            Taken::new(win, route, registry)
        });
    }
}

impl Refusal {
    fn new(status: u16, reason: &'static str, detail: String) -> Self {
        Self {
            status,
            reason,
            detail,
        }
    }
}

impl Taken {
    fn new(win: Win, route: &Route, registry: &Registry) -> Self {
        let params = win.params.into_iter();
        let filters = route.chain.links.iter().map(|link| Filter {
            label: link.label.clone(),
            filter: link.name,
            place: link.place.clone(),
            answers: registry.get(link.name).is_some_and(|entry| entry.answers),
            mode: link.mode,
        });
        Self {
            name: win.name,
            place: route.place.clone(),
            host: win.host,
            path: win.path,
            params: params.map(|(name, value)| (name, value.into())).collect(),
            preflight: win.preflight,
            filters: filters.collect(),
            upstream: match &route.goal {
                Some(Goal::One(upstream)) => Some(Upstream::new(upstream)),
                _ => None,
            },
            split: match &route.goal {
                Some(Goal::Split(split)) => (split.parts.iter())
                    .map(|(upstream, _)| Upstream::new(upstream))
                    .collect(),
                _ => Vec::new(),
            },
        }
    }
}

impl Upstream {
    fn new(upstream: &upstream::Upstream) -> Self {
        let members = upstream.members();
        let endpoints = members.endpoints.iter().map(|endpoint| Endpoint {
            address: endpoint.address.to_string(),
            weight: endpoint.weight,
        });
        Self {
            name: upstream.name.to_string(),
            endpoints: endpoints.collect(),
        }
    }
}
