//! An HTTP/2 client that writes its frames by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Codes of errors (RFC 9113, 7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that has come.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number at this place of the payload.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection.
pub struct Client(TcpStream);

impl Client {
    /// Opens one, with its preface and an empty SETTINGS frame.
    pub fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).unwrap())
    }

    /// One whose system holds no more than this many bytes that were not read, or twice that.
    pub fn with_room(address: SocketAddr, bytes: usize) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        );
        let socket = socket.unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::on(socket.into())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut this = Self(stream);
        this.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        this.write(&frame(SETTINGS, 0, 0, b""));
        this
    }

    /// Writes; that the other end has had enough is no failure.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// How many bytes have come and were not read.
    pub fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.0).unwrap()
    }

    /// The next frame; nothing where the connection has ended.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
            payload,
        })
    }

    /// The next frame of this kind; nothing where the connection ends before.
    pub fn next_of(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.kind == kind)
    }

    /// The code of the GOAWAY that the connection ends with.
    pub fn goaway(&mut self) -> Option<u32> {
        self.next_of(GOAWAY).map(|frame| frame.number(4))
    }

    /// Asks for a path on a stream, and waits for the end of the answer; returns its first byte:
    /// the status, where it is one that HPACK has a number for (200 is `0x88`).
    pub fn ask(&mut self, stream: u32, path: &str) -> u8 {
        self.write(&headers(stream, END_HEADERS | END_STREAM, &get(path)));
        let mut status = 0;
        loop {
            let frame = self.next().expect("an answer");
            if frame.stream != stream {
                continue;
            }
            assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
            if frame.kind == HEADERS && status == 0 {
                status = frame.payload[0];
            }
            if frame.flags & END_STREAM != 0 && frame.kind != WINDOW_UPDATE {
                return status;
            }
        }
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A HEADERS frame.
pub fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

/// The fields of a GET.
pub fn get(path: &str) -> Vec<u8> {
    request(0x82, path)
}

/// The fields of a POST.
pub fn post(path: &str) -> Vec<u8> {
    request(0x83, path)
}

/// The fields of a HEAD.
pub fn head(path: &str) -> Vec<u8> {
    let mut block = literal(0x02, "HEAD"); // `:method`, not indexed
    block.extend(&request(0x82, path)[1..]);
    block
}

fn request(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86];
    block.extend(literal(0x04, path)); // `:path`, not indexed
    block.extend(literal(0x01, "localhost")); // `:authority`
    block
}

fn literal(name: u8, value: &str) -> Vec<u8> {
    let mut field = vec![name, u8::try_from(value.len()).unwrap()];
    assert!(value.len() < 127, "a longer length has another form");
    field.extend(value.as_bytes());
    field
}

/// A field with a new name, not indexed.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = literal(0x00, name);
    field.extend(&literal(0x00, value)[1..]);
    field
}
