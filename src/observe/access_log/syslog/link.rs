//! The way to a syslog receiver, opened anew when it breaks.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

use super::super::sink::{Batch, Failed, Passed};
use super::super::{Entry, IN_MEMORY, Plan, format};
use super::{Address, Heads, Receiver};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a receiver may take nothing before it counts as gone.
const STALLED: Duration = Duration::from_secs(5);
/// The pause before a second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The way to a receiver.
pub(in super::super) struct Link {
    address: Address,
    heads: Heads,
    socket: Option<Socket>,
    /// When the next attempt is due, and the pause after that.
    next: Instant,
    pause: Duration,
    message: Vec<u8>,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Link {
    pub(in super::super) fn new(receiver: &Receiver) -> Self {
        Self {
            address: receiver.address.clone(),
            heads: Heads::new(receiver),
            socket: None,
            next: Instant::now(),
            pause: FIRST_PAUSE,
            message: Vec::new(),
        }
    }

    /// Adds the message of an entry.
    pub(in super::super) fn add(&mut self, plan: &Plan, entry: &Entry, out: &mut Vec<u8>) {
        self.message.clear();
        self.heads.write(&mut self.message, entry.time);
        format::line(plan, entry, &mut self.message);
        if let Address::Tcp(_) = self.address {
            write!(out, "{} ", self.message.len()).expect(IN_MEMORY);
        }
        out.extend_from_slice(&self.message);
    }

    /// Sends what it can; the rest of the batch stays for the next time. A log that is being closed has
    /// one attempt.
    pub(in super::super) fn pass(&mut self, batch: &mut Batch, closing: bool) -> Passed {
        let mut passed = Passed {
            written: 0,
            dropped: 0,
            result: Ok(()),
        };
        if let Err(failed) = self.open(closing) {
            passed.result = Err(failed);
            return passed;
        }
        if batch.is_empty() {
            return passed;
        }
        let socket = self.socket.as_mut().expect("opened above");
        let (gone, dropped, result) = socket.send(batch);
        batch.forget(gone);
        (passed.written, passed.dropped) = ((gone - dropped) as u64, dropped as u64);
        match result {
            Ok(()) => self.pause = FIRST_PAUSE,
            Err(error) => passed.result = Err(self.broken(error)),
        }
        passed
    }

    fn open(&mut self, closing: bool) -> Result<(), Failed> {
        if let Some(Socket::Tcp(stream)) = &self.socket
            && let Err(error) = is_open(stream)
        {
            return Err(self.broken(error));
        }
        if self.socket.is_some() {
            return Ok(());
        }
        let wait = self.next.saturating_duration_since(Instant::now());
        if !wait.is_zero() && !closing {
            return Err(Failed {
                error: None,
                wait: Some(wait),
            });
        }
        match Socket::open(&self.address) {
            Ok(socket) => {
                self.socket = Some(socket);
                Ok(())
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Goes on after a pause.
    fn broken(&mut self, error: io::Error) -> Failed {
        self.socket = None;
        // Many gateways may have lost the same receiver.
        let wait = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = Instant::now() + wait;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let message = format!("{}: {error}", self.address);
        Failed {
            error: Some(io::Error::new(error.kind(), message)),
            wait: Some(wait),
        }
    }
}

/// Whether the receiver is still there. It has nothing to say, and what it says all the same is
/// forgotten; but what is written after it has closed the connection would be lost without a word.
fn is_open(stream: &TcpStream) -> io::Result<()> {
    let mut said = [0; 256];
    for _ in 0..16 {
        match recv(stream, &mut said, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                let why = "the receiver has closed the connection";
                return Err(io::Error::new(ErrorKind::ConnectionAborted, why));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Socket {
    fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(STALLED))?;
                Ok(Self::Unix(socket))
            }
            Address::Udp(place) => each(place, |address| {
                let any = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_write_timeout(Some(STALLED))?;
                Ok(Self::Udp(socket))
            }),
            Address::Tcp(place) => each(place, |address| {
                let stream = TcpStream::connect_timeout(&address, CONNECT)?;
                if stream.local_addr()? == stream.peer_addr()? {
                    // Nobody listens there, and the system has chosen the same port for this end.
                    return Err(ErrorKind::ConnectionRefused.into());
                }
                stream.set_write_timeout(Some(STALLED))?;
                Ok(Self::Tcp(stream))
            }),
        }
    }

    /// Sends messages: how many of a batch are done with, how many of those will never get through, and
    /// what stopped the rest.
    fn send(&mut self, batch: &Batch) -> (usize, usize, io::Result<()>) {
        match self {
            Self::Tcp(stream) => {
                let (sent, result) = send_all(stream, &batch.bytes);
                let whole = batch.ends.partition_point(|end| *end <= sent);
                (whole, 0, result)
            }
            Self::Unix(socket) => each_of(batch, |message| socket.send(message)),
            Self::Udp(socket) => each_of(batch, |message| socket.send(message)),
        }
    }
}

/// The first address of a host that can be had.
fn each<T>(place: &str, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in place.to_socket_addrs()? {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn send_all(stream: &mut TcpStream, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return (sent, Err(ErrorKind::WriteZero.into())),
            Ok(some) => sent += some,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (sent, Err(told(error))),
        }
    }
    (sent, Ok(()))
}

fn each_of(
    batch: &Batch,
    send: impl Fn(&[u8]) -> io::Result<usize>,
) -> (usize, usize, io::Result<()>) {
    let (mut start, mut dropped) = (0, 0);
    for (position, end) in batch.ends.iter().enumerate() {
        loop {
            match send(&batch.bytes[start..*end]) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // No way takes it, now or later.
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    dropped += 1;
                    break;
                }
                Err(error) => return (position, dropped, Err(told(error))),
            }
        }
        start = *end;
    }
    (batch.ends.len(), dropped, Ok(()))
}

fn told(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "the receiver takes nothing"),
        _ => error,
    }
}
