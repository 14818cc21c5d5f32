//! What two processes say to each other while one takes the other's place.
//!
//! A message is a line of JSON and what comes with it: bytes, and open sockets. Both sides may be of
//! other versions: fields that one does not know are skipped, and so are messages. What cannot be
//! understood without is behind [`PROTOCOL`].

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::compile::Wanted;

/// The version of this protocol.
pub const PROTOCOL: u32 = 1;
/// How many sockets go with one message; the system takes 253.
pub const MOST_SOCKETS: usize = 128;
/// The longest line of JSON, and the most bytes with it.
const LONGEST: u32 = 1 << 20;
const MOST_BYTES: u32 = 256 << 20;
/// The lengths of both, in front of a message.
const LENGTHS: usize = 8;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Message {
    /// The old process: who it is.
    Hello {
        /// The protocol that it speaks.
        protocol: u32,
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// The old process: sockets, in the order of the descriptors.
    Sockets {
        /// What they are.
        sockets: Vec<Socket>,
    },
    /// The old process: the bytes are what it has packed under this key.
    Packed {
        /// The key.
        key: String,
    },
    /// The old process, just before the new one is to begin: it and those before it that live, the oldest first. With each comes the end of a pipe that is closed
    /// when that process has ended, and behind that, where there is one, the line on which it tells what it purges.
    Elders {
        /// The processes.
        pids: Vec<u32>,
        /// Which of them have a line.
        lines: Vec<bool>,
    },
    /// The old process: that was all; get ready.
    Prepare,
    /// The new process: it could begin now.
    Ready {
        /// Its version.
        version: String,
        /// The version of the records of what caches hold, as it reads them.
        #[serde(default)]
        records: String,
        /// The caches that take what the old process has in its own.
        #[serde(default)]
        caches: Vec<Wanted>,
    },
    /// The new process: it will not begin.
    Refused {
        /// Why.
        why: String,
    },
    /// The old process: the bytes are records of what it has in a cache, or the rest of one.
    Stored {
        /// The name of the cache.
        cache: String,
        /// Whether they begin with a record.
        anew: bool,
        /// Bytes of memory that all of it may take there.
        #[serde(default)]
        most: Option<u64>,
    },
    /// The old process: begin.
    Begin,
    /// The new process: it accepts connections.
    Begun,
    /// The old process, from when it begins to hand over what caches have until its end: the bytes are what it has purged in one
    /// of them.
    Purged,
    /// The new process, later on: yet another one has taken over, and its own end matters to nobody.
    HandedOver,
    /// Something that only another version understands.
    #[serde(other)]
    Unknown,
}

/// A socket that goes from process to process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The listener that it belongs to; those of the admin API and the metrics belong to none.
    pub listener: Option<String>,
    /// Its address, as it was asked for.
    pub bind: String,
    /// Whether it is a Unix socket whose file belongs to systemd.
    #[serde(default)]
    pub lent: bool,
}

/// A message, with what came with it.
#[derive(Debug)]
pub struct Received {
    /// What was said.
    pub message: Message,
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Sockets.
    pub sockets: Vec<OwnedFd>,
}

/// One end of the line between two processes.
#[derive(Debug)]
pub struct Line(UnixStream);

impl Line {
    /// The line on this socket.
    pub fn new(socket: UnixStream) -> Self {
        Self(socket)
    }

    /// The same end once more, for another process.
    ///
    /// # Errors
    /// The system's.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.try_clone().map(OwnedFd::from)
    }

    /// The same end once more, to cut the line while somebody waits on it.
    ///
    /// # Errors
    /// The system's.
    pub fn share(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Ends the line for both sides.
    pub fn cut(&self) {
        // It may have ended already.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// Says something, in so much time.
    ///
    /// # Errors
    /// The other side has gone, or does not listen.
    pub fn say(&self, message: &Message, until: Instant) -> io::Result<()> {
        self.say_with(message, &[], &[], until)
    }

    /// The same with bytes and sockets.
    ///
    /// # Errors
    /// The same.
    pub fn say_with(
        &self,
        message: &Message,
        bytes: &[u8],
        sockets: &[BorrowedFd<'_>],
        until: Instant,
    ) -> io::Result<()> {
        self.0.set_write_timeout(Some(left(until)?))?;
        let text = serde_json::to_vec(message)?;
        let lengths = [
            length(text.len(), LONGEST)?,
            length(bytes.len(), MOST_BYTES)?,
        ]
        .concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::other("too many sockets for one message"));
        }
        let head = [IoSlice::new(&lengths)];
        // With a time-out, a stop and a debugger end it (`signal(7)`).
        let sent = retry_on_intr(|| sendmsg(&self.0, &head, &mut ancillary, SendFlags::NOSIGNAL))?;
        let mut socket = &self.0;
        socket.write_all(&lengths[sent..])?;
        socket.write_all(&text)?;
        socket.write_all(bytes)
    }

    /// What the other side says next, until then; however long that takes where there is no time.
    ///
    /// # Errors
    /// The other side has gone (`UnexpectedEof`), says nothing (`TimedOut`), or what it says is no
    /// message.
    pub fn hear(&self, until: Option<Instant>) -> io::Result<Received> {
        loop {
            let received = self.hear_any(until).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                io::ErrorKind::ConnectionReset => io::ErrorKind::UnexpectedEof.into(),
                _ => error,
            })?;
            if received.message != Message::Unknown {
                return Ok(received);
            }
        }
    }

    /// Reads what cannot be understood; whether there was anything before the other side had gone. Blocks.
    ///
    /// # Errors
    /// The system's.
    pub fn skip(&self) -> io::Result<bool> {
        self.0.set_read_timeout(None)?;
        let mut nothing = [0; 1 << 14];
        Ok((&self.0).read(&mut nothing)? > 0)
    }

    fn hear_any(&self, until: Option<Instant>) -> io::Result<Received> {
        let limit = || until.map(left).transpose();
        self.0.set_read_timeout(limit()?)?;
        let mut lengths = [0; LENGTHS];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut head = [IoSliceMut::new(&mut lengths)];
        let receive = || recvmsg(&self.0, &mut head, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let read = retry_on_intr(receive)?.bytes;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sockets = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        let sockets = sockets.flatten().collect();
        let mut socket = &self.0;
        socket.read_exact(&mut lengths[read..])?;
        let [text, bytes] = [&lengths[..4], &lengths[4..]]
            .map(|length| u32::from_le_bytes(length.try_into().expect("four bytes")));
        if text > LONGEST || bytes > MOST_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message that is too long",
            ));
        }
        self.0.set_read_timeout(limit()?)?;
        let (mut text, mut bytes) = (vec![0; text as usize], vec![0; bytes as usize]);
        socket.read_exact(&mut text)?;
        socket.read_exact(&mut bytes)?;
        Ok(Received {
            message: serde_json::from_slice(&text)?,
            bytes,
            sockets,
        })
    }
}

/// The time that is left, which is never nothing: that would mean without end.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    let some = (!left.is_zero()).then_some(left.max(Duration::from_millis(1)));
    some.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn length(length: usize, most: u32) -> io::Result<[u8; 4]> {
    let length = u32::try_from(length).ok().filter(|length| *length <= most);
    let length = length.ok_or_else(|| io::Error::other("a message that is too long"))?;
    Ok(length.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn line() -> (Line, Line, Instant) {
        let (one, other) = UnixStream::pair().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        (Line::new(one), Line::new(other), until)
    }

    #[test]
    fn messages_bytes_and_sockets_arrive_in_order() {
        let (one, other, until) = line();
        let listeners: Vec<_> = (0..MOST_SOCKETS)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let borrowed: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        let told = Message::Sockets {
            sockets: Vec::new(),
        };
        let large = vec![7; 3 << 20];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                one.say_with(&told, b"", &borrowed, until).unwrap();
                let packed = Message::Packed { key: "a".into() };
                one.say_with(&packed, &large, &[], until).unwrap();
                one.say(&Message::Prepare, until).unwrap();
            });
            let received = other.hear(Some(until)).unwrap();
            assert_eq!(received.message, told);
            for (listener, socket) in listeners.iter().zip(received.sockets) {
                let socket = std::net::TcpListener::from(socket);
                assert_eq!(socket.local_addr().unwrap(), listener.local_addr().unwrap());
            }
            assert!(other.hear(Some(until)).unwrap().bytes == large);
            assert_eq!(other.hear(None).unwrap().message, Message::Prepare);
        });
        drop(one);
        let gone = other.hear(None).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn silence_ends_and_what_only_others_understand_is_skipped() {
        let (one, other, until) = line();
        let text = br#"{"say":"sing","song":1}"#;
        let mut raw = &one.0;
        raw.write_all(&[text.len() as u8, 0, 0, 0, 0, 0, 0, 0])
            .unwrap();
        raw.write_all(text).unwrap();
        let more = br#"{"say":"ready","version":"9.9.9","mood":"good"}"#;
        raw.write_all(&[more.len() as u8, 0, 0, 0, 0, 0, 0, 0])
            .unwrap();
        raw.write_all(more).unwrap();
        // One that is older says nothing of what it takes.
        let ready = Message::Ready {
            version: "9.9.9".to_owned(),
            records: String::new(),
            caches: Vec::new(),
        };
        assert_eq!(other.hear(Some(until)).unwrap().message, ready);
        let soon = Instant::now() + Duration::from_millis(20);
        let silence = other.hear(Some(soon)).unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
        raw.write_all(&[255; LENGTHS]).unwrap();
        let nonsense = other.hear(Some(until)).unwrap_err();
        assert_eq!(nonsense.kind(), io::ErrorKind::InvalidData);
    }
}
