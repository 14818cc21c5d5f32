//! What is known of endpoints, as it goes over to the process that takes this one's place.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use wiregate_sdk::Portable;

use super::{Address, State, States};

/// No endpoint stays ejected for longer because another process has said so, in milliseconds: an hour.
const LONGEST: u64 = 3_600_000;

/// What was known of the endpoints of one upstream, by their addresses. Whatever another version
/// does not say is as if nothing was known of it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PassedOn {
    /// When, in milliseconds since 1970.
    at: u64,
    endpoints: HashMap<String, Known>,
}

/// What was known of an endpoint. Times are in milliseconds, and count back from then.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    healthy: bool,
    #[serde(default)]
    proven: bool,
    #[serde(default)]
    streak: i32,
    #[serde(default)]
    age: u64,
    #[serde(default)]
    checked: Option<u64>,
    #[serde(default)]
    up: u64,
    /// This counts forward.
    #[serde(default)]
    ejected: Option<u64>,
    #[serde(default)]
    ejections: u32,
    /// In seconds.
    #[serde(default)]
    latency: Option<f32>,
}

fn wall() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(now.unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Known {
    fn of(state: &State, now: Instant) -> Self {
        Self {
            healthy: state.is_healthy(),
            proven: state.is_proven(),
            streak: state.streak.load(Relaxed),
            age: millis(state.age(now)),
            checked: state.since_check(now).map(millis),
            up: millis(state.up_for(now)),
            ejected: state.ejected_for(now).map(millis),
            ejections: state.ejections(),
            latency: state.latency(now),
        }
    }

    /// A state that goes on from here, so much later.
    fn state(&self, passed: u64, now: Instant) -> State {
        let age = self.age.saturating_add(passed);
        let born = now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
        let state = State::new(self.healthy, born);
        let back = |ago: u64| age.saturating_sub(ago.saturating_add(passed)).max(1);
        state.proven.store(self.proven, Relaxed);
        state.streak.store(self.streak, Relaxed);
        state.checked.store(self.checked.map_or(0, back), Relaxed);
        // One that was up from its beginning has never risen.
        let risen = if self.up >= self.age {
            0
        } else {
            back(self.up)
        };
        state.risen.store(risen, Relaxed);
        let until = (self.ejected).map(|left| self.age.saturating_add(left.min(LONGEST)));
        state.ejected_until.store(until.unwrap_or(0), Relaxed);
        state.ejections.store(self.ejections, Relaxed);
        let latency = self.latency.map(Duration::try_from_secs_f32);
        if let Some(Ok(latency)) = latency {
            state.observe(now, latency);
        }
        state
    }

    /// Has a state that began before go on from here where only requests could have shown it.
    fn eject(&self, state: &State, passed: u64, now: Instant) {
        let until = |left: u64| state.ms(now) + left.min(LONGEST).saturating_sub(passed);
        let until = self.ejected.map_or(0, until);
        state.ejected_until.store(until, Relaxed);
        state.ejections.store(self.ejections, Relaxed);
    }
}

impl States {
    /// A state that goes on from what another process has known.
    pub(super) fn known(&self, address: &Address) -> Option<State> {
        let mut passed_on = self
            .passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = passed_on.endpoints.remove(&address.to_string())?;
        let passed = wall().saturating_sub(passed_on.at);
        Some(known.state(passed, Instant::now()))
    }

    fn all(&self) -> Vec<(String, Arc<State>)> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |(address, state): (&Address, &Weak<State>)| {
            Some((address.to_string(), state.upgrade()?))
        };
        states.iter().filter_map(alive).collect()
    }
}

impl Portable for States {
    /// As large as there are endpoints, whatever room there is.
    fn pack(&self, _room: usize) -> Vec<u8> {
        let now = Instant::now();
        let endpoints = self.all().into_iter();
        let passed_on = PassedOn {
            at: wall(),
            endpoints: endpoints
                .map(|(address, state)| (address, Known::of(&state, now)))
                .collect(),
        };
        serde_json::to_vec(&passed_on).expect("text and numbers")
    }

    /// What this process has begun to check itself stays as it is. Nobody has asked for anything here yet: who
    /// is out because of answers is what the other one says.
    fn take_in(&self, packed: &[u8]) {
        let Ok(mut passed_on) = serde_json::from_slice::<PassedOn>(packed) else {
            return;
        };
        let (passed, now) = (wall().saturating_sub(passed_on.at), Instant::now());
        for (address, state) in self.all() {
            if let Some(known) = passed_on.endpoints.remove(&address) {
                known.eject(&state, passed, now);
            }
        }
        *self
            .passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = passed_on;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Duration = Duration::from_secs(30);

    #[test]
    fn what_is_known_of_an_endpoint_goes_on_in_the_next_process() {
        let (former, now) = (States::default(), Instant::now());
        let addresses: [Address; 3] =
            ["10.0.0.1:1", "10.0.0.2:1", "unix:/run/a"].map(|text| text.parse().unwrap());
        let [down, out, fine] = addresses.each_ref().map(|address| former.of(address));
        down.checked(false, now);
        down.checked(false, now);
        down.set_healthy(false, now);
        out.eject(now, ONCE, ONCE);
        fine.observe(now, Duration::from_millis(20));

        let next = States::default();
        next.take_in(&former.pack(0));
        let [down, out, fine] = addresses.each_ref().map(|address| next.of(address));
        let now = Instant::now();
        assert!(!down.is_healthy() && down.is_proven() && down.since_check(now).is_some());
        assert_eq!(down.checked(false, now), 3, "rows of checks go on");
        let left = out.ejected_for(now).unwrap();
        assert!(left <= ONCE && left > ONCE / 2, "{left:?}");
        assert_eq!((out.ejections(), out.is_healthy()), (1, true));
        let latency = fine.latency(now).unwrap();
        assert!((0.01..0.03).contains(&latency), "{latency}");
        assert_eq!(fine.since_check(now), None);
    }

    #[test]
    fn ejections_while_the_next_process_gets_ready_go_over_as_well() {
        let (former, now) = (States::default(), Instant::now());
        let addresses: [Address; 2] =
            ["10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
        let [back, out] = addresses.each_ref().map(|address| former.of(address));
        back.eject(now, ONCE, ONCE);
        let next = States::default();
        next.take_in(&former.pack(0));
        let [next_back, next_out] = addresses.each_ref().map(|address| next.of(address));
        assert!(next_back.is_ejected() && !next_out.is_ejected());

        back.ejected_until.store(0, Relaxed);
        out.eject(now, ONCE, ONCE);
        next_out.checked(true, now); // it has begun to look itself
        next.take_in(&former.pack(0));
        assert!(!next_back.is_ejected());
        let left = next_out.ejected_for(Instant::now()).unwrap();
        assert!(left <= ONCE && left > ONCE / 2, "{left:?}");
        assert_eq!((next_back.ejections(), next_out.ejections()), (1, 1));
        assert!(next_out.since_check(Instant::now()).is_some());
    }

    #[test]
    fn what_another_version_says_is_read_as_far_as_it_can_be() {
        let states = States::default();
        let more = r#"{"at":1,"by":"9.0","endpoints":{"10.0.0.1:1":{"healthy":false,"mood":3}}}"#;
        states.take_in(more.as_bytes());
        assert!(!states.of(&"10.0.0.1:1".parse().unwrap()).is_healthy());
        // However wrong it is.
        let out = r#"{"endpoints":{"10.0.0.3:1":{"healthy":true,"age":9,"ejected":18446744073709551615}}}"#;
        states.take_in(out.as_bytes());
        let out = states.of(&"10.0.0.3:1".parse().unwrap());
        assert!(out.is_ejected());
        assert!(out.ejected_for(Instant::now()) <= Some(Duration::from_millis(LONGEST)));
        for unreadable in ["", "{", "[]", r#"{"endpoints":{"10.0.0.2:1":{}}}"#] {
            states.take_in(unreadable.as_bytes());
        }
        assert!(states.of(&"10.0.0.2:1".parse().unwrap()).is_healthy());
    }
}
