//! The listeners that are open, and how a new configuration changes them.
//!
//! A listener whose address stays keeps its socket and its connections. New sockets are opened
//! before anything changes; those that are gone accept no more, and their connections end between
//! two requests, or when they have been idle for long enough.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::caps::Caps;
use super::socket::{Bound, Listener};
use crate::compile::Listening;
use crate::config::model::Bind;

/// The open listeners of a gateway, shared with its workers.
pub struct Listeners {
    inner: Mutex<Inner>,
}

struct Inner {
    /// To each worker, what it is to accept from; none once the gateway stops.
    workers: Vec<mpsc::UnboundedSender<Task>>,
    running: Vec<Running>,
    /// Sockets that another process has opened, and that no listener has asked for yet.
    handed: Vec<Handed>,
}

/// The sockets of one address, as they go from process to process.
#[derive(Debug)]
pub struct Handed {
    /// The listener that they belonged to, where there was one.
    pub name: Option<String>,
    /// The address, as it was asked for.
    pub bind: Bind,
    /// The sockets.
    pub bound: Vec<Bound>,
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

/// What a worker is told.
pub enum Task {
    /// To accept connections.
    Accept(Accepting),
    /// To answer.
    Answer(oneshot::Sender<()>),
}

/// What a worker needs to accept connections from a listener.
pub struct Accepting {
    /// The listener, as it was when it was opened.
    pub listening: Arc<Listening>,
    /// Its connections, over all workers.
    pub caps: Arc<Caps>,
    /// Whether it is to accept no more.
    pub stopped: watch::Receiver<bool>,
    /// There until it is listened on.
    bound: Option<Bound>,
    begun: mpsc::UnboundedSender<()>,
}

impl Accepting {
    /// The socket, ready to accept in the runtime that runs here.
    pub(super) fn listen(&mut self) -> io::Result<Listener> {
        let bound = self.bound.take();
        bound.map_or_else(
            || Err(io::Error::other("listened on before")),
            Bound::listen,
        )
    }

    /// From here on, connections are accepted.
    pub(super) fn begun(&self) {
        let _ = self.begun.send(()); // nobody may want to know
    }
}

/// Workers that were told to accept connections.
#[derive(Debug)]
pub struct Beginning {
    expected: usize,
    begun: mpsc::UnboundedReceiver<()>,
}

impl Beginning {
    /// Waits until all of them do; says whether they do. One that cannot has said why.
    pub async fn done(mut self) -> bool {
        for _ in 0..self.expected {
            if self.begun.recv().await.is_none() {
                return false;
            }
        }
        true
    }
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
    beginning: Beginning,
}

impl Listeners {
    /// No listeners yet, but sockets for them; and for each of so many workers, how it learns of
    /// them.
    pub fn new(workers: usize, handed: Vec<Handed>) -> (Self, Vec<mpsc::UnboundedReceiver<Task>>) {
        let (workers, receivers) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let inner = Mutex::new(Inner {
            workers,
            running: Vec::new(),
            handed,
        });
        (Self { inner }, receivers)
    }

    /// The sockets of all open listeners once more, for another process.
    ///
    /// # Errors
    /// The system's.
    pub fn hand_out(&self) -> io::Result<Vec<Handed>> {
        let inner = self.lock();
        let running = inner.running.iter();
        let handed = running.map(|running| {
            let bound = running.bound.iter().map(Bound::share);
            Ok(Handed {
                name: Some(running.name.clone()),
                bind: running.bind.clone(),
                bound: bound.collect::<io::Result<_>>()?,
            })
        });
        handed.collect()
    }

    /// Says whether the files of Unix sockets are ours to remove.
    pub fn own(&self, ours: bool) {
        let inner = self.lock();
        let running = inner.running.iter().flat_map(|running| &running.bound);
        let handed = inner.handed.iter().flat_map(|handed| &handed.bound);
        running.chain(handed).for_each(|bound| bound.own(ours));
    }

    /// Closes the sockets that were handed over and that no listener has asked for; returns where
    /// they were.
    pub fn close_unasked(&self) -> Vec<Bind> {
        let handed = std::mem::take(&mut self.lock().handed);
        handed.into_iter().map(|handed| handed.bind).collect()
    }

    /// Opens whatever a configuration has that is not open yet. Nothing changes so far.
    ///
    /// # Errors
    /// All that cannot be opened.
    pub fn prepare(&self, listeners: &[Arc<Listening>]) -> Result<Prepared, Vec<Unbound>> {
        let mut inner = self.lock();
        let (begun, beginning) = mpsc::unbounded_channel();
        let mut prepared = Prepared {
            stay: Vec::new(),
            new: Vec::new(),
            beginning: Beginning {
                expected: 0,
                begun: beginning,
            },
        };
        let mut unbound = Vec::new();
        for listening in listeners {
            let own = inner.running.iter().find(|old| old.name == listening.name);
            if own.is_some_and(|own| own.bind == listening.bind) {
                prepared.stay.push(listening.name.clone());
                continue;
            }
            match inner.open(listening, &begun) {
                Ok(new) => {
                    prepared.beginning.expected += new.1.len();
                    prepared.new.push(new);
                }
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
    pub fn change_to(&self, prepared: Prepared) -> Beginning {
        let mut inner = self.lock();
        let Inner {
            workers, running, ..
        } = &mut *inner;
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
                break; // the gateway stops meanwhile
            }
            // Each socket has its own queue: all of them, however many there are, are accepted from.
            for (worker, share) in workers.iter().cycle().zip(shares) {
                let _ = worker.send(Task::Accept(share)); // a worker that has ended has said why
            }
            tracing::info!(listener = new.name, address = %new.address, "listening");
            running.push(new);
        }
        prepared.beginning
    }

    /// Accepts nothing any more, for good.
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.workers.clear();
        for running in inner.running.drain(..) {
            running.stop.send_replace(true);
        }
    }

    /// Returns when each worker has answered, or has ended: false where one has, and the gateway goes on.
    /// Where there are none any more, at once.
    pub async fn answer(&self) -> bool {
        let asked: Vec<_> = (self.lock().workers.iter())
            .map(|worker| {
                let (answer, answered) = oneshot::channel();
                let _ = worker.send(Task::Answer(answer));
                answered
            })
            .collect();
        let mut all = true;
        for answered in asked {
            all &= answered.await.is_ok();
        }
        all || self.lock().workers.is_empty() // they end with the gateway
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
    fn open(
        &mut self,
        listening: &Arc<Listening>,
        begun: &mpsc::UnboundedSender<()>,
    ) -> io::Result<(Running, Vec<Accepting>)> {
        let bound = self.sockets(listening)?;
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
                bound: Some(bound.share()?),
                begun: begun.clone(),
            })
        };
        let shares = running.bound.iter().map(share);
        let shares = shares.collect::<io::Result<_>>()?;
        Ok((running, shares))
    }

    /// The sockets of a listener, one for each worker at least.
    fn sockets(&mut self, listening: &Listening) -> io::Result<Vec<Bound>> {
        // One that has only got another name hands its socket on: no connection gets lost.
        let same = (self.running.iter())
            .find(|old| old.bind == listening.bind && !listening.bind.any_port());
        if let Some(old) = same {
            return old.bound.iter().map(Bound::share).collect();
        }
        // Beside sockets that another process still accepts from no new one may stand: it would get
        // connections that nobody accepts yet.
        match self.take_handed(listening) {
            Some(handed) => Bound::shared_by(handed.bound, self.workers.len()),
            None => {
                let first = Bound::open(&listening.bind)?;
                Bound::for_all(vec![first], self.workers.len())
            }
        }
    }

    /// The sockets that another process has opened for this listener.
    fn take_handed(&mut self, listening: &Listening) -> Option<Handed> {
        let bind = &listening.bind;
        let own = |handed: &Handed| {
            let same = handed.name.as_deref() == Some(&listening.name);
            handed.bind == *bind && (same || !bind.any_port())
        };
        let position = self.handed.iter().position(own)?;
        Some(self.handed.swap_remove(position))
    }
}
