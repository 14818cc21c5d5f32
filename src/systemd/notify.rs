//! The socket on which systemd is told things (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// How systemd is told things, where it wants to know any.
#[derive(Debug, Default)]
pub struct Notify(Option<UnixDatagram>);

impl Notify {
    /// Tells whoever listens at this address: an absolute path, or an abstract name after `@`.
    ///
    /// # Errors
    /// An address of another kind, or one at which nobody listens.
    pub fn new(address: Option<&OsStr>) -> io::Result<Self> {
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(Self::default());
        };
        let explain = |error: io::Error| {
            let message = format!("NOTIFY_SOCKET={}: {error}", address.display());
            io::Error::new(error.kind(), message)
        };
        let connect = || {
            let place = match address.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                [b'/', ..] => SocketAddr::from_pathname(address)?,
                _ => return Err(io::Error::other("expected an absolute path or `@NAME`")),
            };
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&place)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        connect().map(|socket| Self(Some(socket))).map_err(explain)
    }

    /// Whether there is anybody to tell.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Tells this: one or more assignments, each on a line. It never waits.
    pub fn tell(&self, state: &str) {
        let Some(socket) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, state, "systemd cannot be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_at_paths_and_abstract_names_and_nobody_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("wiregate-notify-{}", std::process::id());
        let place = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        for (socket, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&place).unwrap(),
                format!("@{name}").into(),
            ),
        ] {
            let notify = Notify::new(Some(&address)).unwrap();
            notify.tell("READY=1\nSTATUS=fine");
            let mut heard = [0; 64];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\nSTATUS=fine");
        }
        Notify::new(None).unwrap().tell("READY=1");
        for wrong in ["relative", "/nowhere/at/all"] {
            let error = Notify::new(Some(OsStr::new(wrong)))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("NOTIFY_SOCKET={wrong}: ")),
                "{error}"
            );
        }
    }
}
