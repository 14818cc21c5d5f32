//! What systemd is told while a gateway runs: that it is ready, how it is, and that it lives.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::compile::Snapshot;
use crate::listen::Listeners;
use crate::proxy::{Phase, Shared};
use crate::systemd::Notify;
use crate::upgrade::has_gone;

/// How often it is looked whether first health checks and keys are in.
const LOOK: Duration = Duration::from_millis(20);
/// How often the state is told, where it has changed.
const TELL: Duration = Duration::from_secs(1);

/// Waits for the first health checks, and for what filters fetch, such as the keys of issuers, for as
/// long as the configuration says: an endpoint that cannot be checked, or an issuer that is away, is no
/// reason to stay away for good.
pub(super) async fn first_answers(snapshot: &Snapshot) {
    let deadline = snapshot.settings.limits.start_deadline;
    let informed = async {
        while !snapshot.is_informed() {
            sleep(LOOK).await;
        }
    };
    if timeout(deadline.into(), informed).await.is_ok() {
        return;
    }
    let upstreams: Vec<&str> = snapshot.unchecked().map(|name| &**name).collect();
    if !upstreams.is_empty() {
        tracing::warn!(?upstreams, %deadline, "ready without the first health checks of some upstreams");
    }
    for fetches in snapshot.unfetched() {
        let (filter, from) = (fetches.filter, &fetches.from);
        tracing::warn!(filter, %from, %deadline, "ready without what a filter fetches");
    }
}

/// The same, unless the process ends meanwhile whose place this one is to take.
pub(super) async fn first_answers_or(
    snapshot: &Snapshot,
    mut ended: watch::Receiver<bool>,
) -> io::Result<()> {
    tokio::select! {
        () = first_answers(snapshot) => Ok(()),
        _ = ended.wait_for(|ended| *ended) => Err(has_gone()),
    }
}

/// Tells that what is under way may take so long, whatever the unit's own deadlines are.
pub(super) fn needs(most: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", most.as_micros())
}

/// The gateway is ready from now on, unless it has been told to stop meanwhile. Whether it is.
pub(super) fn become_ready(shared: &Shared) -> bool {
    shared.phase.send_if_modified(|phase| {
        let starting = *phase == Phase::Starting;
        if starting {
            *phase = Phase::Ready;
        }
        starting
    })
}

/// Says that it is.
pub(super) fn tell_ready(notify: &Arc<Notify>) {
    tracing::info!("ready");
    notify.insist_aside("READY=1");
}

/// Tells the state whenever it changes, as long as nothing else has taken over.
pub(super) async fn state(shared: Arc<Shared>, notify: Arc<Notify>, others: impl Fn() -> Vec<u32>) {
    let mut told = String::new();
    let mut draining: Option<Instant> = None;
    let mut every = interval(TELL);
    let mut phases = shared.phase.subscribe();
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = phases.changed() => {}
        }
        let connections = shared.metrics.open_connections();
        let generation = shared.live.load().generation;
        let end = time_to_end(&shared.live.load());
        let mut state = match *phases.borrow_and_update() {
            Phase::Starting => {
                format!("configuration {generation}, waiting for first health checks and keys")
            }
            Phase::Ready => format!("configuration {generation}, {connections} connections"),
            Phase::Draining => {
                let since = draining.get_or_insert_with(Instant::now).elapsed();
                let left = end.saturating_sub(since).as_secs();
                format!("draining: {connections} connections left, cut off in {left}s")
            }
            Phase::HandedOver => return,
        };
        match &*others() {
            [] => {}
            [pid] => state += &format!("; process {pid} finishes what it has"),
            pids => {
                let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
                state += &format!("; processes {} finish what they have", pids.join(", "));
            }
        }
        if state != told {
            notify.tell(&format!("STATUS={state}"));
            told = state;
        }
    }
}

/// How long the gateway may take to end once it was told to.
fn time_to_end(live: &Snapshot) -> Duration {
    let limits = &live.settings.limits;
    let delay = limits.drain_delay.map_or(Duration::ZERO, Duration::from);
    delay + Duration::from(limits.drain_deadline)
}

/// Tells that the process lives, as long as each worker answers: one that hangs is as bad as none.
pub(super) async fn life(
    every: Duration,
    notify: Arc<Notify>,
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
) {
    let mut rhythm = interval(every / 2);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.is_handed_over() {
        rhythm.tick().await;
        match timeout(every, listeners.answer()).await {
            Ok(true) => notify.tell("WATCHDOG=1"),
            Ok(false) => {
                tracing::error!("a worker has ended, so that no sign of life is given");
            }
            Err(_) => tracing::error!(
                ?every,
                "a worker does not answer, so that no sign of life is given"
            ),
        }
    }
}
