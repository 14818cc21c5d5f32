//! The frames in a stream of HTTP/2 bytes, seen as they pass (RFC 9113, 4.1).

/// The kinds of frames (RFC 9113, 6; RFC 9218, 7.1).
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
    /// The last kind that RFC 9113 knows.
    pub const LAST: u8 = CONTINUATION;
}

/// The flags that are looked at.
pub(super) mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

const HEAD: usize = 9;

/// What a frame's head says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The bytes that follow.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A part of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Head(Head),
    /// Some bytes of what follows the last head; `true` with the last of them.
    Payload(&'a [u8], bool),
}

/// Takes bytes apart, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes before the first frame.
    preface: usize,
    head: [u8; HEAD],
    have: usize,
    left: usize,
}

impl Frames {
    /// Frames after so many bytes that are none.
    pub fn after(preface: usize) -> Self {
        Self {
            preface,
            ..Self::default()
        }
    }

    /// Calls `see` with each part of these bytes.
    pub fn read(&mut self, mut bytes: &[u8], mut see: impl FnMut(Part<'_>)) {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.left > 0 {
                let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= payload.len();
                see(Part::Payload(payload, self.left == 0));
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at((HEAD - self.have).min(bytes.len()));
            self.head[self.have..self.have + part.len()].copy_from_slice(part);
            self.have += part.len();
            bytes = rest;
            if self.have == HEAD {
                let head = self.parse();
                (self.have, self.left) = (0, head.length);
                see(Part::Head(head));
            }
        }
    }

    fn parse(&self) -> Head {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        Head {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_same_frames_however_they_are_cut() {
        let bytes = b"PRI\0\0\x03\x09\x04\0\0\0\x05abc\0\0\0\x06\x01\xff\0\0\x00";
        for size in 1..=bytes.len() {
            let mut frames = Frames::after(3);
            let (mut heads, mut payload) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.read(piece, |part| match part {
                    Part::Head(head) => heads.push(head),
                    Part::Payload(bytes, last) => {
                        payload.extend_from_slice(bytes);
                        assert_eq!(last, payload.len() == 3);
                    }
                });
            }
            let expected = [(3, 9, 4, 5), (0, 6, 1, 0x7f00_0000)];
            let heads: Vec<_> = (heads.iter())
                .map(|head| (head.length, head.kind, head.flags, head.stream))
                .collect();
            assert_eq!(heads, expected, "in pieces of {size}");
            assert_eq!(payload, b"abc");
        }
    }
}
