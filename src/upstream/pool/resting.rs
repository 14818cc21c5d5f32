//! The connections that rest.

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pingora_core::protocols::{SocketDigest, Stream};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, sleep_until};

/// How long it takes at most until a connection is closed that its endpoint has closed, or that has rested for long
/// enough.
const EVERY: Duration = Duration::from_millis(100);

/// The connections of one worker that rest, by what they are good for.
pub(super) struct Resting {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    /// Those of each key, in the order in which they came.
    by_key: HashMap<u64, Vec<Rests>, BuildHasherDefault<AsItIs>>,
    count: usize,
    upkeep: Upkeep,
}

/// The task that looks after what rests.
#[derive(Default)]
enum Upkeep {
    /// There is none: nothing rests.
    #[default]
    None,
    /// It has been started, and will look at all there is.
    Starting,
    /// It is woken by whatever happens to what rests, and by itself at this moment.
    Waiting(Waker, Instant),
}

struct Rests {
    stream: Stream,
    since: Instant,
    until: Instant,
}

impl Resting {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most,
        }
    }

    /// One with this key which its endpoint has not closed: the one that came last, so that those that are too many
    /// go by in time.
    pub(super) fn take(&self, key: u64) -> Option<Stream> {
        loop {
            let mut rests = {
                let mut kept = self.kept();
                let rests = kept.by_key.get_mut(&key)?.pop()?;
                kept.count -= 1;
                rests
            };
            if is_quiet(&mut rests.stream, &mut Context::from_waker(Waker::noop())) {
                return Some(rests.stream);
            }
        }
    }

    /// Whom to wake where something happens to one that is about to rest.
    pub(super) fn waker(&self) -> Waker {
        match &self.kept().upkeep {
            Upkeep::Waiting(waker, _) => waker.clone(),
            Upkeep::None | Upkeep::Starting => Waker::noop().clone(),
        }
    }

    /// Keeps one for as long, and starts the task that looks after it where there is none.
    pub(super) fn put(self: &Arc<Self>, key: u64, stream: Stream, idle: Duration) {
        let since = Instant::now();
        let until = since + idle;
        let _oldest; // closed when the lock is free again
        let mut kept = self.kept();
        _oldest = match kept.count >= self.most {
            true => kept.take_oldest(),
            false => None,
        };
        kept.count += 1;
        kept.by_key.entry(key).or_default().push(Rests {
            stream,
            since,
            until,
        });
        match &kept.upkeep {
            Upkeep::None => {
                kept.upkeep = Upkeep::Starting;
                drop(tokio::spawn(look_after(self.clone())));
            }
            Upkeep::Waiting(waker, next) if until < *next => waker.wake_by_ref(),
            Upkeep::Starting | Upkeep::Waiting(..) => {}
        }
    }

    /// Lets go of what is closed or has rested for long enough; says when to look again, or that nothing is left.
    fn sweep(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let (now, mut next, mut gone) = (Instant::now(), None::<Instant>, Vec::new());
        let mut kept = self.kept();
        kept.by_key.retain(|_, all| {
            gone.extend(all.extract_if(.., |rests| {
                rests.until <= now || !is_quiet(&mut rests.stream, cx)
            }));
            let first = all.iter().map(|rests| rests.until).min();
            next = next.into_iter().chain(first).min();
            !all.is_empty()
        });
        kept.count -= gone.len();
        kept.upkeep = match next {
            Some(next) => Upkeep::Waiting(cx.waker().clone(), next),
            None => Upkeep::None,
        };
        drop(kept);
        next
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What panicked in between has left it whole: nothing here does.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Takes the one out that has rested for longest.
    fn take_oldest(&mut self) -> Option<Rests> {
        self.by_key.retain(|_, all| !all.is_empty());
        let all = self.by_key.values_mut().min_by_key(|all| all[0].since)?;
        self.count -= 1;
        Some(all.remove(0))
    }
}

/// Looks after what rests until nothing does. Where many are closed one after the other, it looks at all of them
/// now and then only.
async fn look_after(resting: Arc<Resting>) {
    while let Some(next) = poll_fn(|cx| Poll::Ready(resting.sweep(cx))).await {
        let (mut timer, mut woken) = (pin!(sleep_until(next)), false);
        poll_fn(|cx| match timer.as_mut().poll(cx) {
            // What wakes it is the time, or one of them.
            Poll::Pending if !std::mem::replace(&mut woken, true) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        sleep(EVERY).await;
    }
}

/// Whether nothing has come over a connection over which nothing is awaited: no end either.
pub(super) fn is_quiet(stream: &mut Stream, cx: &mut Context<'_>) -> bool {
    let mut byte = [0];
    let mut bytes = ReadBuf::new(&mut byte);
    let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut bytes));
    // Whatever else this task has done: it is to be looked at.
    let quiet = pin!(unconstrained(read)).as_mut().poll(cx).is_pending();
    if !bytes.filled().is_empty() {
        let digest = stream.get_socket_digest();
        let endpoint = digest.as_deref().and_then(SocketDigest::peer_addr);
        let endpoint = endpoint.map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            endpoint,
            "an endpoint has sent what nobody awaits: the connection is closed"
        );
    }
    quiet
}

/// A key that is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
