//! Everything that one version of the configuration says, ready to run and never changed.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;
use wiregate_sdk::Chain;
use wiregate_sdk::build::Kept;
use wiregate_sdk::types::CidrSet;

use super::{AccessLog, Context, Limits, Listener, Tasks, UnderscoresInFields, Upstreams};
use crate::observe::metrics::{LinkMetrics, RouteMetrics};
use crate::router::Router;
use crate::upstream::Upstream;

/// What stands for the route of requests that no route takes.
pub const UNROUTED: &str = "-";

/// Everything that one version of the configuration says.
pub struct Snapshot {
    /// Its number, counted up with each reload.
    pub generation: u64,
    /// Finds the route of a request.
    pub router: Router,
    /// The routes, in the order of the configuration.
    pub routes: Vec<Route>,
    /// The upstreams, by name.
    pub upstreams: Upstreams,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<Arc<Listening>>,
    /// What holds for the whole gateway.
    pub settings: Settings,
    /// The configuration as it is in force, secrets hidden.
    pub effective: serde_json::Value,
    /// What is counted about requests that no route takes.
    pub unrouted: RouteMetrics,
    pub(super) kept: Kept,
    tasks: Mutex<Tasks>,
    running: Mutex<Vec<AbortHandle>>,
}

/// What holds for the whole gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker threads; one for each processor when absent.
    pub workers: Option<NonZeroUsize>,
    /// Where the admin API answers.
    pub admin: Option<String>,
    /// Where a line for each request goes.
    pub access_log: AccessLog,
    /// Bounds.
    pub limits: Limits,
    /// What becomes of fields whose name has an underscore.
    pub underscores_in_fields: UnderscoresInFields,
}

/// A route, ready to run.
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is written.
    pub place: String,
    /// Its filters.
    pub chain: Chain,
    /// Where its requests go, unless a filter answers or says otherwise.
    pub upstream: Option<Arc<Upstream>>,
    /// What is counted about it.
    pub metrics: RouteMetrics,
    /// What is counted about its filters.
    pub link_metrics: Vec<LinkMetrics>,
}

/// A listener, ready to run.
#[derive(Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Its address.
    pub bind: SocketAddr,
    /// Whose `X-Forwarded-*` fields are believed.
    pub trusted: CidrSet,
}

/// What the compiler has built, before it is a snapshot.
pub(super) struct Parts {
    pub(super) router: Router,
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Upstreams,
    pub(super) kept: Kept,
    pub(super) tasks: Tasks,
    pub(super) effective: serde_json::Value,
}

impl Listening {
    pub(super) fn new(name: String, config: Listener) -> Self {
        Self {
            name,
            bind: config.bind.value,
            trusted: config.trusted_proxies.into_iter().collect(),
        }
    }
}

impl Snapshot {
    pub(super) fn new(
        cx: &Context<'_>,
        settings: Settings,
        listeners: Vec<Listening>,
        mut parts: Parts,
    ) -> Self {
        parts.kept.seal();
        Self {
            generation: cx.old.map_or(1, |old| old.generation + 1),
            router: parts.router,
            routes: parts.routes,
            upstreams: parts.upstreams,
            listeners: listeners.into_iter().map(Arc::new).collect(),
            settings,
            effective: parts.effective,
            unrouted: RouteMetrics::new(cx.metrics.clone(), UNROUTED.into()),
            kept: parts.kept,
            tasks: Mutex::new(parts.tasks),
            running: Mutex::default(),
        }
    }

    /// The listener of this name, as this version of the configuration has it.
    pub fn listening(&self, name: &str) -> Option<Arc<Listening>> {
        self.listeners
            .iter()
            .find(|listening| listening.name == name)
            .cloned()
    }

    /// Starts the tasks that belong to it: it is live. They stop when it is [retired](Self::retire)
    /// or dropped.
    pub fn go_live(&self, runtime: &tokio::runtime::Handle) {
        for upstream in self.upstreams.values() {
            upstream.refresh(); // the metrics show what the endpoints' health is now
        }
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        let handles = tasks
            .into_iter()
            .map(|task| runtime.spawn(task).abort_handle());
        lock(&self.running).extend(handles);
    }

    /// Stops the tasks that belong to it: another one is live. Requests that hold it go on.
    pub fn retire(&self) {
        for task in lock(&self.running).drain(..) {
            task.abort();
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.retire();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
