//! Routes, and what the router is made from.

use std::collections::HashMap;
use std::sync::Arc;

use wiregate_sdk::chain::OnPanic;
use wiregate_sdk::value::{At, Node, Place, Value};
use wiregate_sdk::{Chain, Link, Mode};

use super::{Context, Route, RouteConfig, Told, Upstreams, chain};
use crate::config::model::upstream::Timeouts;
use crate::observe::metrics::{LinkMetrics, LinkTimes, RouteMetrics};
use crate::router::{RouteSpec, Written};

/// What all routes are built with.
pub(super) struct Builder<'a> {
    cx: &'a Context<'a>,
    told: &'a Told<'a>,
    upstreams: &'a Upstreams,
    /// The filters that run on every route.
    global: Vec<Link>,
    on_panic: OnPanic,
    /// The match of each route, by the route's place.
    matches: HashMap<&'a Place, &'a Value>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        cx: &'a Context<'a>,
        told: &'a Told<'a>,
        upstreams: &'a Upstreams,
        global: Vec<Link>,
        source: &'a Value,
    ) -> Self {
        let panics = cx.metrics.panics().clone();
        Self {
            cx,
            told,
            upstreams,
            global,
            on_panic: Arc::new(move || panics.inc()),
            matches: matches(source),
        }
    }

    /// A route, and what the router is to know of it: nothing where a part of what it says is known to be
    /// wrong. Without that, it could seem to lack parameters, or to clash with others.
    pub(super) fn build(
        &self,
        route: At<RouteConfig>,
        chains: &mut chain::Builder<'_>,
    ) -> (Route, Option<RouteSpec>) {
        let (place, route) = (route.place, route.value);
        let mut chain = Chain {
            links: self.global.clone(),
            on_panic: Some(self.on_panic.clone()),
            watch: None,
        };
        let whole = !self.told.covers(&place);
        let params = whole.then(|| route.matches.params());
        chains.extend(&mut chain, &route, params.as_deref());
        let goal = chains.goal_of(&route, &place, &chain, self.upstreams);
        let name: Arc<str> = route.name.value.as_str().into();
        let timeouts = route.timeouts.as_deref().copied().unwrap_or_default();
        let mut built = finish(&name, chain, self.cx, &place);
        (built.goal, built.timeouts) = (goal, timeouts);
        let spec = whole.then(|| RouteSpec {
            name,
            written: self.matches.get(&place).copied().and_then(Written::new),
            place,
            matching: route.matches,
            preflights: preflights(&built.chain, self.cx),
            priority: route.priority.unwrap_or(0),
        });
        (built, spec)
    }
}

/// The match of each route, by the route's place.
fn matches(source: &Value) -> HashMap<&Place, &Value> {
    let Some(Node::List(routes)) = source.get("routes").map(|routes| &routes.node) else {
        return HashMap::new();
    };
    let matching = routes
        .iter()
        .map(|route| (&route.place, route.get("match")));
    matching
        .filter_map(|(place, matching)| Some((place, matching?)))
        .collect()
}

/// A route with its chain, and what is counted about both.
fn finish(name: &Arc<str>, mut chain: Chain, cx: &Context<'_>, place: &Place) -> Route {
    let metrics = cx.metrics;
    let links: Arc<[LinkMetrics]> = (chain.links.iter())
        .map(|link| LinkMetrics::new(metrics.clone(), name.clone(), &link.label))
        .collect();
    if !links.is_empty() {
        chain.watch = Some(Arc::new(LinkTimes {
            links: links.clone(),
            clock: cx.clock.clone(),
        }));
    }
    Route {
        name: name.clone(),
        place: place.to_string(),
        metrics: RouteMetrics::new(metrics.clone(), name.clone()),
        link_metrics: links,
        adds_fields: (chain.links.iter()).map(|link| link.ties.adds_fields).sum(),
        chain,
        goal: None,
        timeouts: Timeouts::default(),
    }
}

/// Whether one of its filters answers preflights.
fn preflights(chain: &Chain, cx: &Context<'_>) -> bool {
    let acting = (chain.links.iter()).filter(|link| link.mode == Mode::Enforce);
    let mut entries = acting.filter_map(|link| cx.registry.get(link.name));
    entries.any(|entry| entry.preflights)
}
