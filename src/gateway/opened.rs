//! What is open before anything begins, and how it begins.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;
use wiregate_sdk::Clock;
use wiregate_sdk::build::Files;

use super::{Failure, Start};
use crate::admin::{self, Admin, Scope, Serving};
use crate::compile::Snapshot;
use crate::descriptors;
use crate::listen::{Bound, Listeners, Prepared, Task, Unbound};
use crate::observe::metrics::Metrics;
use crate::proxy::Shared;
use crate::reload::{self, From as GoOn};
use crate::upgrade::Upgrades;

/// How long the workers may take to accept connections.
const BEGIN: Duration = Duration::from_secs(5);

/// What is open before anything begins.
pub(super) struct Opened {
    pub(super) control: Runtime,
    pub(super) snapshot: Arc<Snapshot>,
    /// What the configuration was read from.
    pub(super) read: Files,
    pub(super) shared: Arc<Shared>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) prepared: Prepared,
    pub(super) tasks: Vec<UnboundedReceiver<Task>>,
    /// Where the admin API and the metrics answer.
    pub(super) answering: Vec<(Scope, Bound)>,
}

/// Reads the configuration and opens everything that it needs.
pub(super) fn open(start: &mut Start) -> Result<Opened, Failure> {
    let metrics = Metrics::new();
    let former = start.predecessor.as_ref();
    if let Some(began) = former.and_then(|former| former.service_start()) {
        metrics.service_began(began);
    }
    let from = match &start.predecessor {
        Some(predecessor) => GoOn::Packed(predecessor.packed()),
        None => GoOn::Nothing,
    };
    let loaded = reload::load(&start.path, &start.registry, &metrics, from);
    let loaded = loaded.map_err(Failure::Refused)?;
    let (snapshot, read) = (Arc::new(loaded.snapshot), loaded.sources.watch);
    let log = reload::open_log(snapshot.settings.access_log.as_ref())?;
    let control = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()?;
    let clock = Clock::default();
    match start.predecessor {
        Some(_) => snapshot.open_stores_before(&clock),
        None => snapshot.open_stores(&clock),
    }
    .map_err(unopened)?;
    // What is asked before the start is counted, too; the endpoints that it finds have series after that.
    metrics.keep_only(reload::names(&snapshot));
    snapshot.prepare(control.handle());
    metrics.keep_only(reload::names(&snapshot));
    metrics.is_live(snapshot.generation);
    let descriptors = raise_descriptors();
    let shared = Shared::new(snapshot.clone(), metrics, log, clock, descriptors);
    check_descriptors(&snapshot, descriptors);
    if let Some(why) = snapshot.takes_too_much() {
        tracing::warn!("{why}");
    }
    if let Some(traces) = &snapshot.traces {
        shared.exporters.start(&traces.exporter)?;
    }

    // Every socket is there before anything is said to be ready.
    let processors = std::thread::available_parallelism()?;
    let count = snapshot.settings.workers.unwrap_or(processors);
    shared.metrics.has_workers(count.get());
    let (mut handed, former) = std::mem::take(&mut start.sockets);
    handed.append(&mut start.systemd.sockets);
    let asked = admin::asked(&snapshot.settings)?;
    let (mut former, other): (Vec<_>, Vec<_>) =
        (former.into_iter()).partition(|former| asked.iter().any(|(_, bind)| *bind == former.bind));
    handed.extend(other); // it is closed with whatever else nobody asks for
    let (listeners, tasks) = Listeners::new(count.get(), handed);
    let prepared = listeners.prepare(&snapshot.listeners).map_err(together)?;
    let answering = asked.into_iter().map(|(scope, bind)| {
        let bound = admin::open(scope, &bind, &mut former)?;
        Ok((scope, bound))
    });
    let answering = answering.collect::<io::Result<_>>()?;
    Ok(Opened {
        control,
        snapshot,
        read,
        shared: Arc::new(shared),
        listeners: Arc::new(listeners),
        prepared,
        tasks,
        answering,
    })
}

/// Raises how many files the process may open to what the system allows; returns how many that is.
fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        // Where that is not allowed it stays as it is.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let most = getrlimit(Resource::Nofile).current;
    most.and_then(|most| usize::try_from(most).ok())
        .unwrap_or(usize::MAX)
}

/// Warns where more connections may come than there are descriptors for.
fn check_descriptors(snapshot: &Snapshot, descriptors: usize) {
    if let Some(connections) = snapshot.settings.limits.connections
        && connections.get() as usize > descriptors / 4 * 3
    {
        tracing::warn!(
            %connections,
            descriptors,
            "`limits.connections` is more than three quarters of the files that the process may open: a \
             request may need two"
        );
    }
}

/// Has the workers accept connections, and waits until they do.
pub(super) fn accept(
    control: &Runtime,
    listeners: &Listeners,
    prepared: Prepared,
) -> io::Result<()> {
    descriptors::count_taken();
    let beginning = listeners.change_to(prepared);
    let begun = async { tokio::time::timeout(BEGIN, beginning.done()).await };
    if control.block_on(begun).unwrap_or(false) {
        return Ok(());
    }
    Err(io::Error::other("the workers cannot accept connections"))
}

/// Has the admin API and the metrics answer.
pub(super) fn answer(
    sockets: Vec<(Scope, Bound)>,
    admin: impl Fn(Scope) -> Arc<Admin>,
    upgrades: &Upgrades,
    control: &Runtime,
) -> io::Result<Arc<[Serving]>> {
    let serving = sockets.into_iter().map(|(scope, socket)| {
        let address = socket.address.to_string();
        let serving = Serving::start(socket, admin(scope), control.handle())?;
        tracing::info!(address, "{} is listening", scope.word());
        Ok(serving)
    });
    let serving: Arc<[_]> = serving.collect::<io::Result<_>>()?;
    upgrades.with_answering(serving.clone());
    Ok(serving)
}

/// One error of all stores of the cache that cannot be opened.
fn unopened(failed: Vec<(Arc<str>, io::Error)>) -> io::Error {
    let each = failed.iter();
    let errors = each.map(|(name, error)| format!("the cache `{name}` cannot be opened: {error}"));
    io::Error::other(errors.collect::<Vec<_>>().join("; "))
}

/// One error of all listeners that cannot be opened.
fn together(unbound: Vec<Unbound>) -> io::Error {
    let errors = unbound
        .into_iter()
        .map(|unbound| io::Error::from(unbound).to_string());
    io::Error::other(errors.collect::<Vec<_>>().join("; "))
}
