//! Listening sockets, and the loop that accepts connections from them.

pub mod http1;
pub mod http2;
pub mod stream;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use prometheus::IntGauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::compile::Listening;
use crate::proxy::{Connection, Conversation, Engine, Peer, Shared};

/// How many connections may wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 65_535;
/// How long accepting pauses when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub struct Bound {
    /// The listener that it belongs to.
    pub listening: Arc<Listening>,
    /// Its address, with the port that the system chose where 0 was asked for.
    pub address: SocketAddr,
    socket: StdListener,
}

impl Bound {
    /// Opens a listening socket.
    ///
    /// # Errors
    /// The system's, with the listener's name and address.
    pub fn open(listening: Arc<Listening>) -> io::Result<Self> {
        let explain = |error: io::Error| {
            let (name, bind) = (&listening.name, listening.bind);
            io::Error::new(
                error.kind(),
                format!("listener `{name}` cannot bind {bind}: {error}"),
            )
        };
        let socket = bind(listening.bind).map_err(explain)?;
        let address = socket.local_addr().map_err(explain)?;
        Ok(Self {
            listening,
            address,
            socket,
        })
    }

    /// The same socket once more, for another worker.
    ///
    /// # Errors
    /// The system's.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            listening: self.listening.clone(),
            address: self.address,
            socket: self.socket.try_clone()?,
        })
    }
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` is IPv6 alone, so that `0.0.0.0` beside it is no surprise.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts connections until told to stop, then waits for those that are open.
///
/// # Errors
/// Where the socket cannot be polled.
pub async fn accept(
    bound: Bound,
    proxy: Arc<HttpProxy<Engine>>,
    shared: Arc<Shared>,
    open: IntGauge,
    idle: Duration,
    mut shutdown: ShutdownWatch,
) -> io::Result<()> {
    let listener = TcpListener::from_std(bound.socket)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = shutdown.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) => {
                    // Small replies must not wait for an acknowledgement.
                    let _ = socket.set_nodelay(true);
                    let listening = shared.live.load().listening(&bound.listening.name);
                    let listening = listening.unwrap_or_else(|| bound.listening.clone());
                    let peer = Peer::new(listening, address, idle);
                    let conversation = Conversation::new(proxy.clone(), shared.clone(), peer);
                    let (shutdown, open) = (shutdown.clone(), Open::new(&open));
                    connections.spawn(async move {
                        let _open = open;
                        conversation.hold(Connection::new(socket, address), &shutdown).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(listener = bound.listening.name, %error, "cannot accept");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Counts a connection while it is open.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
