//! Listening sockets, and the loop that accepts connections from them.

mod caps;
mod ending;
pub mod http1;
pub mod http2;
mod proxy_protocol;
mod running;
mod seldom;
mod socket;
pub mod stream;
pub mod tls;
mod transport;
pub mod until;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use crate::compile::Listening;
use crate::descriptors;
use crate::observe::metrics::{ListenerMetrics, Refusal};
use crate::overload::{Level, Load, Seat};
use crate::proxy::{Connection, Conversation, Peer, Proxy, Shared};
use caps::Slot;
use transport::Plain;

pub use ending::{Ending, LEAVE};
pub use proxy_protocol::ProxyProtocol;
pub use running::{Accepting, Beginning, Handed, Listeners, Prepared, Task, Unbound};
pub use seldom::Seldom;
pub use socket::{Bound, Listener};

/// How long accepting pauses when the process has no file descriptor left for clients.
const PAUSE: Duration = Duration::from_millis(100);
/// How long connections may take to say goodbye when the time to finish is over.
pub const FAREWELL: Duration = Duration::from_secs(3);
/// How many connections are accepted one after the other while the worker has too much to do.
const MOST_IN_A_ROW: u32 = 16;
/// How often it is looked whether there are places left, and how many connections are asked then
/// whether they need theirs.
const LOOK: Duration = Duration::from_millis(500);
const MOST_WOKEN: usize = 4096;
/// How many connections that wait in a socket are taken before it is closed.
const MOST_WAITING: usize = 4096;

/// What a worker's listeners have in common.
#[derive(Clone)]
pub struct Worker {
    /// The worker's proxy, with its upstream connections.
    pub proxy: Arc<Proxy>,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// How much it has to do.
    pub load: Arc<Load>,
    /// How long a connection may idle.
    pub idle: Duration,
}

impl Worker {
    /// Accepts connections until told to stop, then waits for those that are open, for as long as
    /// the configuration says.
    ///
    /// # Errors
    /// Where the socket cannot be polled.
    pub async fn accept(self, mut accepting: Accepting) -> io::Result<()> {
        let name = accepting.listening.name.clone();
        let metrics = Arc::new(ListenerMetrics::new(&self.shared.metrics, &name));
        let listener = accepting.listen()?;
        let ending = Ending::new(accepting.stopped.clone());
        let mut stopped = pin!(ending.stopped());
        let mut connections = JoinSet::new();
        let welcome = |socket: Plain, address: SocketAddr| {
            let live = self.shared.live.load();
            let listening = live.current(&accepting.listening).clone();
            drop(live);
            metrics.accepted();
            let places = self.places(&listening, &accepting, &metrics);
            let places = places.map_err(|why| metrics.refused(why)).ok()?;
            let guest = Guest {
                worker: self.clone(),
                listening,
                places,
                metrics: metrics.clone(),
            };
            Some(guest.serve(socket, address, ending.clone()))
        };
        accepting.begun();
        let mut crowd = Crowd::new();
        let mut in_a_row = 0;
        let mut below = descriptors::for_clients();
        let mut resume: Option<Instant> = None;
        let pause = |error: io::Error| {
            metrics.paused();
            if let Some(times) = accepting.caps.trouble.happened() {
                tracing::warn!(listener = name, %error, times, "accepting pauses");
            }
            Some(Instant::now() + PAUSE)
        };
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(_) = connections.join_next() => {}
                _ = crowd.looks.tick() => {
                    below = descriptors::for_clients(); // that can change
                    let short = resume.is_some() || !descriptors::is_one_left(&listener, below);
                    crowd.make_room(&ending, short || self.is_crowded(&accepting));
                }
                () = sleep_until(resume), if resume.is_some() => {
                    resume = match descriptors::is_one_left(&listener, below) {
                        true => None,
                        false => pause(descriptors::kept_back()),
                    };
                }
                accepted = listener.accept(), if resume.is_none() => match accepted {
                    Ok((socket, address)) => {
                        if socket.as_raw_fd() >= below {
                            resume = pause(descriptors::kept_back());
                        }
                        if let Some(served) = welcome(socket, address) {
                            connections.spawn(served);
                        }
                        in_a_row = if self.load.is_over() { in_a_row + 1 } else { 0 };
                        if in_a_row >= MOST_IN_A_ROW {
                            // Those that are open already come first.
                            in_a_row = 0;
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) if is_of_one(&error) => {
                        tracing::debug!(listener = name, %error, "a connection cannot be accepted");
                    }
                    Err(error) => resume = pause(error),
                }
            }
        }
        if !self.shared.is_handed_over() {
            // Were it closed over connections that wait in it, they would be reset.
            for (socket, address) in listener.waiting().take(MOST_WAITING) {
                if let Some(served) = welcome(socket, address) {
                    connections.spawn(served);
                }
            }
        } else {
            drop(listener);
        }
        self.finish(&name, &ending, connections).await;
        Ok(())
    }

    /// Places for one more connection.
    ///
    /// # Errors
    /// Why there are none.
    fn places(
        &self,
        listening: &Listening,
        accepting: &Accepting,
        metrics: &ListenerMetrics,
    ) -> Result<(Slot, Seat), Refusal> {
        let overload = &self.shared.overload;
        if overload.level() == Level::Hard {
            return Err(Refusal::Memory);
        }
        let slot = accepting
            .caps
            .take(listening.max_connections, &metrics.open);
        let slot = slot.ok_or(Refusal::Connections)?;
        let seat = overload.seat(&self.shared.live.load().settings.limits);
        Ok((slot, seat.ok_or(Refusal::AllConnections)?))
    }

    /// Whether few places are left, or little memory.
    fn is_crowded(&self, accepting: &Accepting) -> bool {
        let live = self.shared.live.load();
        let most = live.current(&accepting.listening).max_connections;
        accepting.caps.is_nearly_full(most)
            || self.shared.overload.is_crowded(&live.settings.limits)
    }

    /// Waits for connections to end, and ends those that do not.
    async fn finish(&self, name: &str, ending: &Ending, mut connections: JoinSet<()>) {
        let deadline = self.shared.live.load().settings.limits.drain_deadline;
        if tokio::time::timeout(deadline.into(), gone(&mut connections))
            .await
            .is_ok()
        {
            return;
        }
        let left = connections.len();
        tracing::warn!(listener = name, connections = left, %deadline, "the drain deadline is over: what is left is cut off");
        ending.cut();
        if tokio::time::timeout(FAREWELL, gone(&mut connections))
            .await
            .is_err()
        {
            connections.shutdown().await;
        }
    }
}

/// What is done about connections that do nothing while others find no place.
struct Crowd {
    looks: Interval,
    /// Where it was left off with waking them.
    next: u64,
}

impl Crowd {
    fn new() -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, next: 0 }
    }

    /// Has some of the connections look whether they are in the way.
    fn make_room(&mut self, ending: &Ending, crowded: bool) {
        ending.crowd(crowded);
        if crowded {
            self.next = ending.wake_some(self.next, MOST_WOKEN);
        }
    }
}

/// Whether an error of accepting is one connection's, which is gone with it: those of the network come out there
/// (accept(2)), and those of firewalls.
fn is_of_one(error: &io::Error) -> bool {
    const OF_ONE: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
        Errno::PERM,
    ];
    (error.raw_os_error()).is_some_and(|raw| OF_ONE.iter().any(|one| one.raw_os_error() == raw))
}

/// Waits until then; not at all where there is no such time.
async fn sleep_until(then: Option<Instant>) {
    if let Some(then) = then {
        tokio::time::sleep_until(then.into()).await;
    }
}

async fn gone(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// A connection that was just accepted.
struct Guest {
    worker: Worker,
    listening: Arc<Listening>,
    places: (Slot, Seat),
    metrics: Arc<ListenerMetrics>,
}

impl Guest {
    /// Serves a connection to its end.
    async fn serve(mut self, socket: Plain, address: SocketAddr, ending: Ending) {
        let greeted = if self.listening.greets() {
            let shared = self.worker.shared.clone();
            let stop = ending.clone();
            tokio::select! {
                biased;
                greeted = Box::pin(self.greet(socket, address)) => greeted,
                () = stop.impatient(|| shared.is_handed_over()) => None,
            }
        } else {
            self.admit(address).then(|| {
                let connection = Connection::new(socket, address);
                (connection, self.peer(address, None))
            })
        };
        let Some((connection, peer)) = greeted else {
            return;
        };
        let Worker { proxy, shared, .. } = self.worker;
        let conversation = Conversation::new(proxy, shared, peer);
        conversation.hold(connection, &ending).await;
        drop(self.places);
    }

    /// What comes before the first request: the PROXY header, and the handshake of TLS.
    async fn greet(
        &mut self,
        mut socket: Plain,
        mut address: SocketAddr,
    ) -> Option<(Connection, Peer)> {
        let listening = self.listening.clone();
        if let Some(expected) = &listening.proxy_protocol {
            if !expected.from.contains(address.ip()) {
                self.metrics.refused(Refusal::ProxySource);
                return None;
            }
            let Some(header) = expected.read(&mut socket).await else {
                self.metrics.refused(Refusal::ProxyHeader);
                return None;
            };
            socket.unread(header.rest.freeze());
            address = header.client.unwrap_or(address);
        }
        if !self.admit(address) {
            return None;
        }
        let Some(tls) = &listening.tls else {
            return Some((Connection::new(socket, address), self.peer(address, None)));
        };
        let began = Instant::now();
        match tls.shake_hands(socket).await {
            Ok((stream, secured)) => {
                let (version, resumed) = (secured.facts.version, secured.resumed);
                self.metrics.shook_hands(version, resumed, began.elapsed());
                let connection = Connection::secure(stream, address, &secured);
                Some((connection, self.peer(address, Some(secured))))
            }
            Err(reason) => {
                self.metrics.handshake_failed(reason);
                None
            }
        }
    }

    /// Whether its client may have one more connection.
    fn admit(&mut self, client: SocketAddr) -> bool {
        let Some(most) = self.listening.max_connections_per_client else {
            return true;
        };
        // A proxy stands for many clients.
        let admitted = self.listening.trusted.contains(client.ip())
            || self.places.0.belongs_to(client.ip(), most);
        if !admitted {
            self.metrics.refused(Refusal::ConnectionsPerClient);
        }
        admitted
    }

    fn peer(&self, address: SocketAddr, secured: Option<tls::Secured>) -> Peer {
        let Worker { idle, load, .. } = &self.worker;
        Peer::new(
            self.listening.clone(),
            address,
            *idle,
            secured,
            load.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_one_connection_stops_no_other() {
        for one in [Errno::CONNABORTED, Errno::PERM, Errno::HOSTUNREACH] {
            assert!(is_of_one(&one.into()), "{one}");
        }
        for all in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::INVAL,
        ] {
            assert!(!is_of_one(&all.into()), "{all}");
        }
        assert!(!is_of_one(&descriptors::kept_back()));
    }
}
