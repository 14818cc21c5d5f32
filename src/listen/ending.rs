//! How the connections of a listener learn that they are to end: first that no more requests are
//! begun, and in the end that the time to finish is over. And that others wait for their places.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use pingora_core::server::ShutdownWatch;

/// How long a client that has not asked for anything yet may take to do so once the gateway stops:
/// what it sends may be on its way.
pub const LEAVE: Duration = Duration::from_secs(1);

/// How long a connection may do nothing, or take over a head, while others find no place.
const CROWDED: Duration = Duration::from_secs(5);

/// What the connections of one listener at one worker are told.
#[derive(Clone, Debug)]
pub struct Ending {
    stop: ShutdownWatch,
    over: Arc<Over>,
}

/// The end of the time to finish. Connections look at a flag whenever they run, and are woken to
/// look at it: a wait of their own would take a lock each time they run.
#[derive(Debug, Default)]
struct Over {
    told: AtomicBool,
    crowded: AtomicBool,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// A task that is woken when the time to finish is over, until dropped.
#[derive(Debug)]
pub struct Woken {
    over: Arc<Over>,
    key: u64,
}

impl Ending {
    /// An ending that begins with this signal. It has not been given yet, or nobody has looked.
    pub fn new(stop: ShutdownWatch) -> Self {
        Self {
            stop,
            over: Arc::default(),
        }
    }

    /// Says that no more requests are begun, as Pingora wants to hear it.
    pub fn stop(&self) -> &ShutdownWatch {
        &self.stop
    }

    /// Returns when no more requests are begun.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // One that nobody can tell any more is as good as told.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Returns when a client that has not asked for anything yet has had its time to do so. There is
    /// no hurry where another process has taken over.
    pub async fn impatient(&self, handed_over: impl Fn() -> bool) {
        self.stopped().await;
        tokio::time::sleep(LEAVE).await;
        if handed_over() {
            std::future::pending().await
        }
    }

    /// Whether no more requests are begun. Takes no lock.
    pub fn is_leaving(&self) -> bool {
        self.stop.has_changed().unwrap_or(true)
    }

    /// The time to finish is over.
    pub fn cut(&self) {
        self.over.told.store(true, Ordering::Release);
        let tasks = std::mem::take(&mut *self.over.tasks());
        tasks.wakers.into_values().for_each(Waker::wake);
    }

    /// Whether the time to finish is over.
    pub fn is_over(&self) -> bool {
        self.over.told.load(Ordering::Acquire)
    }

    /// Says whether connections that do nothing are in the way of others.
    pub fn crowd(&self, crowded: bool) {
        self.over.crowded.store(crowded, Ordering::Relaxed);
    }

    /// How long a connection may do nothing, or take over a head, at most, where others find no
    /// place.
    pub fn crowded(&self) -> Option<Duration> {
        let crowded = self.over.crowded.load(Ordering::Relaxed);
        crowded.then_some(CROWDED)
    }

    /// Wakes up to this many tasks, from this one on, the oldest first; returns from where on to go
    /// on the next time.
    pub fn wake_some(&self, from: u64, most: usize) -> u64 {
        let tasks = self.over.tasks();
        let mut woken = tasks.wakers.range(from..).take(most);
        let mut next = 0;
        let mut count = 0;
        for (key, waker) in &mut woken {
            waker.wake_by_ref();
            (next, count) = (key + 1, count + 1);
        }
        if count < most { 0 } else { next }
    }

    /// Has the task that runs here woken when the time to finish is over.
    pub async fn wake_me(&self) -> Woken {
        std::future::poll_fn(|cx| {
            let mut tasks = self.over.tasks();
            let key = tasks.next;
            tasks.next += 1;
            tasks.wakers.insert(key, cx.waker().clone());
            Poll::Ready(Woken {
                over: self.over.clone(),
                key,
            })
        })
        .await
    }

    /// What comes of this; nothing where the time to finish is over before, and may be. Who waits
    /// here has asked to be [woken](Self::wake_me).
    pub async fn unless_over<F: Future>(
        &self,
        future: F,
        may_be: impl Fn() -> bool,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.is_over() && may_be() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Over {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.over.tasks().wakers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_woken_in_turns() {
        let ending = Ending::new(tokio::sync::watch::channel(false).1);
        let mut woken = Vec::new();
        for _ in 0..5 {
            woken.push(ending.wake_me().await);
        }
        assert_eq!(ending.wake_some(0, 2), 2);
        assert_eq!(ending.wake_some(2, 2), 4);
        assert_eq!(ending.wake_some(4, 2), 0, "from the start again");
        assert!(ending.crowded().is_none());
        ending.crowd(true);
        assert!(ending.crowded().is_some());
    }

    #[tokio::test]
    async fn a_task_is_cut_off_once_and_leaves_nothing_behind() {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let ending = Ending::new(stopped);
        assert!(!ending.is_leaving() && !ending.is_over());
        stop.send_replace(true);
        assert!(ending.is_leaving() && !ending.is_over());
        let waiting = ending.clone();
        let task = tokio::spawn(async move {
            let _woken = waiting.wake_me().await;
            let never = std::future::pending::<()>();
            waiting.unless_over(never, || true).await
        });
        while ending.over.tasks().wakers.is_empty() {
            tokio::task::yield_now().await;
        }
        ending.cut();
        assert_eq!(task.await.unwrap(), None);
        assert!(ending.over.tasks().wakers.is_empty());
        let ready = ending.unless_over(std::future::ready(1), || true).await;
        assert_eq!(ready, Some(1), "what is there already is taken");
    }
}
