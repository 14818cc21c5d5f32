//! Where the admin API listens.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora_core::apps::ServerApp;
use pingora_core::protocols::IO;
use pingora_core::protocols::l4::stream::Stream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::Admin;
use crate::proxy::Connection;

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
pub async fn serve(socket: Socket, admin: Arc<Admin>, stop: watch::Receiver<bool>) {
    let served = match socket {
        Socket::Tcp(socket) => tcp(socket, admin, stop).await,
        Socket::Unix(socket, path) => {
            let _removed = Unlink(path);
            unix(socket, admin, stop).await
        }
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin API failed");
    }
}

async fn tcp(
    socket: std::net::TcpListener,
    admin: Arc<Admin>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        let (socket, address) = listener.accept().await?;
        converse(Box::new(Connection::new(socket, address)), &admin, &stop);
    }
}

async fn unix(
    socket: std::os::unix::net::UnixListener,
    admin: Arc<Admin>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(socket)?;
    loop {
        let (socket, _) = listener.accept().await?;
        converse(Box::new(Stream::from(socket)), &admin, &stop);
    }
}

/// Removes a socket's file at the end.
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn converse(stream: Box<dyn IO>, admin: &Arc<Admin>, stop: &watch::Receiver<bool>) {
    let (admin, stop) = (admin.clone(), stop.clone());
    tokio::spawn(async move {
        let mut next = admin.process_new(stream, &stop).await;
        while let Some(stream) = next {
            next = admin.process_new(stream, &stop).await;
        }
    });
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
