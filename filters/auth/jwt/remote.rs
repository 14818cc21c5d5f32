//! Keys that are fetched, kept, and fetched again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;

use super::fetch::{Fetch, Fetched};
use super::key::Key;
use super::last::Last;

/// How long it takes at first to try again after a failure; twice as long each time, up to the
/// cool-down.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Keys that one task fetches for all filters that share them. A reload hands them over.
pub(super) struct Remote {
    fetch: Fetch,
    /// What was fetched from there, by this one or another.
    last: Arc<Last>,
    /// How long after its end a fetch is not repeated because of a token.
    cool_down: Duration,
    /// How long keys are kept before they are fetched again, at most.
    refresh: Duration,
    /// Whoever holds it is the one who fetches.
    turn: Mutex<()>,
    wanted: Notify,
    state: watch::Sender<State>,
}

/// How it stands with fetching.
#[derive(Clone, Debug, Default)]
struct State {
    /// How many fetches have ended.
    ended: u64,
    /// When the last one did.
    at: Option<Instant>,
    running: bool,
    /// Whether a token makes the one that runs.
    wanted: bool,
    /// When the last one that a token has made ended.
    made: Option<Instant>,
    /// How many of the last ones failed, one after the other.
    failed: u32,
    /// When the next one is due, as far as the last one told.
    due: Option<Instant>,
}

impl Remote {
    pub(super) fn new(
        fetch: Fetch,
        last: Arc<Last>,
        refresh: Duration,
        cool_down: Duration,
    ) -> Self {
        Self {
            fetch,
            last,
            cool_down,
            refresh,
            turn: Mutex::new(()),
            wanted: Notify::new(),
            state: watch::Sender::default(),
        }
    }

    /// The last good set; `None` as long as there was none.
    pub(super) fn keys(&self) -> Option<Arc<Vec<Key>>> {
        self.last.keys()
    }

    pub(super) fn generation(&self) -> u64 {
        self.last.generation()
    }

    /// Waits for a fetch that runs, or has one made unless one ended a moment ago. However many
    /// ask, there is one. Says whether one has ended since.
    pub(super) async fn refresh(&self, now: Instant) -> bool {
        let mut state = self.state.subscribe();
        let ended = {
            let state = state.borrow_and_update();
            let is_cooling = self.is_cooling(&state, now);
            if !state.running && is_cooling {
                return false;
            }
            if !state.running {
                self.wanted.notify_one();
            }
            state.ended
        };
        let patience = self.fetch.patience();
        let end = state.wait_for(|state| state.ended > ended);
        matches!(timeout(patience, end).await, Ok(Ok(_)))
    }

    fn is_cooling(&self, state: &State, now: Instant) -> bool {
        let pause = if self.last.are_there() {
            self.cool_down
        } else {
            retry_after(state.failed, self.cool_down)
        };
        let last = self.last.fetched();
        let at = match last {
            // Fetches that are due so often would leave no time for one that a token makes.
            Some((_, Some(age))) if soon(age) <= self.cool_down => state.made,
            // What another one has fetched counts as well.
            _ => state.at.max(last.map(|(at, _)| at)),
        };
        at.is_some_and(|at| now.saturating_duration_since(at) < pause)
    }

    /// Fetches when it is due, and when it is wanted, for as long as the configuration lives.
    pub(super) async fn run(self: Arc<Self>) {
        // Each filter that shares the keys has such a task, and so has the configuration before
        // this one until it is gone.
        let _turn = self.turn.lock().await;
        loop {
            let wanted = self.wait().await;
            self.state
                .send_modify(|state| (state.running, state.wanted) = (true, wanted));
            let fetched = self.fetch.keys(&self.last.clock).await;
            self.take(fetched);
        }
    }

    /// Waits until a fetch is due or wanted. Whether it is wanted.
    async fn wait(&self) -> bool {
        loop {
            let state = self.state.borrow().clone();
            // What another one has fetched, or another process, is good for as long.
            let due = state.due.or_else(|| self.due_after_last());
            // One that ran when the configuration before this one ended is made anew.
            let Some(due) = due.filter(|_| !state.running) else {
                return false;
            };
            let now = self.last.clock.instant();
            if now >= due {
                return false;
            }
            let is_wanted = timeout(due - now, self.wanted.notified()).await.is_ok();
            // It may have been asked for while the last one ran.
            if is_wanted && !self.is_cooling(&state, self.last.clock.instant()) {
                return true;
            }
        }
    }

    /// When a fetch is due after the last good one, whoever made it.
    fn due_after_last(&self) -> Option<Instant> {
        let (at, max_age) = self.last.fetched()?;
        Some(at + self.keep_for(max_age))
    }

    pub(super) fn take(&self, fetched: Result<Fetched, String>) {
        let failed = match &fetched {
            Ok(_) => 0,
            Err(_) => self.state.borrow().failed + 1,
        };
        let pause = match &fetched {
            Ok(fetched) => self.keep_for(fetched.max_age),
            Err(_) => retry_after(failed, self.cool_down).min(self.refresh),
        };
        self.tell(&fetched, pause);
        if let Ok(fetched) = fetched {
            self.last.store(fetched);
        }
        let now = self.last.clock.instant();
        self.state.send_modify(|state| {
            state.ended += 1;
            state.at = Some(now);
            state.due = Some(now + pause);
            state.running = false;
            state.failed = failed;
            if std::mem::take(&mut state.wanted) {
                state.made = Some(now);
            }
        });
    }

    fn tell(&self, fetched: &Result<Fetched, String>, pause: Duration) {
        let source = self.fetch.shown();
        match fetched {
            Ok(fetched) => {
                self.last.shown.success(self.last.clock.now().wall);
                for why in &fetched.set.unusable {
                    tracing::warn!(source, why, "a key is left out");
                }
            }
            Err(why) => {
                self.last.shown.failure();
                let kept = self.last.are_there();
                tracing::warn!(source, why, kept, next = ?pause, "cannot fetch keys");
            }
        }
    }

    /// How long keys are kept before they are fetched again: before they expire, where the issuer
    /// says when that is (RFC 9111, 4.2).
    fn keep_for(&self, max_age: Option<Duration>) -> Duration {
        let sooner = max_age.map(|age| soon(age).max(self.cool_down));
        sooner.unwrap_or(self.refresh).min(self.refresh)
    }
}

/// When keys that are good for so long are to be fetched again: before they expire.
fn soon(age: Duration) -> Duration {
    age / 4 * 3
}

fn retry_after(failed: u32, cool_down: Duration) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failed.saturating_sub(1).min(16));
    doubled.min(cool_down)
}

#[cfg(test)]
pub(super) mod tests {
    use wiregate_sdk::Clock;
    use wiregate_sdk::build::Fetches;

    use super::super::fetch::{From, client};
    use super::super::last::Source;
    use super::*;

    pub(in super::super) fn fetched() -> Fetched {
        Fetched {
            set: super::super::jwk::Set::default(),
            max_age: None,
        }
    }

    pub(in super::super) fn remote(refresh: u64, cool_down: u64) -> Remote {
        let fetch = Fetch {
            client: client(None).unwrap(),
            from: From::Issuer("https://id.example.com".into()),
            time_out: Duration::from_secs(5),
            plain_http: false,
        };
        let seconds = Duration::from_secs;
        let shown = Arc::new(Fetches::new("jwt", &fetch.shown()));
        let source = Source::new("issuer", "https://id.example.com", "None");
        let last = Arc::new(Last::new(source, Clock::manual(), shown));
        let (refresh, cool_down) = (seconds(refresh), seconds(cool_down));
        Remote::new(fetch, last, refresh, cool_down)
    }

    #[test]
    fn keys_are_kept_no_longer_than_they_are_good_and_no_shorter_than_the_cool_down() {
        let remote = remote(600, 30);
        for (max_age, kept) in [
            (None, 600),
            (Some(0), 30),
            (Some(60), 45),
            (Some(400), 300),
            (Some(100_000), 600),
            (Some(u64::MAX), 600),
        ] {
            let max_age = max_age.map(Duration::from_secs);
            assert_eq!(
                remote.keep_for(max_age),
                Duration::from_secs(kept),
                "{max_age:?}"
            );
        }
    }

    #[test]
    fn failures_are_repeated_less_and_less_often() {
        let after = |failed| retry_after(failed, Duration::from_secs(30)).as_secs();
        let pauses: Vec<u64> = (1..9).map(after).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(after(u32::MAX), 30);
    }

    #[tokio::test]
    async fn nobody_waits_while_it_cools_down() {
        let remote = remote(600, 30);
        let now = remote.last.clock.now().instant;
        remote.take(Err("down".into()));
        // No keys yet: the pause is the one between tries.
        assert!(!remote.refresh(now).await);
        assert!(remote.is_cooling(&remote.state.borrow(), now));
        let later = now + Duration::from_secs(1);
        assert!(!remote.is_cooling(&remote.state.borrow(), later));
        remote.take(Ok(fetched()));
        assert!(remote.is_cooling(&remote.state.borrow(), later));
        let over = now + Duration::from_secs(30);
        assert!(!remote.is_cooling(&remote.state.borrow(), over));
        let shown = &remote.last.shown;
        assert_eq!((shown.succeeded(), shown.failed()), (1, 1));
        assert!(shown.last_success().is_some());
    }

    #[tokio::test]
    async fn where_keys_are_good_for_a_moment_fetches_that_tokens_make_are_what_cools_down() {
        let remote = remote(600, 30);
        let now = remote.last.clock.now().instant;
        let after = |seconds| now + Duration::from_secs(seconds);
        for (max_age, wanted, expected) in [
            (0, false, [false, false]),
            (40, false, [false, false]),
            (0, true, [true, false]),
            (0, false, [true, false]), // the one before counts
            (44, false, [true, false]),
        ] {
            let max_age = Some(Duration::from_secs(max_age));
            remote.state.send_modify(|state| state.wanted = wanted);
            remote.take(Ok(Fetched {
                max_age,
                ..fetched()
            }));
            let cools = |seconds| remote.is_cooling(&remote.state.borrow(), after(seconds));
            assert_eq!([cools(29), cools(30)], expected, "{max_age:?} {wanted}");
        }
    }
}
