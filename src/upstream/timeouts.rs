//! How long each step towards an endpoint may take, once all places have been asked.

use std::io;
use std::net;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::ext::{TcpKeepalive, set_tcp_keepalive};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};
use pingora_error::{Error, ErrorType, Result};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::Address;
use crate::config::model::upstream as model;
use crate::descriptors::Purpose;

/// How long each step towards an endpoint may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Duration,
    /// For the TLS handshake.
    pub tls: Duration,
    /// From the end of the request to the head of its response.
    pub first_byte: Duration,
    /// The longest silence while a body is sent or received; at least `first_byte`.
    pub idle: Duration,
    /// From the request head to the end of the response.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// These, where they are written, and the defaults elsewhere.
    pub fn new(written: model::Timeouts) -> Self {
        Self::default()
            .with(&model::Timeouts::BUILT_IN)
            .with(&written)
    }

    /// These, except for what a more special place says.
    #[must_use]
    pub fn with(self, special: &model::Timeouts) -> Self {
        let or = |period: Option<wiregate_sdk::types::Period>, other: Duration| {
            period.map_or(other, Into::into)
        };
        let first_byte = or(special.first_byte, self.first_byte);
        Self {
            connect: or(special.connect, self.connect),
            tls: or(special.tls, self.tls),
            first_byte,
            // While nothing is awaited but the head, it would be over first.
            idle: or(special.idle, self.idle).max(first_byte),
            total: special.total.map(Into::into).or(self.total),
        }
    }

    /// Bounds an attempt by these, and by the time that is left for the whole exchange.
    pub fn bound(&self, peer: &mut HttpPeer, left: Option<Duration>) {
        let within = |time: Duration| Some(left.map_or(time, |left| left.min(time)));
        let tls = peer.is_tls();
        let options = &mut peer.options;
        options.connection_timeout = within(self.connect);
        options.total_connection_timeout = within(self.connect);
        options.read_timeout = within(self.idle);
        options.write_timeout = within(self.idle);
        if tls {
            options.total_connection_timeout = within(self.connect + self.tls);
            if self.tls != self.connect {
                // Pingora bounds the handshake by the time-out for the connection.
                options.connection_timeout = within(self.tls);
                let connect = left.map_or(self.connect, |left| left.min(self.connect));
                options.custom_l4 = Some(Arc::new(Within(connect)));
            }
        }
    }
}

/// Opens connections within this time.
#[derive(Debug)]
struct Within(Duration);

#[async_trait]
impl L4Connect for Within {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        match tokio::time::timeout(self.0, open(address, Purpose::Request)).await {
            Ok(opened) => opened,
            Err(_) => Error::e_explain(
                ErrorType::ConnectTimedout,
                format!("no connection within {:?}", self.0),
            ),
        }
    }
}

/// Sees to it that connections to this address have no descriptors but those that there are for this.
pub(super) fn open_for(purpose: Purpose, address: &Address, options: &mut PeerOptions) {
    match address {
        // Pingora asks before it connects.
        Address::Inet(_) => {
            let may_have = move |socket: &TcpSocket| purpose.may_have(socket).map_err(refused);
            options.upstream_tcp_sock_tweak_hook = Some(Arc::new(may_have));
        }
        Address::Unix(_) => options.custom_l4 = Some(Arc::new(Plain(purpose))),
    }
}

/// Opens connections over Unix sockets, which Pingora gives no hook for.
#[derive(Debug)]
struct Plain(Purpose);

#[async_trait]
impl L4Connect for Plain {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        open(address, self.0).await
    }
}

async fn open(address: &SocketAddr, purpose: Purpose) -> Result<Stream> {
    match address {
        SocketAddr::Inet(address) => match open_tcp(*address, purpose).await {
            Ok(stream) => {
                set_tcp_keepalive(&stream, &keep_alive())?;
                Ok(stream.into())
            }
            Err(error) => Err(refused(error)),
        },
        SocketAddr::Unix(address) => {
            let path = address.as_pathname().expect("our sockets have paths");
            let stream = UnixStream::connect(path).await.and_then(|stream| {
                purpose.may_have(&stream)?;
                Ok(stream)
            });
            stream.map(Stream::from).map_err(refused)
        }
    }
}

async fn open_tcp(address: net::SocketAddr, purpose: Purpose) -> io::Result<TcpStream> {
    let socket = match address {
        net::SocketAddr::V4(_) => TcpSocket::new_v4(),
        net::SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    purpose.may_have(&socket)?;
    socket.connect(address).await
}

/// A connection that was silent for this long is asked whether its endpoint is still there: so often,
/// this many times.
const ALIVE_AFTER: Duration = Duration::from_secs(60);
const ALIVE_EVERY: Duration = Duration::from_secs(10);
const ALIVE_TRIES: u32 = 3;

/// How the system finds out that an endpoint has vanished without a word: it asks after a silence. One
/// that is there and takes nothing for a while is not given up: how long that may last is configured.
pub fn keep_alive() -> TcpKeepalive {
    TcpKeepalive {
        idle: ALIVE_AFTER,
        interval: ALIVE_EVERY,
        count: ALIVE_TRIES as usize,
        user_timeout: Duration::ZERO, // the system's own
    }
}

fn refused(error: io::Error) -> Box<Error> {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            ErrorType::ConnectNoRoute
        }
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, "while connecting", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiregate_sdk::types::Period;

    #[test]
    fn the_more_special_place_wins() {
        let written = model::Timeouts {
            first_byte: Some(Period::seconds(5)),
            total: Some(Period::seconds(30)),
            ..model::Timeouts::default()
        };
        let upstream = Timeouts::new(written);
        assert_eq!(upstream.first_byte, Duration::from_secs(5));
        assert_eq!(upstream.idle, Duration::from_secs(60));
        let route = upstream.with(&model::Timeouts {
            first_byte: Some(Period::seconds(90)),
            ..model::Timeouts::default()
        });
        assert_eq!(route.first_byte, Duration::from_secs(90));
        assert_eq!(route.idle, Duration::from_secs(90));
        assert_eq!(route.total, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_handshake_has_a_time_of_its_own_and_no_step_takes_longer_than_is_left() {
        let times = Timeouts::new(model::Timeouts {
            connect: Some(Period::seconds(1)),
            tls: Some(Period::seconds(2)),
            ..model::Timeouts::default()
        });
        let mut peer = HttpPeer::new(("127.0.0.1", 1), true, "a".to_owned());
        times.bound(&mut peer, None);
        let options = &peer.options;
        assert_eq!(options.connection_timeout, Some(Duration::from_secs(2)));
        assert_eq!(
            options.total_connection_timeout,
            Some(Duration::from_secs(3))
        );
        assert!(options.custom_l4.is_some());
        let mut peer = HttpPeer::new(("127.0.0.1", 1), false, String::new());
        times.bound(&mut peer, Some(Duration::from_millis(10)));
        let options = &peer.options;
        assert_eq!(options.connection_timeout, Some(Duration::from_millis(10)));
        assert_eq!(options.read_timeout, Some(Duration::from_millis(10)));
        assert!(options.custom_l4.is_none());
    }
}
