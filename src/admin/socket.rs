//! Where the admin API listens.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use pingora_core::protocols::IO;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::{Admin, Answer, Over};
use crate::proxy::Connection;

/// Connections beyond this many wait until another ends.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take to ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the admin API is to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket, for its owner and group only.
    Unix(PathBuf),
}

impl Bind {
    /// Reads `127.0.0.1:9901` or `unix:/path`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(format!(
                    "expected an absolute path after `unix:`, found `{path}`"
                ))
            };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(_) => Err(format!(
                "expected a loopback address, found `{text}`: the admin API asks nobody for a password"
            )),
            Err(_) => Err(format!(
                "expected an address such as `127.0.0.1:9901` or `unix:/run/wiregate/admin.sock`, found `{text}`"
            )),
        }
    }
}

/// The admin API's listening socket.
#[derive(Debug)]
pub enum Socket {
    /// On a loopback address.
    Tcp(std::net::TcpListener),
    /// On a Unix socket, which is removed at the end.
    Unix(std::os::unix::net::UnixListener, PathBuf),
}

impl Socket {
    /// Opens the socket that the configuration asks for.
    ///
    /// # Errors
    /// The system's, with the address.
    pub fn open(text: &str) -> io::Result<Self> {
        let explain = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the admin API cannot bind {text}: {error}"),
            )
        };
        let socket = match Bind::parse(text).map_err(io::Error::other)? {
            Bind::Tcp(address) => {
                let socket = std::net::TcpListener::bind(address).map_err(explain)?;
                socket.set_nonblocking(true)?;
                Self::Tcp(socket)
            }
            Bind::Unix(path) => {
                remove_stale(&path);
                let socket = std::os::unix::net::UnixListener::bind(&path).map_err(explain)?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
                socket.set_nonblocking(true)?;
                Self::Unix(socket, path)
            }
        };
        Ok(socket)
    }

    /// Its address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(socket) => socket
                .local_addr()
                .map_or_else(|e| e.to_string(), |a| a.to_string()),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

/// A socket that nobody listens on any more is in the way of a new one.
fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
}

/// Answers as long as the process lives, so that probes see it drain.
pub async fn serve(socket: Socket, admin: Arc<Admin>) {
    let listener = match Listener::new(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin API failed");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok(stream) => {
                let (admin, over) = (admin.clone(), listener.over());
                tokio::spawn(async move {
                    let _place = place;
                    converse(stream, over, &admin).await;
                });
            }
            // Too many open files, or a client that has gone already: neither lasts.
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The socket, ready to accept.
enum Listener {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "it acts when dropped")] Unlink,
    ),
}

impl Listener {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?),
            Socket::Unix(socket, path) => {
                let unlink = Unlink(path);
                Self::Unix(UnixListener::from_std(socket)?, unlink)
            }
        })
    }

    fn over(&self) -> Over {
        match self {
            Self::Tcp(_) => Over::Tcp,
            Self::Unix(..) => Over::Unix,
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn IO>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                Box::new(Connection::new(socket, address))
            }
            Self::Unix(listener, _) => Box::new(Stream::from(listener.accept().await?.0)),
        })
    }
}

/// Removes a socket's file at the end.
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One request and its answer. The connection ends with it: whoever asks a few times a minute
/// gains nothing from one that stays, and would hold a place meanwhile.
async fn converse(stream: Box<dyn IO>, over: Over, admin: &Admin) {
    let mut session = ServerSession::new_http1(stream);
    let asked = tokio::time::timeout(PATIENCE, session.read_request()).await;
    if !matches!(asked, Ok(Ok(true))) {
        return; // it said nothing in time, or nothing that is a request
    }
    session.set_keepalive(None);
    // However long a reload takes, it is the gateway's time and not the client's.
    let answer = admin.respond(session.req_header(), over).await;
    let answered = tokio::time::timeout(PATIENCE, send(session, answer)).await;
    if !matches!(answered, Ok(Ok(()))) {
        tracing::debug!("a client of the admin API did not take its answer");
    }
}

async fn send(mut session: ServerSession, answer: Answer) -> pingora_error::Result<()> {
    let (mut head, body) = answer.into_parts();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    session.write_response_header(Box::new(head.into())).await?;
    if !body.is_empty() {
        session.write_response_body(body.into(), true).await?;
    }
    session.finish().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_only_where_nobody_else_can_come() {
        assert!(matches!(Bind::parse("127.0.0.1:9901"), Ok(Bind::Tcp(_))));
        assert!(matches!(Bind::parse("[::1]:9901"), Ok(Bind::Tcp(_))));
        assert!(matches!(Bind::parse("unix:/run/a.sock"), Ok(Bind::Unix(_))));
        for wrong in [
            "0.0.0.0:9901",
            "unix:run/a.sock",
            "localhost",
            "",
            "127.0.0.1",
        ] {
            assert!(Bind::parse(wrong).is_err(), "{wrong}");
        }
    }
}
