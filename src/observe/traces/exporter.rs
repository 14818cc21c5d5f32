//! The queue of spans, and the thread that sends them.

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Builder;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::batch::{Batch, Reports};
use super::post::{Receiver, Sent};
use super::running::Running;
use super::{Span, encode};
use crate::observe::metrics::TraceMetrics;

/// How often a batch is tried in all.
const MOST_TRIES: u32 = 5;
/// The longest pause before the second try; it doubles with each one.
const PAUSE: Duration = Duration::from_millis(500);
/// A receiver that asks for more time than this does not get it.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What an exporter depends on: as long as that stays the same over reloads, so does the exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// All that is configured of the receiver and may not be shown.
    pub receiver: [u8; 32],
    /// What all spans have in common.
    pub resource: Vec<(String, String)>,
    /// How many spans may wait.
    pub queue: NonZeroU32,
    /// How many are sent at once.
    pub batch: NonZeroU32,
    /// How long a span waits for others at most.
    pub interval: Duration,
}

/// Takes spans in, and sends them once it was started. Those who have it are those who send; when there
/// is nobody left, it sends what it has and ends.
#[derive(Debug)]
pub struct Exporter {
    target: Target,
    queue: mpsc::Sender<Box<Span>>,
    /// Behind the queue: it tells the thread that that is closed.
    waking: AtLast,
    metrics: TraceMetrics,
    /// What its thread is made of, until that is started.
    rest: Mutex<Option<Work>>,
}

/// How the thread is woken before its time.
#[derive(Debug, Default)]
struct Waking {
    wake: Notify,
    /// Whether it is awake, or was woken.
    awake: AtomicBool,
}

/// Wakes the thread when it is dropped.
#[derive(Debug)]
struct AtLast(Arc<Waking>);

impl Drop for AtLast {
    fn drop(&mut self) {
        self.0.wake.notify_one();
    }
}

impl Exporter {
    /// An exporter for a receiver.
    pub fn new(target: Target, receiver: Receiver, metrics: TraceMetrics) -> Self {
        let (queue, spans) = mpsc::channel(target.queue.get() as usize);
        let waking = Arc::new(Waking::default());
        let work = Work {
            spans,
            receiver,
            resource: target.resource.clone(),
            batch: target.batch.get() as usize,
            interval: target.interval,
            waking: waking.clone(),
            metrics: metrics.clone(),
            reports: Reports::default(),
            closing: watch::channel(None).1,
        };
        Self {
            target,
            queue,
            waking: AtLast(waking),
            metrics,
            rest: Mutex::new(Some(work)),
        }
    }

    /// What it depends on.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Hands over a span. Never waits: without room it is dropped and counted.
    pub fn push(&self, span: Box<Span>) {
        match self.queue.try_send(span) {
            Ok(()) => self.wake_for_batch(),
            Err(TrySendError::Full(_)) => self.metrics.queue_full.inc(),
            Err(TrySendError::Closed(_)) => self.metrics.shutdown.inc(),
        }
    }

    fn wake_for_batch(&self) {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        if waiting >= self.target.batch.get() as usize
            && !self.waking.0.awake.swap(true, Ordering::SeqCst)
        {
            self.waking.0.wake.notify_one();
        }
    }

    /// Starts its thread; nothing where that was done before.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(&self) -> io::Result<Option<Running>> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.is_none() {
            return Ok(None);
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("traces".into());
        let (close, closing) = watch::channel(None);
        let (ending, ended) = std::sync::mpsc::sync_channel(0);
        let (hand, handed) = std::sync::mpsc::sync_channel::<Work>(1);
        thread.spawn(move || {
            if let Ok(work) = handed.recv() {
                runtime.block_on(work.run());
                // A name that is being resolved does not hold up the end.
                runtime.shutdown_background();
            }
            drop(ending);
        })?;
        if let Some(work) = rest.take() {
            let work = Work { closing, ..work };
            hand.send(work).map_err(io::Error::other)?;
        }
        Ok(Some(Running::new(close, ended)))
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Work {
    spans: mpsc::Receiver<Box<Span>>,
    receiver: Receiver,
    resource: Vec<(String, String)>,
    batch: usize,
    interval: Duration,
    waking: Arc<Waking>,
    metrics: TraceMetrics,
    reports: Reports,
    /// When it has to have ended, once that is known.
    closing: watch::Receiver<Option<Instant>>,
}

impl Work {
    /// Sends spans until there are no more to come, or the time for that is over.
    async fn run(mut self) {
        let closing = self.closing.clone();
        let metrics = self.metrics.clone();
        let in_time = tokio::select! {
            biased;
            () = self.work(&metrics) => true,
            () = late(closing) => false,
        };
        self.spans.close();
        let left = std::iter::from_fn(|| self.spans.try_recv().ok()).count();
        drop(Batch::new(left, &self.metrics));
        if !in_time {
            tracing::warn!("the time to export the last traces was not enough");
        }
    }

    async fn work(&mut self, metrics: &TraceMetrics) {
        loop {
            if self.spans.len() < self.batch && !self.is_ending() {
                self.wait().await;
            }
            let taken = std::iter::from_fn(|| self.spans.try_recv().ok());
            let spans: Vec<_> = taken.take(self.batch).map(|span| *span).collect();
            if spans.is_empty() {
                if self.is_ending() {
                    return;
                }
                continue;
            }
            let batch = Batch::new(spans.len(), metrics);
            let message = encode::message(&self.resource, spans);
            self.send(batch, self.receiver.packed(message)).await;
        }
    }

    /// Whether no more spans are to come that would be worth waiting for.
    fn is_ending(&self) -> bool {
        self.spans.is_closed() || self.closing.borrow().is_some()
    }

    /// Waits for a batch to be full, but not for long.
    async fn wait(&mut self) {
        self.waking.awake.store(false, Ordering::SeqCst);
        if self.spans.len() >= self.batch {
            return;
        }
        tokio::select! {
            () = sleep(self.interval) => {}
            () = self.waking.wake.notified() => {}
            () = closing(&mut self.closing) => {}
        }
        self.waking.awake.store(true, Ordering::SeqCst);
    }

    /// Sends a batch, again where that may help.
    async fn send(&mut self, batch: Batch<'_>, body: Bytes) {
        for tries in 1.. {
            // At the end there is no time to lose: each batch has one more try.
            let last = tries == MOST_TRIES || self.closing.borrow().is_some();
            let (why, after) = match self.receiver.post(body.clone()).await {
                Sent::Taken { rejected, said } => {
                    self.reports.works();
                    if rejected > 0 || !said.is_empty() {
                        self.reports.partly(rejected, &said);
                    }
                    return batch.taken(rejected);
                }
                Sent::Refused(why) => {
                    self.reports.fails(&why);
                    return batch.rejected();
                }
                Sent::Later { why, after } => (why, after),
            };
            self.reports.fails(&why);
            if last {
                break;
            }
            let pause = after.unwrap_or_else(|| pause(tries, fastrand::f64()));
            tokio::select! {
                () = sleep(pause.min(LONGEST_PAUSE)) => {}
                () = closing(&mut self.closing) => {}
            }
        }
        batch.failed();
    }
}

/// The pause before the next try: up to half of it is left to chance, so that many gateways do not come
/// back at once.
fn pause(tries: u32, random: f64) -> Duration {
    let longest = PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(8));
    longest.mul_f64(1.0 - random / 2.0)
}

/// Returns when it is to end.
async fn closing(closing: &mut watch::Receiver<Option<Instant>>) {
    if closing.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await; // whoever could say so has gone
    }
}

/// Returns when it has to have ended.
async fn late(mut when: watch::Receiver<Option<Instant>>) {
    closing(&mut when).await;
    let deadline = *when.borrow();
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_left_to_chance_by_half() {
        let milliseconds = |tries, random| pause(tries, random).as_millis();
        assert_eq!(milliseconds(1, 0.0), 500);
        assert_eq!(milliseconds(1, 1.0), 250);
        assert_eq!(milliseconds(4, 0.0), 4000);
        assert!(pause(u32::MAX, 0.0) <= Duration::from_secs(128));
    }
}
