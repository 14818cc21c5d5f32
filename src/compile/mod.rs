//! From a configuration to a [`Snapshot`], or to every problem that it has.
//!
//! This is the one way in: `check`, the start, a reload and the admin API all come through here.

mod access_log;
mod admin;
mod chain;
mod consumers;
mod endpoints;
mod files;
mod limits;
mod listener;
mod names;
mod resilience;
mod routes;
mod snapshot;
mod stores;
mod target;
mod told;
mod traces;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;

use wiregate_sdk::build::{Kept, Packed, Task};
use wiregate_sdk::types::Size;
use wiregate_sdk::value::{Noted, Place, Problem, Secrets, Value, decode_partly};
use wiregate_sdk::{Clock, Registry};

use crate::config::model::upstream::Timeouts;
use crate::config::model::{Config, Forwarded, Limits, Route as RouteConfig, UnderscoresInFields};
use crate::observe::metrics::Metrics;
use crate::router::Router;
use crate::upstream::Upstream;

use told::Told;

pub use files::Files;
pub use snapshot::{Goal, Listening, Route, Settings, Snapshot, UNROUTED};
#[cfg(test)]
pub use stores::tests as store_tests;
pub use stores::{Arriving, NamedStore, Passing, Piece, Purges, Said, Wanted};

/// What a compilation needs besides the configuration.
pub struct Context<'a> {
    /// The filters that there are.
    pub registry: &'a Registry,
    /// Where things are counted.
    pub metrics: &'a Arc<Metrics>,
    /// Where time comes from.
    pub clock: &'a Clock,
    /// The running configuration, whose state is taken over.
    pub old: Option<&'a Snapshot>,
    /// What a former process has left, where nothing runs in this one yet.
    pub packed: &'a Packed,
    /// Whether it is to run here, and not only to be looked at.
    pub runs: bool,
    /// The files that the configuration names and that are read: a change of them matters.
    pub files: &'a Files,
    /// Where what is written is not to be shown.
    pub hidden: &'a Noted,
}

/// Builds everything that a configuration says, or says everything that is wrong with it.
/// `found` is what is known to be wrong so far.
///
/// # Errors
/// Every problem, each with its place, in the order of the file; after the first hundred only how
/// many more there are.
pub fn compile(
    source: &Value,
    found: Vec<Problem>,
    cx: &Context<'_>,
) -> Result<Snapshot, Vec<Problem>> {
    let mut all = found;
    let (config, more) = decode_partly::<Config>(source);
    add(&mut all, more, source);
    let Some(config) = config else {
        return Err(hidden(all, source));
    };
    let mut problems = Vec::new();
    let snapshot = assemble(config, source, cx, &Told::new(source, &all), &mut problems);
    add(&mut all, problems, source);
    snapshot
        .filter(|_| all.is_empty())
        .ok_or_else(|| hidden(all, source))
}

/// The problems that are told, without what references resolved to, wherever one may have quoted
/// it.
fn hidden(problems: Vec<Problem>, source: &Value) -> Vec<Problem> {
    let mut problems = told::first(problems);
    let secrets = Secrets::of(source);
    problems
        .iter_mut()
        .for_each(|problem| secrets.hide(problem));
    problems
}

/// Adds problems, except for those that others have caused.
fn add(all: &mut Vec<Problem>, mut more: Vec<Problem>, source: &Value) {
    let told = Told::new(source, all);
    more.retain(|problem| !told.covers(&problem.place));
    told::keep_secrets(&mut more, source);
    all.append(&mut more);
}

fn assemble(
    mut config: Config,
    source: &Value,
    cx: &Context<'_>,
    told: &Told<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Snapshot> {
    check_document(&config, source, problems);

    let kept = match cx.old {
        Some(old) => old.kept.next(),
        None => Kept::after(cx.packed.clone()),
    };
    let listeners = listener::build(&config.listeners, &kept, cx.files, problems);
    let (mut tasks, mut preparations) = (Vec::new(), Vec::new());
    let upstreams = upstream::Builder {
        cx,
        kept: &kept,
        tasks: &mut tasks,
        preparations: &mut preparations,
        problems,
    }
    .all(&config);
    let stores = stores::build(&config.caches, &kept, cx.runs, problems);
    let traces = traces::build(config.traces.as_ref(), source, cx, problems);
    let access_log = access_log::build(config.access_log.as_ref(), source, problems);
    let cut = told.has_cut("consumers", source);
    let consumers = consumers::build(std::mem::take(&mut config.consumers), cut, problems);
    let around = chain::Around {
        cx,
        kept: &kept,
        consumers,
        told,
        underscores: config.underscores_in_fields,
    };
    let mut chains = chain::Builder::new(&config, around, &mut tasks, &mut preparations, problems);
    let global = chains.global(&config.all_routes.filters);
    let all = routes::Builder::new(cx, told, &upstreams, global, source);
    let built = config
        .routes
        .into_iter()
        .map(|route| all.build(route, &mut chains));
    let (routes, specs): (Vec<_>, Vec<_>) = built.unzip();
    drop(chains);
    let specs = specs.into_iter().flatten().collect();
    let router = Router::compile(specs, config.encoded_slash).map_err(|more| problems.extend(more));
    match router {
        Ok(router) if problems.is_empty() => Some(Snapshot::new(
            cx,
            Settings {
                workers: config.workers,
                admin: config.admin.map(|admin| admin.bind.value),
                metrics: config.metrics.map(|metrics| metrics.bind.value),
                access_log,
                forwarded: config.forwarded,
                limits: config.limits,
                underscores_in_fields: config.underscores_in_fields,
            },
            listeners,
            snapshot::Parts {
                router,
                routes,
                upstreams,
                stores,
                traces,
                kept,
                tasks,
                preparations,
                effective: source.shown_without(&cx.hidden.places()),
            },
        )),
        _ => None,
    }
}

fn check_document(config: &Config, source: &Value, problems: &mut Vec<Problem>) {
    if config.version.value != 1 {
        let found = config.version.value;
        let message = format!("expected version 1, found {found}");
        problems.push(Problem::new(config.version.place.clone(), message));
    }
    let mut missing = |what: &str, example: &str| {
        problems.push(
            Problem::new(source.place.clone(), format!("there is no {what}"))
                .help(format!("write, for example: {example}")),
        );
    };
    if config.listeners.is_empty() {
        missing(
            "listener",
            "listeners: { public: { bind: \"127.0.0.1:8080\" } }",
        );
    }
    if config.routes.is_empty() {
        missing("route", "routes: [{ name: all, upstream: app }]");
    }
    let place = &source.at("timeouts").place;
    resilience::check_times(&config.timeouts, Timeouts::BUILT_IN, place, problems);
    admin::check(config, problems);
    names::check(source, problems);
    check_head(config, source, problems);
    check_bodies(&config.limits, source, problems);
    limits::check(&config.limits, source, problems);
}

/// A head fits what reads it behind the limit, and is large enough for what clients send.
fn check_head(config: &Config, source: &Value, problems: &mut Vec<Problem>) {
    let head = config.limits.head;
    if (Size::kib(1)..=Size::mib(1)).contains(&head) {
        return;
    }
    let place = limit_place(source, "head").unwrap_or(&source.place);
    let message = format!("expected 1KiB to 1MiB, found {head}");
    problems.push(Problem::new(place.clone(), message));
}

/// One body that a filter may ask for fits into the memory for all of them.
fn check_bodies(limits: &Limits, source: &Value, problems: &mut Vec<Problem>) {
    let (one, all) = (limits.buffered_body, limits.body_memory);
    if one <= all {
        return;
    }
    let places = ["buffered_body", "body_memory"].map(|name| limit_place(source, name));
    let related = match places {
        [Some(_), Some(all)] => Some(all),
        _ => None, // one of them is written, and told about
    };
    let place = places.into_iter().flatten().next();
    let message = format!(
        "a body of {one} (`buffered_body`) does not fit into the memory for all of them, {all} \
         (`body_memory`)"
    );
    let mut problem = Problem::new(place.unwrap_or(&source.place).clone(), message)
        .help("raise `body_memory`, or lower `buffered_body`");
    if let Some(place) = related {
        problem = problem.related(place.clone(), "the memory for all bodies");
    }
    problems.push(problem);
}

/// Where a limit is written.
fn limit_place<'v>(source: &'v Value, name: &str) -> Option<&'v Place> {
    let value = source.get("limits")?.get(name)?;
    Some(&value.place)
}

type Upstreams = HashMap<Arc<str>, Arc<Upstream>>;
type Tasks = Vec<Task>;
