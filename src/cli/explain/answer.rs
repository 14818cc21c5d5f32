//! What a configuration does with a request, as data.

use http::Uri;
use pingora_http::RequestHeader;
use serde::Serialize;
use serde_json::{Map, Value};
use wiregate_sdk::reply::ReplyBody;
use wiregate_sdk::{Mode, Registry, Reply, host_of};

use super::asked::Asked;
use crate::compile::{Goal, Route, Snapshot};
use crate::listen::http1::{Refused, read_head};
use crate::proxy::rules;
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
    /// The word for it, in logs and in the problem's `type`; an answer that is no refusal has none.
    pub(super) reason: Option<&'static str>,
    pub(super) detail: Option<String>,
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
    pub(super) fn find(snapshot: &Snapshot, registry: &Registry, asked: &Asked) -> Self {
        let mut answer = Self {
            request: Request {
                method: asked.method.clone(),
                host: String::new(),
                target: asked.target.clone(),
                path: None,
                client: asked.client.address.to_string(),
            },
            route: None,
            refusal: None,
            near_misses: Vec::new(),
            omitted: 0,
        };
        if let Err(refusal) = answer.look(snapshot, registry, asked) {
            answer.refusal = Some(refusal);
            answer.route = None;
        }
        answer
    }

    /// Goes the way of a request up to its first filter.
    fn look(
        &mut self,
        snapshot: &Snapshot,
        registry: &Registry,
        asked: &Asked,
    ) -> Result<(), Refusal> {
        let settings = &snapshot.settings;
        let limit = usize::try_from(settings.limits.head.get()).unwrap_or(usize::MAX);
        let mut head = read_head(&asked.bytes, limit)?;
        self.request.host = host_of(&head).into_owned();
        let mut exchange = asked.exchange(&head);
        rules::before_route(&mut head, settings.underscores_in_fields)?;
        let invalid = |why: String| Refusal::new(400, "invalid_path", why);
        let path = snapshot.router.normalise(head.uri.path());
        let path = path
            .map_err(|refusal| invalid(refusal.to_string()))?
            .into_owned();
        set_path(&mut head, &path).map_err(invalid)?;
        let host = host_of(&head).into_owned();
        let found = (snapshot.router).explain(&head, &mut exchange, &host, &path);
        self.explain(snapshot, registry, found);
        self.request.path = Some(path);
        match self.route {
            Some(_) => Ok(rules::behind_route(&mut head)?),
            None => Ok(()),
        }
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
            reason: Some(reason),
            detail: Some(detail),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let (status, detail) = (refused.status.as_u16(), refused.detail.into_owned());
        Self::new(status, refused.reason, detail)
    }
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        let (reason, detail) = match reply.body {
            ReplyBody::Problem(problem) => (Some(problem.reason), problem.detail),
            _ => (None, None),
        };
        Self {
            status: reply.status.as_u16(),
            reason,
            detail,
        }
    }
}

/// Puts the normalised path into a head, as the gateway does before it looks for a route.
fn set_path(head: &mut RequestHeader, path: &str) -> Result<(), String> {
    if path == head.uri.path() {
        return Ok(());
    }
    let target = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target = Uri::try_from(target).map_err(|_| "the path is not valid".to_owned())?;
    head.set_uri(target);
    Ok(())
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
                Some(Goal::Split(split)) => (split.upstreams().into_iter())
                    .map(|upstream| Upstream::new(upstream))
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
