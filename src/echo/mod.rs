//! A small HTTP server that answers with the request it saw.
//!
//! It is the origin of the shipped configuration and of the tests: HTTP/1.1 and HTTP/2 without
//! TLS on every address. The answer is JSON:
//!
//! ```json
//! {"method":"GET","path":"/a","query":"x=1","version":"HTTP/1.1","authority":"example.com",
//!  "headers":{"host":"example.com","accept":["a","b"]},"body_bytes":0,"body":"",
//!  "body_sha256":"e3b0…","served_by":"127.0.0.1:9001"}
//! ```
//!
//! A header that came more than once is a list. `body` is missing where it is not UTF-8 or longer
//! than 64 KiB; it is never kept beyond that. Other answers are made on request, by query:
//!
//! | query | answer |
//! |---|---|
//! | `delay=200ms` | waits before the head; `ms` or `s`, at most 60 s |
//! | `status=503` | this status, 200 to 599 |
//! | `header=name:value` | adds this response header; may be repeated |
//! | `bytes=1000` | this many bytes with a `Content-Length`, at most 10 GiB |
//! | `stream=5&every=10ms` | this many chunks of unannounced length, one in each interval |
//! | `sse=5&every=1s` | the same as server-sent events |
//! | `fail=close` | closes the connection without an answer (HTTP/2: resets the stream) |
//! | `fail=reset` | the same with a TCP reset (HTTP/2: resets the stream) |
//! | `fail=midway` | sends the head and half of the body, then closes |
//! | `at=9002` | all of these only on the address with this port |
//!
//! One of `delay`, `status`, `bytes`, `stream`, `sse` and `fail` may also be a path of two
//! segments: `/status/503`. A value that makes no sense is answered with a 400 that says so.
//!
//! `GET /health` answers `ok`, until `PUT /health?status=503` gives it another status.
//! `GET /__stats` tells `{"served_by","connections","requests"}` of its address, where `/health`
//! and `/__stats` do not count.

mod answer;
mod asked;
#[cfg(test)]
mod tests;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::wire::Wire;

/// An echo server with a thread of its own. Dropping it closes its sockets.
#[derive(Debug)]
pub struct Echo {
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Serves on these addresses, in the background; port 0 takes a free one.
    ///
    /// # Errors
    /// An address that cannot be bound, by name; nothing is served then.
    pub fn start(addresses: &[SocketAddr]) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime()?;
        let addresses = {
            let _inside = runtime.enter();
            serve(addresses, std::future::pending())?
        };
        let thread = std::thread::Builder::new()
            .name("echo".into())
            .spawn(move || {
                // Only ever ends by the sender's end; dropping the runtime then ends every task.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens, in the order asked for, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Serves on these addresses until SIGINT or SIGTERM: the command `wiregate echo`.
///
/// # Errors
/// An address that cannot be bound, by name.
pub fn run(addresses: &[SocketAddr]) -> io::Result<()> {
    runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        for address in serve(addresses, std::future::pending())? {
            tracing::info!(%address, "echo is listening");
        }
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// Serves on these addresses until `shutdown`, then drops all connections.
///
/// The sockets are bound when this returns; the result is their addresses, in the order asked
/// for, with the real port where 0 was asked for. Must be called inside a Tokio runtime, which
/// runs the server.
///
/// # Errors
/// An address that cannot be bound, by name; nothing is served then.
pub fn serve(
    addresses: &[SocketAddr],
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    let listeners = addresses
        .iter()
        .map(|address| bind(*address))
        .collect::<io::Result<Vec<_>>>()?;
    let bound = listeners.iter().map(|(_, door)| door.address).collect();
    let mut doors = JoinSet::new();
    for (listener, door) in listeners {
        doors.spawn(accept(listener, Arc::new(door)));
    }
    tokio::spawn(async move {
        shutdown.await;
        doors.shutdown().await;
    });
    Ok(bound)
}

/// One address and what happened there.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    connections: AtomicU64,
    requests: AtomicU64,
    health: AtomicU16,
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn bind(address: SocketAddr) -> io::Result<(TcpListener, Door)> {
    let open = || {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let door = Door {
            address: listener.local_addr()?,
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            health: AtomicU16::new(200),
        };
        Ok((TcpListener::from_std(listener)?, door))
    };
    open().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot bind {address}: {error}"))
    })
}

/// Takes connections until dropped, which drops them too.
async fn accept(listener: TcpListener, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    door.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(converse(stream, Arc::clone(&door)));
                }
                Err(error) => {
                    tracing::warn!(%error, address = %door.address, "echo cannot accept");
                    // Out of file descriptors, most likely: let some close.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. No timer is set: an idle connection stays open as long as its client
/// wants, so that a pool never meets a closed one by chance.
async fn converse(stream: TcpStream, door: Arc<Door>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "echo cannot set TCP_NODELAY");
    }
    let reset = Arc::new(AtomicBool::new(false));
    let wire = Wire::new(stream, Arc::clone(&reset));
    let service =
        service_fn(|request| answer::answer(request, Arc::clone(&door), Arc::clone(&reset)));
    let result = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(wire), service)
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, "echo lost a connection");
    }
}
