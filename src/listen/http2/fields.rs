//! Whether trailers hold pseudo-header fields (RFC 9113, 8.1), which `h2` drops without a word, and
//! whether a path has a fragment, which it cuts off.
//!
//! Of HPACK (RFC 7541) this follows what that depends on: the dynamic table, of which it keeps the
//! lengths, and for each entry whether it is a pseudo-header, and a path with a fragment.

use std::collections::VecDeque;

use super::frames::{Head, flag, kind};

/// The names of the static table (RFC 7541, appendix A), from index 1 on.
#[rustfmt::skip]
const STATIC: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status",
    ":status", ":status", ":status", ":status", ":status", ":status", "accept-charset",
    "accept-encoding", "accept-language", "accept-ranges", "accept", "access-control-allow-origin",
    "age", "allow", "authorization", "cache-control", "content-disposition", "content-encoding",
    "content-language", "content-length", "content-location", "content-range", "content-type",
    "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "last-modified", "link", "location",
    "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh",
    "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding",
    "user-agent", "vary", "via", "www-authenticate",
];
/// How many symbols have codes of which length, shortest first (RFC 7541, appendix B). The code
/// is canonical: codes of one length follow each other.
#[rustfmt::skip]
const CODES: [(u32, u32); 21] = [
    (5, 10), (6, 26), (7, 32), (8, 6), (10, 5), (11, 3), (12, 2), (13, 6), (14, 2), (15, 3),
    (19, 3), (20, 8), (21, 13), (22, 26), (23, 29), (24, 12), (25, 4), (26, 15), (27, 19), (28, 29),
    (30, 4),
];
/// The code of `:`, of seven bits.
const COLON: u8 = 0x5c;
/// `:path` in that code, with the ones that pad it.
const PATH: [u8; 4] = [0xb9, 0x58, 0xd3, 0x3f];
/// The code of `#`, of twelve bits.
const HASH: u32 = 0xffa;
/// What an entry takes beside its name and value (RFC 7541, 4.1).
const OVERHEAD: usize = 32;
/// The size of the dynamic table (RFC 9113, 6.5.2): the gateway asks for no other.
const TABLE: usize = 4096;
/// The largest payload of a frame; `h2` refuses what is larger.
const LARGEST: usize = 16_384;
/// A buffer that has grown beyond this is let go of.
const KEPT: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Name {
    pseudo: bool,
    path: bool,
    length: usize,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    fragment: bool,
    size: usize,
}

/// What there is in a list of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct List {
    pseudo: bool,
    fragment: bool,
}

/// What is wrong with a list of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Trailers have pseudo-header fields.
    PseudoTrailers,
    /// The path of the request that opens this stream has a fragment.
    Fragment(u32),
}

/// Follows the lists of fields of a connection.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The frame that is being read, where it is part of a list of fields.
    frame: Option<Head>,
    /// The list so far; its frame begins at `start`.
    block: Vec<u8>,
    start: usize,
    trailers: bool,
    table: Table,
}

#[derive(Debug)]
struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    used: usize,
    most: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            used: 0,
            most: TABLE,
        }
    }
}

impl Fields {
    /// A frame begins; `known` where its stream does already. Returns what is wrong.
    pub fn begin(&mut self, head: Head, known: bool) -> Option<Wrong> {
        let part = matches!(head.kind, kind::HEADERS | kind::CONTINUATION);
        self.frame = Some(head).filter(|head| part && head.length <= LARGEST);
        if head.kind == kind::HEADERS {
            self.trailers = known;
            self.block.clear();
        }
        self.start = self.block.len();
        match head.length {
            0 => self.end(),
            _ => None,
        }
    }

    /// Some bytes of the frame; `last` with the last of them. Returns what is wrong.
    pub fn more(&mut self, bytes: &[u8], last: bool) -> Option<Wrong> {
        self.frame?;
        self.block.extend_from_slice(bytes);
        if last { self.end() } else { None }
    }

    fn end(&mut self) -> Option<Wrong> {
        let head = self.frame.take()?;
        if head.kind == kind::HEADERS {
            self.strip(head);
        }
        if !head.has(flag::END_HEADERS) {
            return None;
        }
        // What is no HPACK ends the connection in `h2`.
        let list = self.table.read(&self.block).unwrap_or_default();
        self.block.clear();
        if self.block.capacity() > KEPT {
            self.block = Vec::new();
        }
        match (self.trailers, list) {
            (true, List { pseudo: true, .. }) => Some(Wrong::PseudoTrailers),
            (false, List { fragment: true, .. }) => Some(Wrong::Fragment(head.stream)),
            _ => None,
        }
    }

    /// Takes away what a HEADERS frame has around its fields (RFC 9113, 6.2).
    fn strip(&mut self, head: Head) {
        let padded = head.has(flag::PADDED);
        let padding = match self.block.first() {
            Some(length) if padded => usize::from(*length),
            _ => 0,
        };
        let before = usize::from(padded) + if head.has(flag::PRIORITY) { 5 } else { 0 };
        let end = self.block.len().saturating_sub(padding);
        self.block.truncate(end);
        self.block.drain(..before.min(end));
    }
}

impl Table {
    /// Reads a list of fields.
    fn read(&mut self, mut bytes: &[u8]) -> Option<List> {
        let mut list = List::default();
        while let Some(first) = bytes.first() {
            let (name, fragment) = match first {
                0x80.. => self.indexed(number(&mut bytes, 7)?)?,
                0x40..0x80 => {
                    let (name, value) = self.literal(&mut bytes, 6)?;
                    self.insert(name, &value);
                    (name, value.hash)
                }
                0x20..0x40 => {
                    self.most = number(&mut bytes, 5)?.min(TABLE);
                    self.evict(0);
                    continue;
                }
                _ => {
                    let (name, value) = self.literal(&mut bytes, 4)?;
                    (name, value.hash)
                }
            };
            list.pseudo |= name.pseudo;
            list.fragment |= name.path && fragment;
        }
        Some(list)
    }

    /// The name of a field, and its value (RFC 7541, 6.2).
    fn literal(&self, bytes: &mut &[u8], bits: u32) -> Option<(Name, Text)> {
        let name = match number(bytes, bits)? {
            0 => {
                let (huffman, text) = string(bytes)?;
                let first = text.first().copied().unwrap_or_default();
                let (pseudo, path) = match huffman {
                    true => (first >> 1 == COLON, text == PATH),
                    false => (first == b':', text == b":path"),
                };
                Name {
                    pseudo,
                    path,
                    length: Text::of(huffman, text).length,
                }
            }
            index => self.indexed(index)?.0,
        };
        let (huffman, value) = string(bytes)?;
        Some((name, Text::of(huffman, value)))
    }

    /// The name that an index stands for, and whether a fragment is in its value.
    fn indexed(&self, index: usize) -> Option<(Name, bool)> {
        match STATIC.get(index.checked_sub(1)?) {
            Some(name) => {
                let name = Name {
                    pseudo: name.starts_with(':'),
                    path: *name == ":path",
                    length: name.len(),
                };
                Some((name, false))
            }
            None => {
                let entry = self.entries.get(index - 1 - STATIC.len())?;
                Some((entry.name, entry.fragment))
            }
        }
    }

    fn insert(&mut self, name: Name, value: &Text) {
        let size = name.length + value.length + OVERHEAD;
        self.evict(size);
        if size <= self.most {
            self.used += size;
            let fragment = name.path && value.hash;
            self.entries.push_front(Entry {
                name,
                fragment,
                size,
            });
        }
    }

    /// Makes room (RFC 7541, 4.3 and 4.4).
    fn evict(&mut self, room: usize) {
        while self.used + room > self.most {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.used -= oldest.size;
        }
    }
}

/// An integer with a prefix of so many bits (RFC 7541, 5.1).
fn number(bytes: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1_usize << bits) - 1;
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    let mut number = usize::from(*first) & most;
    if number < most {
        return Some(number);
    }
    for shift in [0, 7, 14, 21] {
        let (next, rest) = bytes.split_first()?;
        *bytes = rest;
        number += usize::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A string as it is written, and whether by Huffman's code (RFC 7541, 5.2).
fn string<'a>(bytes: &mut &'a [u8]) -> Option<(bool, &'a [u8])> {
    let huffman = bytes.first()? & 0x80 != 0;
    let length = number(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((huffman, text))
}

/// What matters of a string.
struct Text {
    length: usize,
    /// Whether a `#` is in it.
    hash: bool,
}

impl Text {
    fn of(huffman: bool, text: &[u8]) -> Self {
        if !huffman {
            return Self {
                length: text.len(),
                hash: text.contains(&b'#'),
            };
        }
        let (mut length, mut hash, mut at) = (0, false, 0);
        let bits = text.len() * 8;
        loop {
            // The next bits, and ones after the last: no code is shorter than what pads.
            let mut window = u64::MAX;
            for n in 0..5 {
                let byte = text.get(at / 8 + n).copied().unwrap_or(0xff);
                window = (window << 8) | u64::from(byte);
            }
            let next = (window << (24 + at % 8) >> 32) as u32;
            let Some(code) = code_length(next).filter(|code| at + code <= bits) else {
                return Self { length, hash };
            };
            hash |= code == 12 && next >> 20 == HASH;
            (length, at) = (length + 1, at + code);
        }
    }
}

/// How many bits the code takes that these begin with.
fn code_length(bits: u32) -> Option<usize> {
    let (mut code, mut before) = (0_u64, 0);
    for (length, count) in CODES {
        code = (code << (length - before)) + u64::from(count);
        if u64::from(bits) < code << (32 - length) {
            return Some(length as usize);
        }
        before = length;
    }
    None
}

#[cfg(test)]
mod tests;
