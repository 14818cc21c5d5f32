//! The PROXY protocol, versions 1 and 2, by which a load balancer tells who the client is
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};
use wiregate_sdk::types::CidrSet;

/// The longest header of version 1, with its line break.
const LONGEST_LINE: usize = 107;
/// What a header of version 2 begins with; its length is in the last two bytes.
const HEAD: usize = 16;
/// The longest header of version 2 that is read. Addresses take 216 bytes at most; what load
/// balancers add fits in many times over.
const LONGEST: usize = 4096;
const LINE_START: &[u8] = b"PROXY ";

/// From whom a header is expected.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    /// The load balancers.
    pub from: CidrSet,
    /// How long the header may take to come.
    pub timeout: Duration,
}

impl ProxyProtocol {
    /// Reads the header at the beginning of a connection. Gives the client's address, or nothing
    /// where the load balancer speaks for itself, and what was read beyond the header. `None`
    /// where there is no good header in time.
    pub async fn read(&self, socket: &mut (impl AsyncRead + Unpin)) -> Option<Header> {
        let header = tokio::time::timeout(self.timeout, read(socket));
        header.await.ok().flatten()
    }
}

/// A header that was read.
#[derive(Debug)]
pub struct Header {
    /// The client, where the header names one.
    pub client: Option<SocketAddr>,
    /// What followed the header.
    pub rest: BytesMut,
}

async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Option<Header> {
    let mut bytes = BytesMut::with_capacity(512);
    loop {
        if let Some(length) = length(&bytes)? {
            let header = bytes.split_to(length);
            return Some(Header {
                client: client(&header)?,
                rest: bytes,
            });
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// How long the header is, as soon as all of it is there.
///
/// `None` where there is none.
fn length(bytes: &[u8]) -> Option<Option<usize>> {
    let starts = |with: &[u8]| {
        let common = bytes.len().min(with.len());
        bytes[..common] == with[..common]
    };
    if starts(v2::PROTOCOL_PREFIX) {
        let Some(head) = bytes.get(..HEAD) else {
            return Some(None);
        };
        let length = HEAD + usize::from(u16::from_be_bytes([head[HEAD - 2], head[HEAD - 1]]));
        return (length <= LONGEST).then(|| (length <= bytes.len()).then_some(length));
    }
    if !starts(LINE_START) {
        return None;
    }
    let line = &bytes[..bytes.len().min(LONGEST_LINE)];
    let end = line.windows(2).position(|two| two == b"\r\n");
    match end {
        Some(end) => Some(Some(end + 2)),
        None => (line.len() < LONGEST_LINE).then_some(None),
    }
}

/// The client that a whole header names.
///
/// `None` where the header is not good.
fn client(header: &[u8]) -> Option<Option<SocketAddr>> {
    let source = |address: IpAddr, port| Some(SocketAddr::new(address, port));
    if header.starts_with(LINE_START) {
        return Some(match v1::Header::try_from(header).ok()?.addresses {
            v1::Addresses::Unknown => None,
            v1::Addresses::Tcp4(ip) => source(ip.source_address.into(), ip.source_port),
            v1::Addresses::Tcp6(ip) => source(ip.source_address.into(), ip.source_port),
        });
    }
    let header = v2::Header::try_from(header).ok()?;
    if header.command == v2::Command::Local {
        return Some(None); // a health check of the load balancer's own
    }
    Some(match header.addresses {
        v2::Addresses::IPv4(ip) => source(ip.source_address.into(), ip.source_port),
        v2::Addresses::IPv6(ip) => source(ip.source_address.into(), ip.source_port),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8], at_once: usize) -> Option<(Option<SocketAddr>, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut mock = Pieces(bytes.chunks(at_once.max(1)).map(<[u8]>::to_vec).collect());
        let header = runtime.block_on(read(&mut mock))?;
        let rest = [header.rest.to_vec(), Vec::from(mock.0).concat()].concat();
        Some((header.client, rest))
    }

    /// Gives one piece with each read.
    struct Pieces(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    fn version2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

    #[test]
    fn tells_the_client_and_leaves_what_follows() {
        let v6 = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[7],
            &[0; 16],
            &[0x30, 0x39, 0, 80],
        ]
        .concat();
        let extra = [&V4[..], &[4, 0, 1, 42]].concat();
        for (header, client) in [
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec(),
                Some("192.0.2.7:12345"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 12345 80\r\n".to_vec(),
                Some("[2001:db8::7]:12345"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN what ever\r\n".to_vec(), None),
            (version2(0x21, 0x11, &V4), Some("192.0.2.7:12345")),
            (version2(0x21, 0x11, &extra), Some("192.0.2.7:12345")),
            (version2(0x21, 0x21, &v6), Some("[2001:db8::7]:12345")),
            (version2(0x21, 0x00, &[]), None),
            (version2(0x20, 0x00, &[]), None),
            (version2(0x20, 0x11, &V4), None),
        ] {
            let client = client.map(|client| client.parse().unwrap());
            for rest in [&b""[..], b"GET / HTTP/1.1\r\n\r\n"] {
                let whole = [&header[..], rest].concat();
                for at_once in [1, 7, 16, 1000] {
                    let read = read_all(&whole, at_once);
                    assert_eq!(read, Some((client, rest.to_vec())), "{header:?}");
                }
            }
        }
    }

    #[test]
    fn refuses_what_is_no_header() {
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat();
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 12345 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\n",
            b"PROXY TCP4 192.0.2.7",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
            b"\x16\x03\x01\x02\x00",
            &long,
            &version2(0x21, 0x11, &V4[..8]),
            &version2(0x31, 0x11, &V4),
            &version2(0x2f, 0x11, &V4),
            &version2(0x21, 0x11, &[0; LONGEST]),
        ] {
            assert_eq!(read_all(bytes, 16), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(kind in 0..3_u8, body: Vec<u8>) {
            let bytes = match kind {
                0 => body,
                1 => [LINE_START, &body, b"\r\n"].concat(),
                _ => [v2::PROTOCOL_PREFIX, &body].concat(),
            };
            read_all(&bytes, 16);
        }
    }
}
