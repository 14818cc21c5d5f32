//! The socket on which systemd is told things (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long systemd may have no room for what must not be lost: it reads nothing while it reloads its
/// units.
const PATIENCE: Duration = Duration::from_secs(10);

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

    /// Tells this: one or more assignments, each on a line. It never waits: what systemd has no room
    /// for is lost, and only a later word makes up for it.
    pub fn tell(&self, state: &str) {
        if let Err(error) = self.say(state, Duration::ZERO) {
            lost(state, &error);
        }
    }

    /// The same for what must not be lost: waits until there is room for it, but not longer than ten
    /// seconds. Blocks.
    pub fn insist(&self, state: &str) {
        if let Err(error) = self.say(state, PATIENCE) {
            lost(state, &error);
        }
    }

    /// The same, but only where there is room at once; whether there was.
    pub fn tell_at_once(&self, state: &str) -> bool {
        self.say(state, Duration::ZERO).is_ok()
    }

    /// The same as [`insist`](Self::insist), but whoever says it does not wait: where there is no room at once, a thread of its own does.
    pub fn insist_aside(self: &Arc<Self>, state: &str) {
        match self.say(state, Duration::ZERO) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let (this, later) = (self.clone(), state.to_owned());
                let thread = thread::Builder::new().name("notify".to_owned());
                if let Err(error) = thread.spawn(move || this.insist(&later)) {
                    lost(state, &error);
                }
            }
            Err(error) => lost(state, &error),
        }
    }

    fn say(&self, state: &str, patience: Duration) -> io::Result<()> {
        let Some(socket) = &self.0 else {
            return Ok(());
        };
        let until = Instant::now() + patience;
        loop {
            match socket.send(state.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                told => return told.map(drop),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !has_room(socket, left) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

fn lost(state: &str, error: &io::Error) {
    tracing::warn!(%error, state, "systemd cannot be told");
}

/// Waits until the other side has room, but not longer than this.
fn has_room(socket: &UnixDatagram, patience: Duration) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    let patience = Timespec {
        tv_sec: patience.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    match poll(&mut asked, Some(&patience)) {
        Ok(ready) => ready > 0,
        Err(error) => error == Errno::INTR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_lost_waits_for_room_and_the_rest_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(Some(path.as_os_str())).unwrap();
        // Nobody reads: more than the queue of any system holds.
        let most: usize = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(1024);
        for _ in 0..most + 64 {
            notify.tell("STATUS=fine");
        }
        std::thread::scope(|scope| {
            let insists = scope.spawn(|| notify.insist("MAINPID=7"));
            let mut heard = [0; 64];
            let mut all = Vec::new();
            while !all.contains(&b"MAINPID=7".to_vec()) {
                let length = socket.recv(&mut heard).unwrap();
                all.push(heard[..length].to_vec());
            }
            insists.join().unwrap();
            // What did not wait was lost, and nothing held it up.
            assert!(all.len() < most + 64, "{}", all.len());
        });
    }

    #[test]
    fn whoever_insists_aside_does_not_wait_and_it_is_told_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let notify = Arc::new(Notify::new(Some(path.as_os_str())).unwrap());
        let mut heard = [0; 64];
        assert!(notify.tell_at_once("READY=1"));
        assert_eq!(socket.recv(&mut heard).unwrap(), 7);
        notify.insist_aside("READY=1");
        assert_eq!(
            socket.recv(&mut heard).unwrap(),
            7,
            "at once where there is room"
        );
        while notify.tell_at_once("STATUS=fine") {}
        // Were it waited for, it would be lost: nobody reads before this returns.
        notify.insist_aside("STOPPING=1");
        loop {
            let length = socket.recv(&mut heard).unwrap();
            if &heard[..length] == b"STOPPING=1" {
                break;
            }
        }
    }

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
