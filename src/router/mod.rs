//! From a request to its route.
//!
//! Routes are compiled once into a table. A request is looked up by host and path; of the routes
//! found, the most specific one whose other conditions hold takes it. The order of routes is
//! total ([`Specificity`]): where it does not decide between two routes that one request can
//! match, the configuration is refused.

mod compile;
mod condition;
mod explain;
mod host;
mod matching;
mod normalise;
mod overlap;
mod path;
mod regular;
mod relation;
mod rivals;
mod specificity;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod when;
mod witness;
mod written;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use http::Method;
use pingora_http::RequestHeader;
use wiregate_sdk::value::Place;
use wiregate_sdk::{Exchange, path_key};

pub use compile::param_help;
pub use condition::{Condition, Conditions, HeaderKey, Name, Test};
pub use explain::{Explanation, Miss, Win};
pub use host::HostPattern;
pub use matching::Match;
pub use normalise::{EncodedSlash, Refusal, normalise};
pub use path::{Params, PathPattern, Segment};
pub use regular::Regular;
pub use specificity::Specificity;
pub use text::MethodName;
pub use when::When;
pub use written::Written;

use matching::Unmet;
use table::{Entry, Table};

/// One route, as far as choosing it goes.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Its name; unique.
    pub name: Arc<str>,
    /// The requests that it takes.
    pub matching: Match,
    /// Whether a filter of it answers preflights: those that ask for one of its methods are its own.
    pub preflights: bool,
    /// Decides between routes that are equally specific: the higher one wins. 0 where none is
    /// written.
    pub priority: i32,
    /// Where it was written.
    pub place: Place,
    /// Its match as it was written, where references stand in it: messages show these instead of
    /// what they resolved to.
    pub written: Option<Written>,
}

impl RouteSpec {
    /// The first condition, beside host and path, that a request does not meet.
    fn unmet(
        &self,
        head: &RequestHeader,
        exchange: &mut Exchange,
        entry: &Entry,
        path: &str,
    ) -> Result<Option<Unmet<'_>>, String> {
        let params = || entry.path.params(path);
        let unmet = (self.matching).unmet(head, exchange, params, self.preflights);
        unmet.map_err(|message| match self.written_part("when") {
            Some(_) => "the expression cannot be evaluated".into(),
            None => message,
        })
    }

    fn written_part(&self, key: &str) -> Option<String> {
        self.written.as_ref()?.part(key)
    }

    /// One of its hosts, fit to be shown.
    fn host(&self, host: &HostPattern) -> String {
        let written = self.written_part("host");
        written.unwrap_or_else(|| format!("`{host}`"))
    }

    /// One of its paths, fit to be shown.
    fn path(&self, path: &PathPattern) -> String {
        let written = self.written_part("path");
        written.unwrap_or_else(|| format!("`{path}`"))
    }
}

/// All routes, ready to be looked up. Immutable.
#[derive(Debug)]
pub struct Router {
    routes: Vec<RouteSpec>,
    table: Table,
    slashes: EncodedSlash,
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its position among the routes that the router was compiled from.
    pub route: usize,
    /// The place of the path that took the request, for [`Router::pattern`].
    pub path: usize,
    /// What its path parameters stand for, decoded, in path order.
    pub params: Params,
}

/// The `when` of a route has no value for a request. No less specific route may take it instead:
/// the request is to be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchError {
    /// The route's name.
    pub route: Arc<str>,
    /// Why there is no value.
    pub message: String,
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`when` of route `{}`: {}", self.route, self.message)
    }
}

impl std::error::Error for MatchError {}

impl Router {
    /// The normalised form of a path, as [`Router::find`] expects it.
    ///
    /// # Errors
    /// Why the request is to be refused with 400.
    pub fn normalise<'a>(&self, path: &'a str) -> Result<std::borrow::Cow<'a, str>, Refusal> {
        normalise(path, self.slashes)
    }

    /// The routes, in the order in which they were given.
    pub fn routes(&self) -> &[RouteSpec] {
        &self.routes
    }

    /// The route that takes a request. `host` is lower case and without a port, empty where the
    /// request names none; `path` is normalised. Of the exchange only the parameters change: they
    /// are those of the route that is asked, and empty in the end.
    ///
    /// # Errors
    /// A `when` that had to be asked has no value.
    pub fn find(
        &self,
        head: &RequestHeader,
        exchange: &mut Exchange,
        host: &str,
        path: &str,
    ) -> Result<Option<Hit>, MatchError> {
        let path = &*path_key(path);
        let winner = self.winner(head, exchange, host, path)?;
        Ok(winner.map(|at| self.hit(at, path)))
    }

    /// The place of the path that takes a request with this method which is no preflight, where nothing else decides.
    pub fn find_plainly(&self, method: &Method, host: &str, path: &str) -> Option<usize> {
        let found = self.table.walk(host, &path_key(path), |at| {
            let matching = &self.routes[self.table.entries()[at].route].matching;
            if !matching.is_plain() {
                return ControlFlow::Break(None);
            }
            let fits = matching.methods.is_none() || matching.names(|named| named.0 == *method);
            match fits {
                true => ControlFlow::Break(Some(at)),
                false => ControlFlow::Continue(()),
            }
        });
        found.break_value().flatten()
    }

    /// The route of a path by its place.
    pub fn route_of(&self, at: usize) -> usize {
        self.table.entries()[at].route
    }

    /// What was found by [`find_plainly`](Self::find_plainly).
    pub fn found(&self, at: usize, path: &str) -> Hit {
        match self.table.entries()[at].path.captures() {
            true => self.hit(at, &path_key(path)),
            false => self.hit(at, path), // which is not looked at
        }
    }

    /// `path` is a key.
    fn hit(&self, at: usize, path: &str) -> Hit {
        let entry = &self.table.entries()[at];
        Hit {
            route: entry.route,
            path: at,
            params: entry.path.params(path),
        }
    }

    /// The pattern of a path that took a request, as it is written. Nothing where the route takes any
    /// path, or where what is written has references in it.
    pub fn pattern(&self, at: usize) -> Option<String> {
        let entry = self.table.entries().get(at)?;
        let hidden = (self.routes.get(entry.route)?.written.as_ref())
            .is_some_and(|written| written.part("path").is_some());
        let any = matches!(entry.path, PathPattern::Any);
        (!hidden && !any).then(|| entry.path.to_string())
    }

    /// The entry that takes a request. `path` is a key.
    fn winner(
        &self,
        head: &RequestHeader,
        exchange: &mut Exchange,
        host: &str,
        path: &str,
    ) -> Result<Option<usize>, MatchError> {
        let found = self.table.walk(host, path, |at| {
            let entry = &self.table.entries()[at];
            let route = &self.routes[entry.route];
            match route.unmet(head, exchange, entry, path) {
                Ok(None) => ControlFlow::Break(Ok(at)),
                Ok(Some(_)) => ControlFlow::Continue(()),
                Err(message) => ControlFlow::Break(Err(MatchError {
                    route: route.name.clone(),
                    message,
                })),
            }
        });
        exchange.params = Params::new();
        found.break_value().transpose()
    }
}
