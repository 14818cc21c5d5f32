//! Active health checks, over Pingora's connections.

mod grpc;
mod probe;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::connectors::http::Connector;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::task::{AbortHandle, JoinSet};

use super::{Address, Endpoint, Upstream, authorities};
use crate::config::model::upstream as model;
use crate::config::model::upstream::health::Start;
use crate::descriptors;
use probe::Probe;

/// First checks of endpoints that nothing is known of are spread over this time at most: the gateway
/// is not ready before they are in.
const FIRST: Duration = Duration::from_secs(1);

/// The connections of all checks. There is one, kept across reloads: making it reads the system's
/// certificates.
pub struct Connections {
    http: Connector,
    /// For checks that only connect.
    transport: TransportConnector,
}

/// So many connections of checks are kept.
const POOL: usize = 128;

impl Default for Connections {
    fn default() -> Self {
        let mut options = ConnectorOptions::new(POOL);
        options.ca_file = authorities::ca_file();
        Self {
            http: Connector::new(Some(options.clone())),
            transport: TransportConnector::new(Some(options)),
        }
    }
}

/// How an upstream's endpoints are checked.
pub struct Check {
    upstream: Arc<Upstream>,
    config: model::Health,
    connections: Arc<Connections>,
}

impl Check {
    /// A check of an upstream's endpoints.
    pub fn new(
        upstream: Arc<Upstream>,
        config: model::Health,
        connections: Arc<Connections>,
    ) -> Self {
        Self {
            upstream,
            config,
            connections,
        }
    }

    /// Checks all endpoints until dropped, each in a rhythm of its own, which goes on when others
    /// come or go.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut changes = this.upstream.changes();
        let mut tasks = JoinSet::new(); // dropping it ends them
        let mut watched: HashMap<Address, (Arc<Endpoint>, AbortHandle)> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let endpoints = this.upstream.members().endpoints.clone();
            watched.retain(|_, (known, task)| {
                // One in the place of another, at the same address, may be known by another name.
                let stays = endpoints
                    .iter()
                    .any(|endpoint| Arc::ptr_eq(endpoint, known));
                if !stays {
                    task.abort();
                }
                stays
            });
            for (position, endpoint) in endpoints.iter().enumerate() {
                watched.entry(endpoint.address.clone()).or_insert_with(|| {
                    let delay = this.first_delay(position, endpoints.len(), endpoint);
                    let second = this.second_delay(position, endpoints.len(), endpoint);
                    let watch = this.clone().watch(endpoint.clone(), delay, second);
                    (endpoint.clone(), tasks.spawn(watch))
                });
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                Some(_) = tasks.join_next() => {} // one that was ended
            }
        }
    }

    /// When an endpoint is checked first. What an earlier version of the configuration has checked
    /// or known is due when it would have been; others are spread over a moment, so that they are
    /// not all asked at once. One that waits for its first check gets it now.
    fn first_delay(&self, position: usize, count: usize, endpoint: &Endpoint) -> Duration {
        if endpoint.state.is_being_checked() {
            return Duration::ZERO; // it goes on where a reload has ended it
        }
        let (every, now) = (self.interval(endpoint), self.upstream.clock.instant());
        if let Some(since) = endpoint.state.since_check(now) {
            return every.saturating_sub(since);
        }
        if self.config.start == Start::Unhealthy {
            return Duration::ZERO;
        }
        let spread = every.min(FIRST).mul_f64(share(position, count));
        spread.saturating_sub(endpoint.state.age(now))
    }

    /// The time between the first check of an endpoint and the second: from then on they are spread
    /// over half of the interval.
    fn second_delay(&self, position: usize, count: usize, endpoint: &Endpoint) -> Option<Duration> {
        let now = self.upstream.clock.instant();
        let fresh = endpoint.state.since_check(now).is_none();
        let share = f64::midpoint(1.0, share(position, count));
        fresh.then(|| self.interval(endpoint).mul_f64(share))
    }

    /// The time to an endpoint's next check.
    fn interval(&self, endpoint: &Endpoint) -> Duration {
        let every = match self.config.every_unhealthy {
            Some(every) if !endpoint.is_healthy() => every,
            _ => self.config.every,
        };
        let jitter = self.config.jitter.fraction();
        every.mul_f64(1.0 + jitter * fastrand::f64().mul_add(2.0, -1.0))
    }

    async fn watch(
        self: Arc<Self>,
        endpoint: Arc<Endpoint>,
        delay: Duration,
        mut second: Option<Duration>,
    ) {
        let probe = self.probe(&endpoint);
        // Pingora's interface wants to name what is checked; the probe knows it already.
        let target = Backend::new("127.0.0.1:0").expect("a socket address");
        tokio::time::sleep(delay).await;
        loop {
            let (now, timeout) = (self.upstream.clock.instant(), self.config.timeout.into());
            let left = endpoint.state.begin_check(now, timeout);
            let passed = match tokio::time::timeout(left, probe.check(&target)).await {
                Ok(Ok(())) => Some(true),
                // Not the endpoint's fault: it stays what it is.
                Ok(Err(error)) if descriptors::is_lack(error.root_cause()) => None,
                Ok(Err(_)) | Err(_) => Some(false),
            };
            self.upstream.metrics.checked(passed);
            self.settle(&endpoint, self.verdict(&probe, &endpoint, passed));
            let delay = second.take_if(|_| passed.is_some());
            let delay = delay.filter(|_| endpoint.is_healthy());
            tokio::time::sleep(delay.unwrap_or_else(|| self.interval(&endpoint))).await;
        }
    }

    /// What a check shows together with those before it; `None` where that is too little to tell. One that was not
    /// made shows nothing.
    fn verdict(&self, probe: &Probe, endpoint: &Endpoint, passed: Option<bool>) -> Option<bool> {
        let now = self.upstream.clock.instant();
        let Some(passed) = passed else {
            endpoint.state.was_not_checked();
            return None;
        };
        let in_a_row = endpoint.state.checked(passed, now) as usize;
        let first = self.config.start == Start::Unhealthy && !endpoint.state.is_proven();
        (first || in_a_row >= probe.health_threshold(passed)).then_some(passed)
    }

    /// Acts on what a check has shown; nothing where that is too little to tell yet.
    fn settle(&self, endpoint: &Endpoint, verdict: Option<bool>) {
        let now = self.upstream.clock.instant();
        if let Some(healthy) = verdict
            && endpoint.set_healthy(healthy, now)
        {
            let (upstream, address) = (&self.upstream.name, &endpoint.label);
            if healthy {
                // Why it was out before it was down matters no more.
                endpoint.state.readmit(now);
                tracing::info!(%upstream, %address, "endpoint is healthy");
            } else {
                tracing::warn!(%upstream, %address, "endpoint is unhealthy");
            }
        }
        self.upstream.keep_up();
    }

    fn probe(&self, endpoint: &Endpoint) -> Probe {
        Probe::new(&self.config, endpoint, self.connections.clone())
    }
}

/// The place of one among so many, from 0 to less than 1.
fn share(position: usize, count: usize) -> f64 {
    position as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;
    use crate::observe::metrics::{Metrics, UpstreamMetrics};
    use crate::upstream::testing::config;
    use crate::upstream::{Ask, Reach, State, States, Wish};

    /// A check of an upstream with one endpoint, as a version of the configuration makes it.
    fn check(options: &str, state: &Arc<State>) -> Check {
        let config = config(&format!("health: {{ http: / {options} }}"));
        let address: Address = "127.0.0.1:1".parse().unwrap();
        let peer = Reach::new("app", &config, None)
            .peer(&address, None)
            .unwrap();
        let endpoint = Endpoint::new(address, 1, peer, state.clone());
        let metrics = UpstreamMetrics::new(Metrics::new(), "app".into());
        let upstream = Upstream::new(
            "app".into(),
            &config,
            Default::default(),
            vec![Arc::new(endpoint)],
            metrics,
            &Default::default(),
        );
        let health = config.health.unwrap();
        Check::new(Arc::new(upstream), health, Arc::default())
    }

    fn chooses(check: &Check) -> bool {
        let (wish, now) = (Wish::default(), check.upstream.clock.instant());
        check.upstream.choose(&Ask::new(&[], &wish, now)).is_ok()
    }

    #[test]
    fn a_retired_check_that_ends_late_strands_nobody() {
        let state = Arc::default();
        let (retired, live) = (check("", &state), check("", &state));
        live.upstream.refresh();
        let settle =
            |check: &Check, verdict| check.settle(&check.upstream.members().endpoints[0], verdict);

        settle(&retired, Some(false));
        settle(&live, Some(false)); // no news for the state, but for this rotation
        assert!(!chooses(&live));
        settle(&retired, Some(true));
        settle(&live, None); // one check is too little to tell, but enough to look
        assert!(chooses(&live));
    }

    /// A listener, and how often it was connected to so far.
    async fn counting() -> (Address, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Inet(listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                drop(stream);
            }
        });
        (address, count)
    }

    async fn until(what: &str, so: impl Fn() -> bool) {
        let waiting = async {
            while !so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, waiting).await.expect(what);
    }

    #[tokio::test]
    async fn endpoints_are_checked_from_when_they_come_until_they_leave() {
        let config = config("health: { tcp: true, every: 20ms }");
        let reach = Reach::new("app", &config, None);
        let ((a, asked_a), (b, asked_b)) = (counting().await, counting().await);
        let endpoint = |address: &Address| {
            let peer = reach.peer(address, None).unwrap();
            Arc::new(Endpoint::new(address.clone(), 1, peer, Arc::default()))
        };
        let (a, b) = (endpoint(&a), endpoint(&b));
        let metrics = UpstreamMetrics::new(Metrics::new(), "app".into());
        let upstream = Arc::new(Upstream::new(
            "app".into(),
            &config,
            Default::default(),
            vec![a.clone()],
            metrics,
            &Default::default(),
        ));
        let check = Check::new(upstream.clone(), config.health.unwrap(), Arc::default());
        let checking = tokio::spawn(check.run());
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        until("the first one is checked", || count(&asked_a) > 2).await;
        assert_eq!(count(&asked_b), 0);

        upstream.replace(vec![a, b.clone()]);
        let before = count(&asked_a);
        until("both are checked", || {
            count(&asked_b) > 2 && count(&asked_a) > before + 2
        })
        .await;

        upstream.replace(vec![b]);
        let before = count(&asked_b);
        until("it has noticed", || count(&asked_b) > before + 5).await;
        let (left, stays) = (count(&asked_a), count(&asked_b));
        until("the other one is checked", || count(&asked_b) > stays + 5).await;
        assert!(count(&asked_a) <= left + 1, "one may have been under way");
        checking.abort();
    }

    #[tokio::test]
    async fn what_takes_an_endpoints_place_at_its_address_is_checked_instead_of_it() {
        let config = config("health: { tcp: true, every: 20ms }");
        let reach = Reach::new("app", &config, None);
        let ((a, asked_a), (b, asked_b)) = (counting().await, counting().await);
        let state: Arc<State> = Arc::default();
        let known_by = |way: &Address| {
            let peer = reach.peer(way, None).unwrap();
            Arc::new(Endpoint::new(a.clone(), 1, peer, state.clone()))
        };
        let metrics = UpstreamMetrics::new(Metrics::new(), "app".into());
        let upstream = Arc::new(Upstream::new(
            "app".into(),
            &config,
            Default::default(),
            vec![known_by(&a)],
            metrics,
            &Default::default(),
        ));
        let check = Check::new(upstream.clone(), config.health.unwrap(), Arc::default());
        let checking = tokio::spawn(check.run());
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        until("the first one is checked", || count(&asked_a) > 2).await;

        upstream.replace(vec![known_by(&b)]);
        until("the other one is checked", || count(&asked_b) > 2).await;
        let left = count(&asked_a);
        let before = count(&asked_b);
        until("it goes on", || count(&asked_b) > before + 5).await;
        assert_eq!(count(&asked_a), left);
        checking.abort();
    }

    /// Checks that come out like this, each by another version of the configuration; or are not made.
    fn checks(
        options: &str,
        state: &Arc<State>,
        outcomes: impl IntoIterator<Item = impl Into<Option<bool>>>,
    ) -> Vec<bool> {
        let each = outcomes.into_iter().map(|passed| {
            let check = check(options, state);
            let endpoint = check.upstream.members().endpoints[0].clone();
            let now = check.upstream.clock.instant();
            endpoint.state.begin_check(now, Duration::from_secs(1));
            let verdict = check.verdict(&check.probe(&endpoint), &endpoint, passed.into());
            assert!(!endpoint.state.is_being_checked());
            check.settle(&endpoint, verdict);
            chooses(&check)
        });
        each.collect()
    }

    #[test]
    fn rows_of_checks_go_on_over_reloads() {
        let states = States::default();
        let state = states.of(&"127.0.0.1:1".parse().unwrap());
        let outcomes = [false, false, true, true, false, true, false, false];
        let seen = checks("", &state, outcomes);
        assert_eq!(seen, [true, false, false, true, true, true, true, false]);
    }

    #[test]
    fn a_check_that_was_not_made_counts_for_nothing() {
        let states = States::new(false);
        let state = states.of(&"127.0.0.1:1".parse().unwrap());
        let outcomes = [None, None, Some(true), None, Some(false), None, Some(false)];
        let seen = checks(", start: unhealthy", &state, outcomes);
        assert_eq!(seen, [false, false, true, true, true, true, false]);
    }

    #[test]
    fn one_check_proves_an_endpoint_that_nothing_is_known_of() {
        let options = ", start: unhealthy";
        for (outcomes, expected) in [
            (&[true, false, false][..], &[true, true, false][..]),
            (&[false, true, true], &[false, false, true]),
        ] {
            let states = States::new(false);
            let state = states.of(&"127.0.0.1:1".parse().unwrap());
            assert!(!chooses(&check(options, &state)));
            assert_eq!(checks(options, &state, outcomes.iter().copied()), expected);
        }
    }

    #[test]
    fn rhythms_are_spread_jittered_and_kept() {
        let state: Arc<State> = Arc::default();
        let check = check(", every: 10s, every_unhealthy: 1s, jitter: 10%", &state);
        let endpoint = check.upstream.members().endpoints[0].clone();
        let seconds = |delay: Duration| delay.as_secs_f64();
        for _ in 0..100 {
            // The time that it has been known for counts.
            let known = seconds(endpoint.state.age(check.upstream.clock.instant()));
            let second_of_two = seconds(check.first_delay(1, 2, &endpoint));
            let spread = 0.5 - known - 0.1..=0.5;
            assert!(spread.contains(&second_of_two), "{second_of_two}");
            let second = seconds(check.second_delay(1, 2, &endpoint).unwrap());
            assert!((6.7..=8.3).contains(&second), "{second}");
            let every = seconds(check.interval(&endpoint));
            assert!((9.0..=11.0).contains(&every), "{every}");
        }
        endpoint.state.checked(true, check.upstream.clock.instant());
        assert_eq!(check.second_delay(1, 2, &endpoint), None);
        let kept = seconds(check.first_delay(1, 2, &endpoint));
        assert!((8.0..=11.0).contains(&kept), "{kept}");
        endpoint.set_healthy(false, check.upstream.clock.instant());
        assert!(seconds(check.interval(&endpoint)) < 1.2);
    }
}
