//! What all workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use wiregate_sdk::Clock;

use super::budget::Budget;
use crate::compile::Snapshot;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Metrics;
use crate::observe::traces::Exporters;
use crate::overload::Overload;

/// How far a gateway is from its start, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all that is to be known before the first request is known yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It was told to stop, and finishes what it has.
    Draining,
    /// Another process has taken its place, and it finishes what it has.
    HandedOver,
}

impl Phase {
    /// The word for it, in answers and states.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ok",
            Self::Draining | Self::HandedOver => "draining",
        }
    }
}

/// What all workers share.
pub struct Shared {
    /// The live configuration.
    pub live: ArcSwap<Snapshot>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// Where a line for each request goes.
    pub access_log: ArcSwap<Option<AccessLog>>,
    /// Whether that looks at what requests and responses have said: true before such a log is there, and until it is gone.
    logs_heads: AtomicBool,
    /// What sends spans.
    pub exporters: Exporters,
    /// Where time comes from.
    pub clock: Clock,
    /// How far the gateway is from its start, or its end.
    pub phase: watch::Sender<Phase>,
    /// What the gateway has taken on.
    pub overload: Arc<Overload>,
    pub(super) budget: Budget,
    /// Log lines that logs dropped which another one has replaced since.
    pub(super) formerly_dropped: AtomicU64,
}

impl Shared {
    /// Whether the log looks at what requests and responses have said.
    pub(super) fn logs_heads(&self) -> bool {
        self.logs_heads.load(Ordering::Acquire)
    }

    /// Puts another log in the place of the one that there is, which it gives.
    pub fn change_log(&self, log: Option<AccessLog>) -> Arc<Option<AccessLog>> {
        let looks = looks_at_heads(log.as_ref());
        if looks {
            self.logs_heads.store(true, Ordering::Release);
        }
        let former = self.access_log.swap(Arc::new(log));
        if !looks {
            self.logs_heads.store(false, Ordering::Release);
        }
        former
    }

    /// Shared parts around a first configuration, of a process that may open this many files.
    pub fn new(
        snapshot: Arc<Snapshot>,
        metrics: Arc<Metrics>,
        access_log: Option<AccessLog>,
        clock: Clock,
        descriptors: usize,
    ) -> Self {
        Self {
            live: ArcSwap::new(snapshot),
            overload: Arc::new(Overload::new(metrics.clone(), descriptors)),
            budget: Budget::new(metrics.body_memory().clone()),
            metrics,
            logs_heads: AtomicBool::new(looks_at_heads(access_log.as_ref())),
            access_log: ArcSwap::from_pointee(access_log),
            exporters: Exporters::default(),
            clock,
            phase: watch::Sender::new(Phase::Starting),
            formerly_dropped: AtomicU64::new(0),
        }
    }

    /// How far the gateway is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether another process has taken this one's place.
    pub fn is_handed_over(&self) -> bool {
        self.phase() == Phase::HandedOver
    }

    /// Whether the log asks about fields of responses.
    pub(super) fn log_asks_response(&self) -> bool {
        let log = self.access_log.load();
        (log.as_ref().as_ref()).is_some_and(|log| log.plan().asks_response)
    }

    /// Closes a log that another one has replaced, and takes over its count, with what it drops
    /// while it is closed.
    pub fn retire_log(&self, log: &AccessLog, grace: Duration) {
        log.close(grace);
        self.formerly_dropped
            .fetch_add(log.dropped(), Ordering::Relaxed);
    }
}

/// Whether a log looks at what requests and responses have said.
pub(super) fn looks_at_heads(log: Option<&AccessLog>) -> bool {
    log.is_some_and(|log| !log.plan().asks_nothing())
}
