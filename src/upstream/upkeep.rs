//! What happens to an upstream's endpoints by time and by their answers: they are taken out, come
//! back, and gain weight. One task for each upstream, so that no request waits for any of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::outliers::{Reason, most_out, stand_out};
use super::{Endpoint, Upstream};
use crate::config::model::upstream::Outliers;

/// How often weights are worked out anew while endpoints gain some.
const RAMP: Duration = Duration::from_secs(1);
/// How long the task sleeps where nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// When the present interval of an upstream ends. It is kept across reloads: those that come faster
/// than an interval ends do not keep it from ending.
#[derive(Default)]
pub struct Interval(Mutex<Option<Instant>>);

impl Interval {
    /// Whether it has ended, and how long it still takes. The next one begins then.
    fn passed(&self, now: Instant, every: Duration) -> (bool, Duration) {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another configuration may have had longer ones.
        let due = end.map_or(now + every, |end| end.min(now + every));
        let passed = now >= due;
        let next = if passed { now + every } else { due };
        *end = Some(next);
        (passed, next - now)
    }
}

/// Keeps an upstream up to date until dropped.
pub async fn keep(upstream: Arc<Upstream>, interval: Arc<Interval>) {
    let mut changes = upstream.changes();
    let every = (upstream.policy.outliers.as_ref()).map_or(LONG, |config| config.every.get());
    loop {
        changes.borrow_and_update();
        let now = upstream.clock.instant();
        upstream.look_at_errors(now);
        let (passed, left) = interval.passed(now, every);
        if passed {
            upstream.look_at_interval(now);
        }
        upstream.readmit(now);
        if upstream.members().ramps {
            upstream.refresh();
        } else {
            upstream.keep_up();
        }
        let due = upstream.due(now).min(left);
        tokio::select! {
            () = upstream.alarm.notified() => {}
            () = tokio::time::sleep(due) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

impl Upstream {
    /// Takes out those with too many errors in a row.
    fn look_at_errors(&self, now: Instant) {
        let Some(config) = &self.policy.outliers else {
            return;
        };
        let Some(most) = config.consecutive_errors else {
            return;
        };
        for endpoint in self.members().endpoints.iter() {
            if endpoint.state.errors_in_a_row() < most.get() {
                continue;
            }
            endpoint.state.forget_errors();
            self.eject(config, endpoint, Reason::ConsecutiveErrors, now);
        }
    }

    /// Takes out those that stood out in the interval that ends now.
    fn look_at_interval(&self, now: Instant) {
        let Some(config) = &self.policy.outliers else {
            return;
        };
        let endpoints = self.members().endpoints.clone();
        let windows: Vec<_> = endpoints.iter().map(|e| e.state.take_window()).collect();
        for (endpoint, reason) in endpoints.iter().zip(stand_out(config, &windows)) {
            match reason {
                Some(reason) => self.eject(config, endpoint, reason, now),
                None if !endpoint.state.is_ejected() => endpoint.state.behaved(),
                None => {}
            }
        }
    }

    fn eject(&self, config: &Outliers, endpoint: &Endpoint, reason: Reason, now: Instant) {
        let members = self.members();
        let out = |endpoint: &&Arc<Endpoint>| endpoint.state.is_ejected();
        let others_get_requests = (members.endpoints.iter())
            .any(|other| other.address != endpoint.address && self.policy.has(other));
        let already = members.endpoints.iter().filter(out).count();
        let too_many = already >= most_out(config, members.endpoints.len());
        if endpoint.state.is_ejected() || too_many || !others_get_requests {
            return;
        }
        let (once, longest) = (config.eject_for.get(), config.longest.get());
        let time = endpoint.state.eject(now, once, longest);
        let (upstream, address, reason) = (&self.name, &endpoint.label, reason.word());
        tracing::warn!(%upstream, %address, reason, ?time, "endpoint is ejected");
        self.metrics.ejected(reason);
    }

    /// Lets those in again whose time is over.
    fn readmit(&self, now: Instant) {
        if self.policy.outliers.is_none() {
            return;
        }
        for endpoint in self.members().endpoints.iter() {
            if endpoint
                .state
                .ejected_for(now)
                .is_some_and(|left| left.is_zero())
            {
                endpoint.state.readmit(now);
                let (upstream, address) = (&self.name, &endpoint.label);
                tracing::info!(%upstream, %address, "endpoint gets requests again");
            }
        }
    }

    /// When to look again, where nothing happens before.
    fn due(&self, now: Instant) -> Duration {
        let members = self.members();
        let back = (members.endpoints.iter())
            .filter_map(|endpoint| endpoint.ejected_for(now))
            .map(|left| left.max(Duration::from_millis(1)))
            .min();
        let ramp = (self.policy.slow_start.filter(|_| members.ramps))
            .map(|whole| RAMP.min((whole / 10).max(Duration::from_millis(10))));
        back.into_iter().chain(ramp).min().unwrap_or(LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing::upstream;
    use crate::upstream::{Ask, Outcome, Wish};
    use wiregate_sdk::Clock;

    const TIME: Duration = Duration::from_millis(1);

    fn with(options: &str, count: usize) -> (Upstream, Clock) {
        let clock = Clock::manual();
        (upstream(options, count).timed_by(clock.clone()), clock)
    }

    /// One round of the task.
    fn tend(upstream: &Upstream, interval_ends: bool) {
        let now = upstream.clock.instant();
        upstream.look_at_errors(now);
        if interval_ends {
            upstream.look_at_interval(now);
        }
        upstream.readmit(now);
        upstream.keep_up();
    }

    fn fail(upstream: &Upstream, position: usize, times: u32) {
        let endpoint = upstream.members().endpoints[position].clone();
        for _ in 0..times {
            upstream.report(&endpoint, Outcome::Failed, TIME, upstream.clock.instant());
        }
    }

    fn answer(upstream: &Upstream, position: usize, times: u32, waited: Duration) {
        let endpoint = upstream.members().endpoints[position].clone();
        for _ in 0..times {
            let status = http::StatusCode::OK;
            let outcome = Outcome::Answered(status);
            upstream.report(&endpoint, outcome, waited, upstream.clock.instant());
            upstream.ended(&endpoint, status);
        }
    }

    fn out(upstream: &Upstream) -> Vec<usize> {
        let members = upstream.members();
        let all = members.endpoints.iter().enumerate();
        all.filter(|(_, endpoint)| endpoint.state.is_ejected())
            .map(|(position, _)| position)
            .collect()
    }

    #[test]
    fn errors_in_a_row_eject_and_time_brings_back() {
        let (upstream, clock) = with("outliers: { consecutive_errors: 3, eject_for: 10s }", 3);
        fail(&upstream, 1, 2);
        answer(&upstream, 1, 1, TIME);
        fail(&upstream, 1, 2);
        tend(&upstream, false);
        assert!(out(&upstream).is_empty());
        fail(&upstream, 1, 1);
        tend(&upstream, false);
        assert_eq!(out(&upstream), [1]);
        let wish = Wish::default();
        let ask = Ask::new(&[], &wish, clock.instant());
        for _ in 0..20 {
            let chosen = upstream.choose(&ask).unwrap();
            assert_ne!(chosen.endpoint().address.to_string(), "10.0.0.1:2");
        }
        clock.advance(Duration::from_secs(9));
        tend(&upstream, false);
        assert_eq!(out(&upstream), [1]);
        clock.advance(Duration::from_secs(2));
        tend(&upstream, false);
        assert!(out(&upstream).is_empty());
        // The second time takes twice as long.
        fail(&upstream, 1, 3);
        tend(&upstream, false);
        clock.advance(Duration::from_secs(19));
        tend(&upstream, false);
        assert_eq!(out(&upstream), [1]);
        clock.advance(Duration::from_secs(2));
        tend(&upstream, false);
        assert!(out(&upstream).is_empty());
    }

    #[test]
    fn no_more_than_the_cap_are_out_and_one_always_stays() {
        let (upstream, _clock) = with("outliers: { consecutive_errors: 1, at_most: 50% }", 4);
        (0..4).for_each(|position| fail(&upstream, position, 1));
        tend(&upstream, false);
        assert_eq!(out(&upstream), [0, 1]);

        let (upstream, _clock) = with("outliers: { consecutive_errors: 1, at_most: 100% }", 2);
        (0..2).for_each(|position| fail(&upstream, position, 1));
        tend(&upstream, false);
        assert_eq!(out(&upstream), [0]);

        let (upstream, _clock) = with("outliers: { consecutive_errors: 1, at_most: 100% }", 1);
        fail(&upstream, 0, 9);
        tend(&upstream, false);
        assert!(out(&upstream).is_empty());
    }

    #[test]
    fn an_interval_ejects_those_that_fail_often_or_are_slow() {
        let options = "outliers: { error_rate: { above: 30%, min_requests: 10 }, \
                       slow: { times: 3, min_requests: 10 }, at_most: 100% }";
        let (upstream, _clock) = with(options, 4);
        for position in 0..4 {
            let ms = if position == 2 { 50 } else { 5 };
            answer(&upstream, position, 10, Duration::from_millis(ms));
        }
        fail(&upstream, 3, 6);
        tend(&upstream, false);
        assert!(out(&upstream).is_empty());
        tend(&upstream, true);
        assert_eq!(out(&upstream), [2, 3]);
    }

    #[test]
    fn an_interval_ends_whoever_asks() {
        let (interval, start) = (Interval::default(), Instant::now());
        let seconds = Duration::from_secs;
        let at = |passed: u64, every: u64| {
            let (ended, left) = interval.passed(start + seconds(passed), seconds(every));
            (ended, left.as_secs())
        };
        assert_eq!(at(0, 10), (false, 10));
        assert_eq!(at(9, 10), (false, 1));
        assert_eq!(at(11, 10), (true, 10));
        assert_eq!(at(12, 3), (false, 3), "a shorter one holds at once");
        assert_eq!(at(15, 3), (true, 3));
    }

    #[test]
    fn a_new_endpoint_gains_weight() {
        let (upstream, clock) = with("slow_start: 100s", 2);
        let now = clock.instant();
        clock.advance(Duration::from_secs(200));
        upstream.refresh();
        assert!(!upstream.members().ramps);
        let fresh = upstream.members().endpoints[1].clone();
        fresh.set_healthy(false, now);
        upstream.refresh();
        fresh.set_healthy(true, clock.instant());
        let share = || {
            upstream.refresh();
            let wish = Wish::default();
            let ask = Ask::new(&[], &wish, clock.instant());
            let chosen = (0..1100).map(|_| upstream.choose(&ask).unwrap());
            chosen
                .filter(|c| c.endpoint().address == fresh.address)
                .count()
        };
        assert_eq!(share(), 100, "a tenth of the weight: 1 of 11");
        assert!(upstream.members().ramps);
        clock.advance(Duration::from_secs(50));
        let half = share();
        assert!((380..400).contains(&half), "{half}: 55 % of the weight");
        clock.advance(Duration::from_secs(50));
        assert_eq!(share(), 550);
        assert!(!upstream.members().ramps);
    }
}
