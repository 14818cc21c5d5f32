//! Keys that are fetched, kept, and fetched again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;
use wiregate_sdk::Clock;
use wiregate_sdk::build::Fetches;

use super::fetch::{Fetch, Fetched};
use super::key::Key;

/// How long it takes at first to try again after a failure; twice as long each time, up to the
/// cool-down.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Keys that one task fetches for all filters that share them. A reload hands them over.
pub(super) struct Remote {
    fetch: Fetch,
    clock: Clock,
    /// How long after its end a fetch is not repeated because of a token.
    cool_down: Duration,
    /// How long keys are kept before they are fetched again, at most.
    refresh: Duration,
    keys: ArcSwapOption<Vec<Key>>,
    generation: AtomicU64,
    /// Whoever holds it is the one who fetches.
    turn: Mutex<()>,
    wanted: Notify,
    state: watch::Sender<State>,
    /// What operators see of it.
    shown: Arc<Fetches>,
}

/// How it stands with fetching.
#[derive(Clone, Debug, Default)]
struct State {
    /// How many fetches have ended.
    ended: u64,
    /// When the last one did.
    at: Option<Instant>,
    running: bool,
    /// How many of the last ones failed, one after the other.
    failed: u32,
    /// When the next one is due, as far as the last one told.
    due: Option<Instant>,
    fingerprint: Vec<String>,
}

impl Remote {
    pub(super) fn new(
        fetch: Fetch,
        clock: Clock,
        refresh: Duration,
        cool_down: Duration,
        shown: Arc<Fetches>,
    ) -> Self {
        Self {
            fetch,
            clock,
            shown,
            cool_down,
            refresh,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            turn: Mutex::new(()),
            wanted: Notify::new(),
            state: watch::Sender::default(),
        }
    }

    /// The last good set; `None` as long as there was none.
    pub(super) fn keys(&self) -> Option<Arc<Vec<Key>>> {
        self.keys.load_full()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
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
        let pause = if self.keys.load().is_some() {
            self.cool_down
        } else {
            retry_after(state.failed, self.cool_down)
        };
        state
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < pause)
    }

    /// Fetches when it is due, and when it is wanted, for as long as the configuration lives.
    pub(super) async fn run(self: Arc<Self>) {
        // Each filter that shares the keys has such a task, and so has the configuration before
        // this one until it is gone.
        let _turn = self.turn.lock().await;
        loop {
            self.wait().await;
            self.state.send_modify(|state| state.running = true);
            let fetched = self.fetch.keys().await;
            self.take(fetched);
        }
    }

    /// Waits until a fetch is due or wanted.
    async fn wait(&self) {
        loop {
            let state = self.state.borrow().clone();
            // One that ran when the configuration before this one ended is made anew.
            let Some(due) = state.due.filter(|_| !state.running) else {
                return;
            };
            let now = self.clock.instant();
            if now >= due {
                return;
            }
            let is_wanted = timeout(due - now, self.wanted.notified()).await.is_ok();
            // It may have been asked for while the last one ran.
            if is_wanted && !self.is_cooling(&state, self.clock.instant()) {
                return;
            }
        }
    }

    fn take(&self, fetched: Result<Fetched, String>) {
        let failed = match &fetched {
            Ok(_) => 0,
            Err(_) => self.state.borrow().failed + 1,
        };
        let pause = match &fetched {
            Ok(fetched) => self.keep_for(fetched.max_age),
            Err(_) => retry_after(failed, self.cool_down).min(self.refresh),
        };
        self.tell(&fetched, pause);
        let now = self.clock.instant();
        self.state.send_modify(|state| {
            state.ended += 1;
            state.at = Some(now);
            state.due = Some(now + pause);
            state.running = false;
            state.failed = failed;
            let Ok(Fetched { set, .. }) = fetched else {
                return;
            };
            if self.keys.load().is_none() || state.fingerprint != set.fingerprint {
                let (source, keys) = (self.fetch.shown(), set.keys.len());
                tracing::info!(source, keys, "there are new keys");
                self.keys.store(Some(Arc::new(set.keys)));
                self.generation.fetch_add(1, Ordering::Release);
                state.fingerprint = set.fingerprint;
            }
        });
    }

    fn tell(&self, fetched: &Result<Fetched, String>, pause: Duration) {
        let source = self.fetch.shown();
        match fetched {
            Ok(fetched) => {
                self.shown.success(self.clock.now().wall);
                for why in &fetched.set.unusable {
                    tracing::warn!(source, why, "a key is left out");
                }
            }
            Err(why) => {
                self.shown.failure();
                let kept = self.keys.load().is_some();
                tracing::warn!(source, why, kept, next = ?pause, "cannot fetch keys");
            }
        }
    }

    /// How long keys are kept before they are fetched again: before they expire, where the issuer
    /// says when that is (RFC 9111, 5.2.2.1).
    fn keep_for(&self, max_age: Option<Duration>) -> Duration {
        let sooner = max_age.map(|age| (age / 4 * 3).max(self.cool_down));
        sooner.unwrap_or(self.refresh).min(self.refresh)
    }
}

fn retry_after(failed: u32, cool_down: Duration) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failed.saturating_sub(1).min(16));
    doubled.min(cool_down)
}

#[cfg(test)]
mod tests {
    use super::super::fetch::{From, client};
    use super::*;

    fn remote(refresh: u64, cool_down: u64) -> Remote {
        let fetch = Fetch {
            client: client(None).unwrap(),
            from: From::Issuer("https://id.example.com".into()),
            time_out: Duration::from_secs(5),
            plain_http: false,
        };
        let seconds = Duration::from_secs;
        let shown = Arc::new(Fetches::new("jwt", &fetch.shown()));
        let (refresh, cool_down) = (seconds(refresh), seconds(cool_down));
        Remote::new(fetch, Clock::manual(), refresh, cool_down, shown)
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
        let now = remote.clock.now().instant;
        remote.take(Err("down".into()));
        // No keys yet: the pause is the one between tries.
        assert!(!remote.refresh(now).await);
        assert!(remote.is_cooling(&remote.state.borrow(), now));
        let later = now + Duration::from_secs(1);
        assert!(!remote.is_cooling(&remote.state.borrow(), later));
        remote.take(Ok(Fetched {
            set: super::super::jwk::Set::default(),
            max_age: None,
        }));
        assert!(remote.is_cooling(&remote.state.borrow(), later));
        let over = now + Duration::from_secs(30);
        assert!(!remote.is_cooling(&remote.state.borrow(), over));
        assert_eq!((remote.shown.succeeded(), remote.shown.failed()), (1, 1));
        assert!(remote.shown.last_success().is_some());
    }
}
