//! How much a worker has to do: how long whatever is ready waits for it.
//!
//! Each worker is one thread. A probe asks to be run behind all that is ready, what the system has
//! ready included, and sees how long that takes: the wait of a request whose bytes are there. It is
//! sent when requests come, at most once a millisecond, so that a worker without any has none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;
use wiregate_sdk::value::ShortOrFull;

use super::controller::{Controller, Flow, Turn};
use super::places::{Held, Places};
use crate::proxy::Shared;

/// How often a wait is measured, in microseconds, unless the worker is overloaded.
const EVERY: u64 = 1000;
/// The wait beyond which requests are shed while the worker is overloaded, in microseconds. What is
/// admitted waits about so long twice: on its way in, and for its answer.
const TARGET: u64 = 350;
/// So many requests are admitted between two probes all the same: where each of them takes long, a
/// short queue is a long wait already, and is no overload.
const LEAST: u64 = 2;
/// For how long a measurement holds, in microseconds.
const HOLDS: u64 = 20_000;
/// How often it is looked whether overload is over when nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// How much one worker has to do. All but the worker only look.
#[derive(Debug)]
pub struct Load {
    start: Instant,
    overloaded: AtomicBool,
    /// When the probe that is under way was sent, in microseconds since the start; 0 where none is.
    sent: AtomicU64,
    /// What the last one measured, and when it came back.
    delay: AtomicU64,
    back: AtomicU64,
    /// When the next one may be sent.
    next: AtomicU64,
    wanted: Notify,
    /// Whether memory is to be given back to the system.
    spill: AtomicBool,
    came: AtomicU64,
    shed: AtomicU64,
    /// How many were admitted since the last probe came back.
    admitted: AtomicU64,
    /// Its places for requests, and those of all.
    held: Held,
    places: Arc<Places>,
}

impl Load {
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self {
            start: Instant::now(),
            overloaded: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            delay: AtomicU64::new(0),
            back: AtomicU64::new(0),
            next: AtomicU64::new(0),
            wanted: Notify::new(),
            spill: AtomicBool::new(false),
            came: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            held: Held::default(),
            places,
        }
    }

    /// Its places for requests.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    pub(super) fn give_place(&self) {
        self.places.give(&self.held);
    }

    /// Whether the worker has more to do than it can.
    pub fn is_over(&self) -> bool {
        self.overloaded.load(Relaxed)
    }

    /// Has the wait measured, since a request has come; the moment when it has.
    pub(super) fn probe(&self) -> u64 {
        let now = self.micros(Instant::now());
        if self.is_over() || now >= self.next.load(Relaxed) {
            self.next.store(now + EVERY, Relaxed);
            self.wanted.notify_one();
        }
        now
    }

    /// Whether the worker takes a request that has come.
    pub(super) fn admits(&self) -> bool {
        let now = self.probe();
        if !self.is_over() {
            return true;
        }
        count(&self.came);
        let admitted = self.wait(now) <= TARGET || self.admitted.load(Relaxed) < LEAST;
        count(if admitted { &self.admitted } else { &self.shed });
        admitted
    }

    /// How long what is ready now will have waited, in microseconds, as far as is known: as long as
    /// the last probe, or as the present one has already.
    fn wait(&self, now: u64) -> u64 {
        match self.sent.load(Relaxed) {
            0 if now.saturating_sub(self.back.load(Relaxed)) > HOLDS => 0,
            0 => self.delay.load(Relaxed),
            sent => now.saturating_sub(sent).max(self.delay.load(Relaxed)),
        }
    }

    /// Has the worker give memory back that it does not use.
    pub(super) fn spill(&self) {
        self.spill.store(true, Relaxed);
        self.wanted.notify_one();
    }

    /// Whether it is to give memory back; asked once for each time that it is.
    pub(super) fn spills(&self) -> bool {
        self.spill.swap(false, Relaxed)
    }

    /// Measures, as long as the worker runs.
    pub async fn watch(self: Arc<Self>, shared: Arc<Shared>) {
        let mut controller = Controller::default();
        let mut since = Instant::now();
        loop {
            let turn = match self.is_wanted().await {
                true => self.measure(&mut controller, &shared).await,
                false => controller.look(Instant::now(), || self.flow()),
            };
            if self.spills() {
                crate::allocator::give_back();
            }
            match turn {
                Some(Turn::Began) => {
                    since = Instant::now();
                    self.flow();
                    self.overloaded.store(true, Relaxed);
                    let delay = Duration::from_micros(self.delay.load(Relaxed));
                    tracing::warn!(?delay, "a worker is overloaded: requests get a 503");
                }
                Some(Turn::Ended) => {
                    self.overloaded.store(false, Relaxed);
                    tracing::info!(lasted = ?since.elapsed(), "a worker is not overloaded any more");
                }
                None => {}
            }
        }
    }

    /// Waits until a probe is to be sent. Returns false where nothing has asked for one for so long that
    /// overload may be over.
    async fn is_wanted(&self) -> bool {
        if !self.is_over() {
            self.wanted.notified().await;
            return true;
        }
        // A long wait is believed until the next probe is back: a worker that has caught up shows it at
        // once.
        let is_long = self.delay.load(Relaxed) > TARGET;
        is_long || timeout(LOOK, self.wanted.notified()).await.is_ok()
    }

    /// Sends a probe, and waits until it is back.
    async fn measure(&self, controller: &mut Controller, shared: &Shared) -> Option<Turn> {
        let ready = Instant::now();
        self.sent.store(self.micros(ready).max(1), Relaxed);
        // Runs again behind what is ready, and what the system tells of until then.
        yield_now().await;
        let now = Instant::now();
        let delay = now - ready;
        self.delay.store(micros(delay), Relaxed);
        self.back.store(self.micros(now), Relaxed);
        self.sent.store(0, Relaxed);
        self.admitted.store(0, Relaxed);
        shared.metrics.delayed(delay);
        match &shared.live.load().settings.limits.overload {
            ShortOrFull::Full(overload) => {
                controller.measured(ready, now, overload, || self.flow())
            }
            ShortOrFull::Short(_) => controller.look(now, Flow::default),
        }
    }

    /// What came and was shed since this was last asked for.
    pub(super) fn flow(&self) -> Flow {
        Flow {
            came: self.came.swap(0, Relaxed),
            shed: self.shed.swap(0, Relaxed),
        }
    }

    fn micros(&self, moment: Instant) -> u64 {
        micros(moment.saturating_duration_since(self.start))
    }
}

/// Adds one where nobody else does.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// An overloaded worker whose last wait took so many microseconds.
    pub fn over(delay: u64) -> Load {
        let load = Load::new(Arc::default());
        load.overloaded.store(true, Relaxed);
        load.delay.store(delay, Relaxed);
        load
    }

    #[test]
    fn only_an_overloaded_worker_sheds_and_only_while_what_comes_would_wait() {
        let load = over(5000);
        let admitted = (0..100).filter(|_| load.admits()).count() as u64;
        assert_eq!(admitted, LEAST, "a few between two probes");
        let flow = load.flow();
        assert_eq!((flow.came, flow.shed), (100, 100 - LEAST));
        load.delay.store(TARGET, Relaxed);
        assert!(load.admits());
        load.delay.store(5000, Relaxed);
        load.overloaded.store(false, Relaxed);
        assert!(load.admits());
    }

    #[test]
    fn a_probe_that_is_under_way_tells_and_an_old_one_does_not() {
        let load = over(300);
        assert_eq!(load.wait(1000), 300);
        load.sent.store(1000, Relaxed);
        assert_eq!(load.wait(1200), 300);
        assert_eq!(load.wait(6000), 5000);
        load.sent.store(0, Relaxed);
        load.back.store(6000, Relaxed);
        assert_eq!(load.wait(6000 + HOLDS), 300);
        assert_eq!(load.wait(6001 + HOLDS), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_believed_until_the_next_probe_only() {
        // Nobody has asked for one: a worker that has caught up would turn clients away for nothing.
        let load = over(TARGET + 1);
        assert_eq!(load.is_wanted().now_or_never(), Some(true));
        // A short wait turns nobody away: the next probe is sent when somebody comes.
        let load = over(TARGET);
        assert_eq!(load.is_wanted().now_or_never(), None);
        load.probe();
        assert_eq!(load.is_wanted().now_or_never(), Some(true));
        assert!(!load.is_wanted().await, "nobody comes for a second");
        // Without overload, nothing is measured before somebody comes, however long the last wait was.
        let load = over(TARGET + 1);
        load.overloaded.store(false, Relaxed);
        assert!(timeout(10 * LOOK, load.is_wanted()).await.is_err());
        load.probe();
        assert_eq!(load.is_wanted().now_or_never(), Some(true));
    }

    #[tokio::test]
    async fn a_probe_waits_behind_what_is_ready() {
        let load = Arc::new(Load::new(Arc::default()));
        let probing = load.clone();
        let probe = tokio::spawn(async move {
            let sent = Instant::now();
            probing.sent.store(1, Relaxed);
            yield_now().await;
            sent.elapsed()
        });
        // They are ready when the probe is sent, and hold the thread.
        for _ in 0..3 {
            tokio::spawn(async { std::thread::sleep(Duration::from_millis(5)) });
        }
        assert!(probe.await.unwrap() >= Duration::from_millis(15));
    }
}
