//! Why a route takes a request, and why others do not.

use std::collections::HashSet;
use std::ops::ControlFlow;

use pingora_http::RequestHeader;
use serde::Serialize;
use wiregate_sdk::{Exchange, Facts, path_key};

use super::host::trim;
use super::matching::facts;
use super::path::PathPattern;
use super::specificity::Lack;
use super::table::Entry;
use super::{RouteSpec, Router};

/// Which route takes a request, and why the ones that come close do not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The route that takes the request.
    pub winner: Option<Win>,
    /// Why the request is refused instead: a `when` without a value.
    pub error: Option<String>,
    /// The routes that come close, those that are tried first in front.
    pub misses: Vec<Miss>,
    /// How many more there are.
    pub omitted: usize,
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Win {
    /// Its position among the routes that the router was compiled from.
    #[serde(skip)]
    pub route: usize,
    /// Its name.
    pub name: String,
    /// The host pattern that matched; `*` for any.
    pub host: String,
    /// The path pattern that matched.
    pub path: String,
    /// What its path parameters stand for, decoded, in path order.
    pub params: Vec<(String, String)>,
    /// The method that a preflight asks for, where that is why it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<String>,
}

/// A route that comes close.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Miss {
    /// Its position among the routes that the router was compiled from.
    #[serde(skip)]
    pub route: usize,
    /// Its name.
    pub name: String,
    /// Why it does not take the request.
    pub reason: String,
}

/// How many routes that come close are told.
const MOST: usize = 20;

impl Router {
    /// Explains what [`Router::find`] does with a request. A route comes close where its path
    /// matches.
    pub fn explain(
        &self,
        head: &RequestHeader,
        exchange: &mut Exchange,
        host: &str,
        path: &str,
    ) -> Explanation {
        let path = &*path_key(path);
        let (winner, error) = match self.winner(head, exchange, host, path) {
            Ok(winner) => (winner, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let entry = |at: usize| &self.table.entries()[at];
        let mut told: HashSet<usize> = winner.map(|at| entry(at).route).into_iter().collect();
        let mut misses = Vec::new();
        let mut miss = |route: usize, reason: String| {
            if told.insert(route) {
                let name = self.routes[route].name.to_string();
                misses.push(Miss {
                    route,
                    name,
                    reason,
                });
            }
        };
        let mut matched = Vec::new();
        let _ = self.table.walk::<()>(host, path, |at| {
            matched.push(at);
            ControlFlow::Continue(())
        });
        // A route with several hosts and paths is told by the entry that it is tried with first.
        for &at in &matched {
            let why = self.lost(head, exchange, path, entry(at), winner.map(entry));
            miss(entry(at).route, why);
        }
        for other in self.table.entries() {
            if !other.host.matches(trim(host)) && other.path.matches(path) {
                let expected = self.routes[other.route].host(&other.host);
                miss(
                    other.route,
                    format!("host `{}` is not {expected}", trim(host)),
                );
            }
        }
        let omitted = misses.len().saturating_sub(MOST);
        misses.truncate(MOST);
        Explanation {
            winner: winner.map(|at| self.win(entry(at), &facts(head, exchange), path)),
            error,
            misses,
            omitted,
        }
    }

    fn win(&self, entry: &Entry, facts: &Facts<'_>, path: &str) -> Win {
        let params = entry.path.params(path).into_iter();
        let route = &self.routes[entry.route];
        let written = |key| route.written_part(key);
        Win {
            route: entry.route,
            name: route.name.to_string(),
            host: written("host").unwrap_or_else(|| entry.host.to_string()),
            path: written("path").unwrap_or_else(|| entry.path.to_string()),
            params: params
                .map(|(name, value)| (name.to_string(), value))
                .collect(),
            preflight: (self.routes[entry.route].matching.preflight(facts)).map(str::to_owned),
        }
    }

    /// Why an entry, whose host and path match, does not take the request.
    fn lost(
        &self,
        head: &RequestHeader,
        exchange: &mut Exchange,
        path: &str,
        entry: &Entry,
        winner: Option<&Entry>,
    ) -> String {
        let route = &self.routes[entry.route];
        match (route.unmet(head, exchange, entry, path), winner) {
            (Ok(Some(unmet)), _) => unmet.explain(&facts(head, exchange), route.written.as_ref()),
            (Ok(None), Some(winner)) => less_specific(entry, winner, self),
            (Ok(None), None) => "the request is refused before it is this route's turn".into(),
            (Err(message), _) => format!("`when` has no value: {message}"),
        }
    }
}

fn less_specific(entry: &Entry, winner: &Entry, router: &Router) -> String {
    let route = |entry: &Entry| &router.routes[entry.route];
    let (mine, theirs) = (&route(entry).matching, &route(winner).matching);
    let count = |what: &str, mine: usize, theirs: usize| {
        format!("less specific: {mine} conditions on {what} against {theirs}")
    };
    match entry.specificity.lacks(&winner.specificity) {
        Lack::Host => format!(
            "less specific: host {} against {}",
            route(entry).host(&entry.host),
            route(winner).host(&winner.host)
        ),
        Lack::Path => format!(
            "less specific: {} against {}",
            kind(route(entry), &entry.path),
            kind(route(winner), &winner.path)
        ),
        Lack::Methods => "less specific: no `methods`".into(),
        Lack::Headers => count("headers", mine.headers.len(), theirs.headers.len()),
        Lack::Query => count("the query", mine.query.len(), theirs.query.len()),
        Lack::Cookies => count("cookies", mine.cookies.len(), theirs.cookies.len()),
        Lack::Client => "less specific: no `client`, or a wider network".into(),
        Lack::When => "less specific: no `when`".into(),
        Lack::Priority => format!(
            "equally specific, but priority {} against {}",
            entry.specificity.priority(),
            winner.specificity.priority()
        ),
    }
}

fn kind(route: &RouteSpec, path: &PathPattern) -> String {
    let shown = route.path(path);
    match path {
        PathPattern::Any => "any path".into(),
        PathPattern::Exact { .. } => format!("exact path {shown}"),
        PathPattern::Segments { open: true, .. } => format!("path prefix {shown}"),
        PathPattern::Segments { .. } => format!("path with parameters {shown}"),
        PathPattern::Regex(_) => format!("path {shown}"),
    }
}
