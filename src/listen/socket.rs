//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::transport::Plain;
use crate::config::model::Bind;

/// A connection that was silent for this long is asked whether its other end is still there: so often,
/// this many times.
const ALIVE_AFTER: Duration = Duration::from_secs(60);
const ALIVE_EVERY: Duration = Duration::from_secs(10);
const ALIVE_TRIES: u32 = 3;

/// How many connections may wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 65_535;
/// A Unix socket is for its owner and group.
const MODE: u32 = 0o660;
/// What a client on a Unix socket counts as: it is on this machine.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listening socket.
#[derive(Debug)]
pub struct Bound {
    /// Its address, with the port that the system chose where 0 was asked for.
    pub address: Bind,
    socket: Socket,
    /// The file of a Unix socket goes with the last one that listens.
    file: Option<Arc<File>>,
}

/// The file of a Unix socket, removed when dropped, unless it is another process's.
#[derive(Debug)]
struct File {
    path: PathBuf,
    ours: AtomicBool,
    /// It belongs to whoever has lent the socket, for good.
    lent: bool,
}

impl Drop for File {
    fn drop(&mut self) {
        if self.ours.load(Ordering::Acquire) {
            // Whoever removed it already has done the same.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Bound {
    /// Opens a listening socket.
    ///
    /// # Errors
    /// The system's.
    pub fn open(bind: &Bind) -> io::Result<Self> {
        match bind {
            Bind::Tcp(address) => Self::tcp(*address, false),
            Bind::Unix(path) => Self::unix(path),
        }
    }

    /// A listening socket that another process has opened. Its file, where it has one, is not ours
    /// until [said](Self::own).
    ///
    /// # Errors
    /// Where it is no socket that listens.
    pub fn handed(socket: OwnedFd) -> io::Result<Self> {
        Self::of(socket, false)
    }

    /// The same of whoever keeps the socket, such as systemd: its file is never ours.
    ///
    /// # Errors
    /// The same.
    pub fn lent(socket: OwnedFd) -> io::Result<Self> {
        Self::of(socket, true)
    }

    /// Whether its file belongs to whoever has lent the socket.
    pub fn is_lent(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.lent)
    }

    fn of(socket: OwnedFd, lent: bool) -> io::Result<Self> {
        let socket = Socket::from(socket);
        if !socket.is_listener()? {
            let message = "expected a socket that listens";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        let address = socket.local_addr()?;
        let path = address.as_pathname().map(Path::to_owned);
        let (address, file) = match (address.as_socket(), path) {
            (Some(address), _) => {
                keep_alive(&socket)?;
                (Bind::Tcp(address), None)
            }
            (None, Some(path)) => {
                let ours = AtomicBool::new(false);
                let file = Arc::new(File {
                    path: path.clone(),
                    ours,
                    lent,
                });
                (Bind::Unix(path), Some(file))
            }
            (None, None) => {
                let message = "expected a socket on an address or a path";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        Ok(Self {
            address,
            socket,
            file,
        })
    }

    /// Says whether the socket's file is removed with the last one that listens here, where it has
    /// one.
    pub fn own(&self, ours: bool) {
        if let Some(file) = &self.file {
            file.ours.store(ours && !file.lent, Ordering::Release);
        }
    }

    /// One socket for each of so many workers, at least, all on the address of the first. The kernel
    /// spreads connections over them; from one socket, whoever wakes first would take most of a
    /// burst. A Unix socket is one for all, and so is one that another user has opened.
    ///
    /// # Errors
    /// The system's.
    pub fn for_all(mut sockets: Vec<Self>, workers: usize) -> io::Result<Vec<Self>> {
        while let (Some(first), true) = (sockets.first(), sockets.len() < workers) {
            let beside = match &first.address {
                Bind::Tcp(address) => {
                    let shared = first.socket.set_reuse_port(true);
                    shared.and_then(|()| Self::tcp(*address, true))
                }
                Bind::Unix(_) => first.share(),
            };
            let beside = beside.or_else(|_| first.share())?;
            sockets.push(beside);
        }
        Ok(sockets)
    }

    /// A socket for each of so many workers, at least, out of those that there are: where there are
    /// fewer, workers share them.
    ///
    /// # Errors
    /// The system's.
    pub fn shared_by(mut sockets: Vec<Self>, workers: usize) -> io::Result<Vec<Self>> {
        for at in 0..workers.saturating_sub(sockets.len()) {
            let one = sockets.get(at).map(Self::share).transpose()?;
            sockets.extend(one);
        }
        Ok(sockets)
    }

    fn tcp(address: SocketAddr, beside: bool) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if beside {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            // `[::]` is IPv6 alone, so that `0.0.0.0` beside it is no surprise.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        keep_alive(&socket)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self {
            address: Bind::Tcp(address),
            socket,
            file: None,
        })
    }

    fn unix(path: &Path) -> io::Result<Self> {
        remove_stale(path);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = Arc::new(File {
            path: path.to_owned(),
            ours: AtomicBool::new(true),
            lent: false,
        });
        // Nobody can connect before it listens, with the mode that it is to have.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            address: Bind::Unix(path.to_owned()),
            socket,
            file: Some(file),
        })
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// The system's.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            address: self.address.clone(),
            socket: self.socket.try_clone()?,
            file: self.file.clone(),
        })
    }

    /// The socket, ready to accept in the runtime that runs here.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(self) -> io::Result<Listener> {
        Ok(Listener(match self.address {
            Bind::Tcp(_) => Accepts::Tcp(TcpListener::from_std(self.socket.into())?),
            Bind::Unix(_) => Accepts::Unix {
                socket: UnixListener::from_std(self.socket.into())?,
                file: self.file,
            },
        }))
    }
}

/// A socket that nobody listens on any more is in the way of a new one.
fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        let _ = std::fs::remove_file(path);
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A listening socket in a runtime.
#[derive(Debug)]
pub struct Listener(Accepts);

#[derive(Debug)]
enum Accepts {
    Tcp(TcpListener),
    Unix {
        socket: UnixListener,
        file: Option<Arc<File>>,
    },
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Accepts::Tcp(socket) => socket.as_fd(),
            Accepts::Unix { socket, .. } => socket.as_fd(),
        }
    }
}

impl Listener {
    /// The next connection, and the address of its other end.
    ///
    /// # Errors
    /// The system's.
    pub async fn accept(&self) -> io::Result<(Plain, SocketAddr)> {
        Ok(match &self.0 {
            Accepts::Tcp(socket) => {
                let (socket, address) = socket.accept().await?;
                // Small replies must not wait for an acknowledgement.
                let _ = socket.set_nodelay(true);
                (socket.into(), address)
            }
            Accepts::Unix { socket, .. } => (socket.accept().await?.0.into(), LOCAL),
        })
    }

    /// The connections that wait to be accepted; the socket is closed after the last one.
    pub fn waiting(self) -> impl Iterator<Item = (Plain, SocketAddr)> {
        let (mut tcp, mut unix) = (None, None);
        match self.0 {
            Accepts::Tcp(socket) => tcp = socket.into_std().ok(),
            Accepts::Unix { socket, file } => unix = socket.into_std().ok().map(|s| (s, file)),
        }
        std::iter::from_fn(move || {
            if let Some(socket) = &tcp {
                let (stream, address) = socket.accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                let _ = stream.set_nodelay(true); // as with any other
                return Some((TcpStream::from_std(stream).ok()?.into(), address));
            }
            let (stream, _) = unix.as_ref()?.0.accept().ok()?;
            stream.set_nonblocking(true).ok()?;
            Some((tokio::net::UnixStream::from_std(stream).ok()?.into(), LOCAL))
        })
    }
}

/// Has the system find out whether clients that say nothing are still there. Connections have it from
/// the socket that accepts them.
fn keep_alive(socket: &Socket) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(ALIVE_AFTER)
        .with_interval(ALIVE_EVERY)
        .with_retries(ALIVE_TRIES);
    socket.set_tcp_keepalive(&probes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_file_is_replaced_only_where_nobody_listens_and_goes_with_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let bind = Bind::Unix(path.clone());
        let first = Bound::open(&bind).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(Bound::open(&bind).is_err());
        let second = first.share().unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Bound::open(&bind).unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(Bound::open(&bind).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
