//! Everything that one version of the configuration says, ready to run and never changed.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use tokio::task::AbortHandle;
use wiregate_sdk::build::{Fetches, Kept, Packed};
use wiregate_sdk::types::{CidrSet, Size};
use wiregate_sdk::{Chain, Clock};

use super::{
    Context, Forwarded, Limits, NamedStore, Tasks, Timeouts, UnderscoresInFields, Upstreams,
};
use crate::config::model::Bind;
use crate::config::model::listener::TrustedFields;
use crate::listen::ProxyProtocol;
use crate::listen::tls::Tls;
use crate::lock::lock;
use crate::observe::access_log::Plan;
use crate::observe::metrics::{LinkMetrics, RouteMetrics};
use crate::observe::traces::Traces;
use crate::overload::{Mark, soft_mark};
use crate::router::Router;
use crate::upstream::{Split, Upstream};

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
    /// The stores of the cache, in the order of the configuration.
    pub stores: Vec<NamedStore>,
    /// Those of them that routes use, by position.
    pub used_stores: Vec<usize>,
    /// Whether there are requests that the cache may answer before there is an exchange.
    pub answers_at_once: bool,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<Arc<Listening>>,
    /// How requests are traced, where they are.
    pub traces: Option<Traces>,
    /// What holds for the whole gateway.
    pub settings: Settings,
    /// The configuration as it is in force, secrets hidden.
    pub effective: serde_json::Value,
    /// What is counted about requests that no route takes.
    pub unrouted: RouteMetrics,
    pub(super) kept: Kept,
    preparations: Mutex<Tasks>,
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
    /// Where the metrics and the probes answer, and nothing else.
    pub metrics: Option<Bind>,
    /// What the access log is to be, where there is one.
    pub access_log: Option<Arc<Plan>>,
    /// Which fields tell an upstream who asked.
    pub forwarded: Forwarded,
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
    pub goal: Option<Goal>,
    /// How long each step may take, where it says so itself.
    pub timeouts: Timeouts,
    /// What is counted about it.
    pub metrics: RouteMetrics,
    /// What is counted about its filters.
    pub link_metrics: Arc<[LinkMetrics]>,
    /// How many fields they add to a response, about.
    pub adds_fields: usize,
}

/// Where a route's requests go.
pub enum Goal {
    /// To one upstream.
    One(Arc<Upstream>),
    /// To several, in shares.
    Split(Split),
}

impl Goal {
    /// All upstreams that requests may go to, but for fallbacks.
    pub fn upstreams(&self) -> Vec<&Arc<Upstream>> {
        match self {
            Self::One(upstream) => vec![upstream],
            Self::Split(split) => split.upstreams(),
        }
    }
}

/// A listener, ready to run.
#[derive(Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Its place among the listeners.
    pub position: usize,
    /// Its address.
    pub bind: Bind,
    /// Who is believed about where a request comes from.
    pub trusted: CidrSet,
    /// In which fields.
    pub trusted_fields: TrustedFields,
    /// From whom a PROXY header is expected.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many connections may be open.
    pub max_connections: usize,
    /// How many of them may be of one client.
    pub max_connections_per_client: Option<u32>,
    /// TLS, where it is spoken.
    pub tls: Option<Tls>,
}

/// The key under which the number of the configuration goes over to the next process.
const GENERATION: &str = "generation";

/// What the compiler has built, before it is a snapshot.
pub(super) struct Parts {
    pub(super) router: Router,
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Upstreams,
    pub(super) stores: Vec<NamedStore>,
    pub(super) traces: Option<Traces>,
    pub(super) kept: Kept,
    pub(super) preparations: Tasks,
    pub(super) tasks: Tasks,
    pub(super) effective: serde_json::Value,
}

impl Listening {
    /// Whether anything comes before a connection's first request.
    pub fn greets(&self) -> bool {
        self.proxy_protocol.is_some() || self.tls.is_some()
    }
}

/// The number of the configuration that one goes on from, in this process or in the one before.
fn former(cx: &Context<'_>) -> Option<u64> {
    let packed = || {
        let bytes = cx.packed.get(GENERATION)?.as_slice();
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    cx.old.map(|old| old.generation).or_else(packed)
}

/// The stores of the cache that filters of these routes use, by position.
fn used_stores(routes: &[Route]) -> Vec<usize> {
    let links = routes.iter().flat_map(|route| &route.chain.links);
    let mut used: Vec<_> = links.flat_map(|link| &link.ties.stores).copied().collect();
    used.sort_unstable();
    used.dedup();
    used
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
            generation: former(cx).map_or(1, |former| former.saturating_add(1)),
            router: parts.router,
            used_stores: used_stores(&parts.routes),
            // A trace begins with an exchange.
            answers_at_once: parts.traces.is_none()
                && (parts.routes.iter()).any(|route| route.chain.plan_for_all().is_some()),
            routes: parts.routes,
            upstreams: parts.upstreams,
            stores: parts.stores,
            traces: parts.traces,
            listeners: listeners.into_iter().map(Arc::new).collect(),
            settings,
            effective: parts.effective,
            unrouted: RouteMetrics::new(cx.metrics.clone(), UNROUTED.into()),
            kept: parts.kept,
            preparations: Mutex::new(parts.preparations),
            tasks: Mutex::new(parts.tasks),
            running: Mutex::default(),
        }
    }

    /// A listener as this version of the configuration has it; as it was, where it is gone, or its address is another one.
    pub fn current<'l>(&'l self, listening: &'l Arc<Listening>) -> &'l Arc<Listening> {
        let same = self.listeners.get(listening.position);
        if let Some(own) = same.filter(|own| Arc::ptr_eq(own, listening)) {
            return own;
        }
        let mut own = self.listeners.iter();
        own.find(|own| own.name == listening.name && own.bind == listening.bind)
            .unwrap_or(listening)
    }

    /// Opens the stores of the cache. Blocks.
    ///
    /// # Errors
    /// Those that cannot be opened, by name.
    pub fn open_stores(&self, clock: &Clock) -> Result<(), Vec<(Arc<str>, io::Error)>> {
        self.open_each(|store| store.open(clock))
    }

    /// The same where another configuration is live, whose stores may have their folders until it is taken apart.
    ///
    /// # Errors
    /// Those that cannot be opened, and why.
    pub fn open_stores_over(
        &self,
        old: &Self,
        clock: &Clock,
    ) -> Result<(), Vec<(Arc<str>, io::Error)>> {
        self.open_each(|store| {
            let mut others = old.stores.iter();
            match others.any(|other| other.has_folder_of(store)) {
                true => store.open_after(clock),
                false => store.open_later(clock),
            }
        })
    }

    /// The same in a process that gets ready to take the place of another one, which has their folders still.
    ///
    /// # Errors
    /// Those that cannot be opened, and why.
    pub fn open_stores_before(&self, clock: &Clock) -> Result<(), Vec<(Arc<str>, io::Error)>> {
        self.open_each(|store| store.open_before(clock).map(drop))
    }

    /// Takes the folders of its stores that another process has given up. Nothing was asked for yet. One that
    /// cannot be had is done without, and that is told.
    pub fn take_folders(&self, clock: &Clock) {
        told(
            "cannot have its folder",
            self.open_each(|store| store.take_folder(clock)),
        );
    }

    /// Takes them back after all.
    pub fn take_folders_back(&self, clock: &Clock) {
        told(
            "cannot have its folder back",
            self.open_each(|store| store.take_folder_back(clock)),
        );
    }

    fn open_each(
        &self,
        open: impl Fn(&NamedStore) -> io::Result<()>,
    ) -> Result<(), Vec<(Arc<str>, io::Error)>> {
        let each = self.stores.iter();
        let failed = each.filter_map(|store| Some((store.name.clone(), open(store).err()?)));
        let failed: Vec<_> = failed.collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }

    /// Does what should be done before it goes live, such as finding the addresses of names. Blocks,
    /// within the bounds that each of them has.
    pub fn prepare(&self, runtime: &tokio::runtime::Handle) {
        let preparations = std::mem::take(&mut *lock(&self.preparations));
        if !preparations.is_empty() {
            // There, so that this thread has no threads of the runtime made, which are born as it is.
            let all = runtime.spawn(futures_util::future::join_all(preparations));
            if let Err(error) = runtime.block_on(all)
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// What to warn of, where all that is bounded by itself is together more than the soft mark of
    /// memory: full, it would have requests shed without an end.
    pub fn takes_too_much(&self) -> Option<String> {
        let limits = &self.settings.limits;
        let mark = soft_mark(&limits.memory)?;
        let caches: u64 = self.stores.iter().map(NamedStore::memory).sum();
        let all = Size::bytes(limits.body_memory.get().saturating_add(caches));
        let (bodies, caches) = (limits.body_memory, Size::bytes(caches));
        (all > mark.at).then(|| {
            let Mark { at, share, limit } = mark;
            format!(
                "`limits.body_memory` ({bodies}) and the memory of caches ({caches}) may take {all} together, more \
                 than {at}, the soft mark of memory ({share} of {limit}): beyond it requests get a 503"
            )
        })
    }

    /// What the process that takes this one's place needs.
    pub fn pack(&self) -> Packed {
        let mut packed = self.kept.pack();
        let generation = self.generation.to_le_bytes();
        packed.insert(GENERATION.to_owned(), generation.into());
        packed
    }

    /// Takes in what a former process has packed meanwhile.
    pub fn take_in(&self, packed: &Packed) {
        self.kept.take_in(packed);
        self.upstreams
            .values()
            .for_each(|upstream| upstream.is_told_more());
    }

    /// Whether all that it is to begin with is in: the first health checks of all endpoints, and
    /// what its filters fetch.
    pub fn is_informed(&self) -> bool {
        self.unchecked().next().is_none() && self.unfetched().is_empty()
    }

    /// What its filters fetch and never have so far.
    pub fn unfetched(&self) -> Vec<Arc<Fetches>> {
        let mut fetches = self.fetches();
        fetches.retain(|fetches| !fetches.is_there());
        fetches
    }

    /// What its filters fetch in the background.
    pub fn fetches(&self) -> Vec<Arc<Fetches>> {
        self.kept.all_fetches()
    }

    /// The upstreams that have endpoints whose first health check is not in.
    pub fn unchecked(&self) -> impl Iterator<Item = &Arc<str>> {
        let upstreams = self.upstreams.values();
        upstreams
            .filter(|upstream| !upstream.is_checked())
            .map(|upstream| &upstream.name)
    }

    /// Starts the tasks that belong to it: it is live. They stop when it is [retired](Self::retire)
    /// or dropped.
    pub fn go_live(&self, runtime: &tokio::runtime::Handle) {
        for upstream in self.upstreams.values() {
            upstream.go_live();
        }
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        let handles = tasks
            .into_iter()
            .map(|task| runtime.spawn(task).abort_handle());
        lock(&self.running).extend(handles);
    }

    /// Stops the tasks that belong to it: another one goes live. Requests that hold it go on. A task may
    /// be in the middle of something: what it still finds out is shown nowhere.
    pub fn retire(&self) {
        for upstream in self.upstreams.values() {
            upstream.retire();
        }
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

/// Says what could not be done about stores: they go on in memory.
fn told(what: &str, outcome: Result<(), Vec<(Arc<str>, io::Error)>>) {
    for (cache, error) in outcome.err().into_iter().flatten() {
        tracing::error!(%cache, %error, "the cache {what}");
    }
}
