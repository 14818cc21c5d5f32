//! The listeners that are open, and how a new configuration changes them.
//!
//! A listener whose address stays keeps its socket and its connections. New sockets are opened
//! before anything changes; those that are gone accept no more, and their connections end between
//! two requests, or when they have been idle for long enough.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::caps::Caps;
use super::socket::Bound;
use crate::compile::Listening;
use crate::config::model::Bind;

/// The open listeners of a gateway, shared with its workers.
pub struct Listeners {
    inner: Mutex<Inner>,
}

struct Inner {
    /// To each worker, what it is to accept from; none once the gateway stops.
    workers: Vec<mpsc::UnboundedSender<Accepting>>,
    running: Vec<Running>,
}

/// A listener that is open.
struct Running {
    name: String,
    /// As it was asked for.
    bind: Bind,
    /// Its sockets, one for each worker.
    bound: Vec<Bound>,
    address: Bind,
    caps: Arc<Caps>,
    stop: watch::Sender<bool>,
}

/// What a worker needs to accept connections from a listener.
pub struct Accepting {
    /// The listener, as it was when it was opened.
    pub listening: Arc<Listening>,
    /// Its connections, over all workers.
    pub caps: Arc<Caps>,
    /// Whether it is to accept no more.
    pub stopped: watch::Receiver<bool>,
    pub(super) bound: Bound,
}

/// A listener that cannot be opened.
#[derive(Debug)]
pub struct Unbound {
    /// Its name.
    pub name: String,
    /// Where.
    pub bind: Bind,
    /// Why not.
    pub error: io::Error,
}

impl Unbound {
    fn new(listening: &Listening, error: io::Error) -> Self {
        Self {
            name: listening.name.clone(),
            bind: listening.bind.clone(),
            error,
        }
    }
}

impl From<Unbound> for io::Error {
    fn from(unbound: Unbound) -> Self {
        let Unbound { name, bind, error } = unbound;
        let message = format!("listener `{name}` cannot bind {bind}: {error}");
        Self::new(error.kind(), message)
    }
}

/// Opened sockets that accept nothing yet; closed when dropped.
pub struct Prepared {
    /// The names of those that stay as they are.
    stay: Vec<String>,
    new: Vec<(Running, Vec<Accepting>)>,
}

impl Listeners {
    /// No listeners yet; and for each of so many workers, how it learns of them.
    pub fn new(workers: usize) -> (Self, Vec<mpsc::UnboundedReceiver<Accepting>>) {
        let (workers, receivers) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let inner = Mutex::new(Inner {
            workers,
            running: Vec::new(),
        });
        (Self { inner }, receivers)
    }

    /// Opens whatever a configuration has that is not open yet. Nothing changes so far.
    ///
    /// # Errors
    /// All that cannot be opened.
    pub fn prepare(&self, listeners: &[Arc<Listening>]) -> Result<Prepared, Vec<Unbound>> {
        let inner = self.lock();
        let mut prepared = Prepared {
            stay: Vec::new(),
            new: Vec::new(),
        };
        let mut unbound = Vec::new();
        for listening in listeners {
            let own = inner.running.iter().find(|old| old.name == listening.name);
            if own.is_some_and(|own| own.bind == listening.bind) {
                prepared.stay.push(listening.name.clone());
                continue;
            }
            match inner.open(listening) {
                Ok(new) => prepared.new.push(new),
                Err(error) => unbound.push(Unbound::new(listening, error)),
            }
        }
        if unbound.is_empty() {
            Ok(prepared)
        } else {
            Err(unbound)
        }
    }

    /// Accepts from what was prepared, and no more from what is gone. The configuration that it
    /// was prepared for is live.
    pub fn change_to(&self, prepared: Prepared) {
        let mut inner = self.lock();
        let Inner { workers, running } = &mut *inner;
        running.retain(|old| {
            let stays = prepared.stay.contains(&old.name);
            if !stays {
                tracing::info!(listener = old.name, address = %old.address, "accepts no more");
                old.stop.send_replace(true);
            }
            stays
        });
        for (new, shares) in prepared.new {
            if workers.is_empty() {
                return; // the gateway stops meanwhile
            }
            for (worker, share) in workers.iter().zip(shares) {
                let _ = worker.send(share); // a worker that has ended has said why
            }
            tracing::info!(listener = new.name, address = %new.address, "listening");
            running.push(new);
        }
    }

    /// Accepts nothing any more, for good.
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.workers.clear();
        for running in inner.running.drain(..) {
            running.stop.send_replace(true);
        }
    }

    /// Where a listener is, with the port that the system chose where 0 was asked for.
    pub fn address(&self, name: &str) -> Option<Bind> {
        let inner = self.lock();
        let running = inner.running.iter().find(|running| running.name == name);
        running.map(|running| running.address.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Opens a listener, with a share for each worker.
    fn open(&self, listening: &Arc<Listening>) -> io::Result<(Running, Vec<Accepting>)> {
        // One that has only got another name hands its socket on: no connection gets lost.
        let same = (self.running.iter())
            .find(|old| old.bind == listening.bind && !listening.bind.any_port());
        let bound = match same {
            Some(old) => old
                .bound
                .iter()
                .map(Bound::share)
                .collect::<io::Result<_>>()?,
            None => Bound::open_for(&listening.bind, self.workers.len())?,
        };
        let address = bound.first().map(|bound| bound.address.clone());
        let running = Running {
            name: listening.name.clone(),
            bind: listening.bind.clone(),
            bound,
            address: address.unwrap_or_else(|| listening.bind.clone()),
            caps: Arc::default(),
            stop: watch::Sender::new(false),
        };
        let share = |bound: &Bound| {
            Ok(Accepting {
                listening: listening.clone(),
                caps: running.caps.clone(),
                stopped: running.stop.subscribe(),
                bound: bound.share()?,
            })
        };
        let shares = running.bound.iter().map(share);
        let shares = shares.collect::<io::Result<_>>()?;
        Ok((running, shares))
    }
}
