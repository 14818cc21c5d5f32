//! Work that would hold up the other requests of a worker.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wiregate_sdk::header::RETRY_AFTER;
use wiregate_sdk::{HeaderValue, Reply, StatusCode};

/// How much work may wait for each piece that is done.
const WAITING: usize = 16;
/// How long it may wait for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Does work beside the traffic, as many pieces at a time as there are processors.
pub(super) struct Workers {
    /// Who waits or is at work.
    admitted: Semaphore,
    running: Arc<Semaphore>,
}

/// Why work was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// Too much other work waits.
    Busy,
    /// It takes too long.
    Late,
}

impl Workers {
    pub(super) fn new() -> Self {
        let running = available_parallelism().map_or(1, usize::from);
        Self {
            admitted: Semaphore::new(running * (1 + WAITING)),
            running: Arc::new(Semaphore::new(running)),
        }
    }

    /// Does a piece of work once it is its turn, and waits for it that long. What has begun runs to
    /// its end, even when nobody waits for it any more.
    ///
    /// # Panics
    /// Where the work does: it is the filter's, and told as any other of it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let _admitted = self.admitted.try_acquire().map_err(|_| Undone::Busy)?;
        let turn = timeout(TURN, self.running.clone().acquire_owned()).await;
        let running = turn.map_err(|_| Undone::Busy)?;
        let work = spawn_blocking(move || {
            let _running = running;
            work()
        });
        let done = timeout(patience, work).await.map_err(|_| Undone::Late)?;
        done.map_err(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Undone::Busy, // the gateway ends
        })
    }
}

impl From<Undone> for Reply {
    fn from(why: Undone) -> Self {
        let unavailable = |reason| {
            let reply = Self::problem(StatusCode::SERVICE_UNAVAILABLE, reason);
            reply.header(RETRY_AFTER, HeaderValue::from_static("1"))
        };
        match why {
            Undone::Busy => {
                unavailable("bodies_busy").detail("too many bodies are being worked on")
            }
            Undone::Late => unavailable("body_late").log("the work on a body took too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_is_too_much_is_refused_and_the_rest_is_done() {
        let workers = Arc::new(Workers {
            admitted: Semaphore::new(2),
            running: Arc::new(Semaphore::new(1)),
        });
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (first, second) = (workers.clone(), workers.clone());
        let first =
            tokio::spawn(async move { first.run(MINUTE, move || wait.recv().is_ok()).await });
        let second = tokio::spawn(async move { second.run(MINUTE, || 2).await });
        while workers.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(workers.run(MINUTE, || 3).await, Err(Undone::Busy));
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(second.await.unwrap(), Ok(2));
    }

    #[tokio::test]
    async fn a_panic_is_that_of_whoever_waits() {
        let workers = Arc::new(Workers::new());
        let waiting = workers.clone();
        let work = || -> u8 { panic!("a mistake") };
        let waiting = tokio::spawn(async move { waiting.run(MINUTE, work).await });
        let panic = waiting.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"a mistake"));
        assert_eq!(workers.run(MINUTE, || 4).await, Ok(4));
    }
}
