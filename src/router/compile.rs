//! From the routes of a configuration to a router, or every problem with them.

use std::collections::{HashMap, HashSet};

use http::HeaderValue;
use wiregate_sdk::value::{Problem, did_you_mean};

use super::condition::{Condition, Test};
use super::host::HostPattern;
use super::matching::{Field, Match};
use super::overlap;
use super::path::PathPattern;
use super::specificity::Specificity;
use super::table::{Entry, Table};
use super::text::shown;
use super::{EncodedSlash, RouteSpec, Router};
use wiregate_sdk::types::OneOrMany;

impl Router {
    /// Compiles routes. `slashes` is the policy for [`Router::normalise`].
    ///
    /// # Errors
    /// Every problem: names that are there twice, what can never match, routes that tie, and
    /// routes that another one always wins over.
    pub fn compile(routes: Vec<RouteSpec>, slashes: EncodedSlash) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let router = Self::build(routes, slashes, &mut problems);
        overlap::check(&router, &mut problems);
        if problems.is_empty() {
            Ok(router)
        } else {
            Err(problems)
        }
    }

    /// The router, before routes are compared with each other.
    pub(super) fn build(
        routes: Vec<RouteSpec>,
        slashes: EncodedSlash,
        problems: &mut Vec<Problem>,
    ) -> Self {
        problems.extend(same_names(&routes));
        let mut entries = Vec::with_capacity(routes.len());
        for (at, route) in routes.iter().enumerate() {
            problems.extend(impossible(route, slashes));
            problems.extend(unknown_param(&route.matching));
            expand(at, route, &mut entries, problems);
        }
        Self {
            routes,
            table: Table::new(entries),
            slashes,
        }
    }
}

fn same_names(routes: &[RouteSpec]) -> Vec<Problem> {
    let mut first = HashMap::new();
    let mut problems = Vec::new();
    for route in routes {
        let earlier = *first.entry(&*route.name).or_insert(route);
        if !std::ptr::eq(earlier, route) {
            let message = format!("two routes are named `{}`", route.name);
            problems.push(
                Problem::new(route.place.clone(), message)
                    .related(earlier.place.clone(), "the first one"),
            );
        }
    }
    problems
}

/// One entry for each host and path of a route.
fn expand(at: usize, route: &RouteSpec, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let Match { host, path, .. } = &route.matching;
    let hosts = one_or_any(host.as_ref(), &HostPattern::Any);
    let paths = one_or_any(path.as_ref(), &PathPattern::Any);
    let twice = |what: &str, shown: String| {
        let message = format!("{what} {shown} is written twice in route `{}`", route.name);
        Problem::new(route.place.clone(), message)
    };
    if let Some(host) = repeated(hosts, ToString::to_string) {
        problems.push(twice("host", route.host(host)));
        return;
    }
    if let Some(path) = repeated(paths, PathPattern::identity) {
        problems.push(twice("path", route.path(path)));
        return;
    }
    for host in hosts {
        for path in paths {
            entries.push(Entry {
                route: at,
                host: host.clone(),
                path: path.clone(),
                specificity: Specificity::new(host, path, &route.matching, route.priority),
                names_options: route
                    .matching
                    .names(|method| method.0 == http::Method::OPTIONS),
            });
        }
    }
}

fn one_or_any<'a, T>(written: Option<&'a OneOrMany<T>>, any: &'a T) -> &'a [T] {
    written.map_or(std::slice::from_ref(any), |values| values)
}

fn repeated<T>(values: &[T], identity: impl Fn(&T) -> String) -> Option<&T> {
    let mut seen = HashSet::new();
    values.iter().find(|value| !seen.insert(identity(value)))
}

/// A parameter that `when` asks for and no path of the route has: it would always be empty.
fn unknown_param(matching: &Match) -> Option<Problem> {
    let when = matching.when.as_ref()?;
    let known = matching.params();
    let name = when.params().find(|name| !known.contains(name))?;
    let message = format!("no path of this route has the parameter {}", shown(name));
    let problem = Problem::new(when.place.clone(), message);
    Some(problem.help(param_help(name, &known)))
}

/// Which parameter may have been meant.
pub fn param_help(name: &str, known: &[&str]) -> String {
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "a path has parameters where it is written `/a/{name}`".into(),
        None => format!("the parameters are `{}`", known.join("`, `")),
    }
}

/// Conditions that no request meets.
fn impossible(route: &RouteSpec, slashes: EncodedSlash) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |message: String| {
        problems.push(Problem::new(route.place.clone(), message));
    };
    if slashes == EncodedSlash::Refuse {
        for path in route.matching.path.iter().flatten() {
            let text = path.identity();
            if text.contains("%2F") || text.contains("%5C") {
                report(format!(
                    "path {} can never match: paths with encoded slashes are refused",
                    route.path(path)
                ));
            }
        }
    }
    for (name, condition) in &*route.matching.headers {
        let mut texts: Vec<&str> = condition
            .texts()
            .into_iter()
            .flatten()
            .map(|text| &**text)
            .collect();
        if let Condition::Test(Test::Prefix(start)) = condition {
            texts.push(start.trim_end());
        }
        if let Some(text) = texts.into_iter().find(|text| !is_header_value(text)) {
            let written = route.written.as_ref();
            let written = written.and_then(|written| written.condition(Field::Header(name)));
            report(format!(
                "header `{name}` can never be {}: a value has no control characters, and no \
                 spaces at its ends",
                written.unwrap_or_else(|| shown(text))
            ));
        }
    }
    problems
}

fn is_header_value(text: &str) -> bool {
    text.trim_matches([' ', '\t']) == text && HeaderValue::from_bytes(text.as_bytes()).is_ok()
}
