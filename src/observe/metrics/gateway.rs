//! What is counted about the gateway itself.

use std::time::{Duration, SystemTime};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use super::family::families;
use super::shards::{Family, Histogram};

families! {
    /// The gateway
    pub(super) struct Process {
        /// Always 1; says which build this is.
        build: IntGaugeVec = "wiregate_build_info" [version];
        /// Worker threads.
        workers: IntGauge = "wiregate_workers" [];
        /// 1 for what the gateway is: `starting`, `ready` or `draining`.
        phase: IntGaugeVec = "wiregate_phase" [phase];
        /// The number of the running configuration.
        generation: IntGauge = "wiregate_config_generation" [];
        /// 1 when the last configuration that was offered is running.
        successful: IntGauge = "wiregate_config_last_reload_successful" [];
        /// Former configurations that are still in memory, because requests that began with them go on.
        retired: IntGauge = "wiregate_config_retired" [];
        /// When the running configuration was loaded.
        success: IntGauge = "wiregate_config_last_reload_success_timestamp_seconds" [];
        /// Reloads: `ok`, `refused`, `held_back` during an upgrade, or `broken`.
        reloads: IntCounterVec = "wiregate_config_reloads_total" [result];
        /// How long reloads took, up to the moment when the configuration was live or refused.
        reload: Family<Histogram> = "wiregate_config_reload_duration_seconds" [];
        /// Upgrades: those that have `failed`, and in a process that has taken another one's place
        /// one that is `done`.
        upgrades: IntCounterVec = "wiregate_upgrades_total" [result];
        /// When the service was started: by itself, and not by an upgrade, which is none of its starts.
        service_start: IntGauge = "wiregate_service_start_time_seconds" [];
        /// Access log lines that were dropped: the writer could not keep up, or not write.
        log_dropped: IntCounter = "wiregate_access_log_dropped_total" [];
    }
}

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The new configuration is live.
    Ok,
    /// It is refused, and the running one stays.
    Refused,
    /// It was not looked at: another process is to take this one's place.
    HeldBack,
    /// The reload itself broke off.
    Broken,
}

impl Reloaded {
    const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::HeldBack, Self::Broken];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::HeldBack => "held_back",
            Self::Broken => "broken",
        }
    }
}

/// The phases that can be seen: nobody asks a process whose place another one has taken.
const PHASES: [&str; 3] = ["starting", "ready", "draining"];

impl Process {
    /// What is there from the beginning, so that the first failure is an increase.
    pub(super) fn begin(&self) {
        let version = env!("CARGO_PKG_VERSION");
        self.build.with_label_values(&[version]).set(1);
        self.service_start.set(super::timestamp(SystemTime::now()));
        for result in Reloaded::ALL {
            let _ = self.reloads.with_label_values(&[result.word()]);
        }
        for result in ["done", "failed"] {
            let _ = self.upgrades.with_label_values(&[result]);
        }
        let _ = self.reload.with_label_values::<&str>(&[]);
    }
}

impl Metrics {
    /// A configuration is live.
    pub fn is_live(&self, generation: u64) {
        let process = &self.process;
        process.successful.set(1);
        process.success.set(super::timestamp(SystemTime::now()));
        let generation = i64::try_from(generation).unwrap_or(i64::MAX);
        process.generation.set(generation);
    }

    /// A former configuration is held by its last requests. Returns how many are.
    pub fn retires(&self) -> i64 {
        self.process.retired.inc();
        self.process.retired.get()
    }

    /// No request holds it any more.
    pub fn buries(&self) {
        self.process.retired.dec();
    }

    /// A reload has ended, after this time.
    pub fn reloaded(&self, outcome: Reloaded, took: Duration) {
        let process = &self.process;
        process.reloads.with_label_values(&[outcome.word()]).inc();
        if outcome != Reloaded::HeldBack {
            process.successful.set(i64::from(outcome == Reloaded::Ok));
            process.reload.with_label_values::<&str>(&[]).observe(took);
        }
    }

    /// Whether the last configuration that was offered is running.
    pub fn reload_was_successful(&self) -> bool {
        self.process.successful.get() == 1
    }

    /// So many workers carry the traffic.
    pub fn has_workers(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.process.workers.set(count);
    }

    /// An upgrade of this process has failed, or this process is the outcome of one.
    pub fn upgraded(&self, done: bool) {
        let result = if done { "done" } else { "failed" };
        self.process.upgrades.with_label_values(&[result]).inc();
    }

    /// When the service was started, in seconds since 1970.
    pub fn service_start(&self) -> i64 {
        self.process.service_start.get()
    }

    /// The service was started then, by a process whose place this one takes.
    pub fn service_began(&self, seconds: i64) {
        self.process.service_start.set(seconds);
    }

    /// Shows how far the gateway is.
    pub fn show_phase(&self, present: &str) {
        for phase in PHASES {
            let gauge = self.process.phase.with_label_values(&[phase]);
            gauge.set(i64::from(phase == present));
        }
    }

    /// Shows how many lines of the access log were dropped since the start.
    pub fn show_log_dropped(&self, dropped: u64) {
        let counter = &self.process.log_dropped;
        counter.inc_by(dropped.saturating_sub(counter.get()));
    }

    /// Shows how much memory bodies may take.
    pub fn show_body_memory_limit(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.requests.body_memory_limit.set(bytes);
    }
}
