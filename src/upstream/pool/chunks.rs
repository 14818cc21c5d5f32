//! Whether what is said to be chunks is chunks (RFC 9112, 7.1).
//!
//! Pingora's parser takes a line without a digit for a size of 0, which is that of the last chunk: a response
//! that is broken would end as if it were whole. This follows a response far enough to see such a line, and leaves
//! whatever else may be wrong with it to Pingora.

use memchr::memchr;

/// So much of a line is looked at: what is told by more is none of what is looked for.
const LOOKED_AT: usize = 64;

/// Follows the responses to one request: interim ones, and the final one.
pub(super) struct Chunks {
    place: Place,
    /// The beginning of the present line of a head.
    line: [u8; LOOKED_AT],
    length: usize,
    /// Whether the response is an interim one, and whether it comes in chunks; `None` before its first line.
    head: Option<(bool, bool)>,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A head.
    Head,
    /// A chunk's size, which is this so far; `None` before its first digit.
    Size(Option<u64>),
    /// What comes on the same line, after this size.
    Extension(u64),
    /// So many bytes: a chunk, and the end of its line.
    Data(u64),
    /// What is followed no further.
    Rest,
    Wrong,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            place: Place::Head,
            line: [0; LOOKED_AT],
            length: 0,
            head: None,
        }
    }
}

impl Chunks {
    /// Some bytes have come. Returns how many of them may be passed on; once these are not all, no more may be.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(left) = bytes.get(at..).filter(|left| !left.is_empty()) {
            at += match self.place {
                Place::Rest => return bytes.len(),
                Place::Wrong => return at,
                Place::Head => self.head(left),
                Place::Size(size) => self.size(size, left[0]),
                Place::Extension(size) => self.extension(size, left),
                Place::Data(count) => {
                    let most =
                        usize::try_from(count).map_or(left.len(), |count| count.min(left.len()));
                    self.place = match count - most as u64 {
                        0 => Place::Size(None),
                        count => Place::Data(count),
                    };
                    most
                }
            };
        }
        at
    }

    /// Whether nothing more may be passed on.
    pub(super) fn is_wrong(&self) -> bool {
        self.place == Place::Wrong
    }

    /// Reads a part of a line of a head; how many bytes that were.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if end.is_some() && self.length == 0 {
            self.line_of_head(&part[..part.len().min(LOOKED_AT)]);
            return part.len() + 1;
        }
        let kept = part.len().min(LOOKED_AT - self.length);
        self.line[self.length..][..kept].copy_from_slice(&part[..kept]);
        self.length += kept;
        if end.is_some() {
            let line = self.line;
            self.line_of_head(&line[..self.length]);
            self.length = 0;
        }
        part.len() + usize::from(end.is_some())
    }

    /// Reads a line of a head, or as much of it as is looked at.
    fn line_of_head(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        match &mut self.head {
            None if line.is_empty() => {} // may stand before a response
            None => {
                let status = line.get(b"HTTP/1.1 ".len()..).unwrap_or_default();
                self.head = Some((status.starts_with(b"1"), false));
                if status.starts_with(b"101") {
                    self.place = Place::Rest; // another protocol follows
                }
            }
            Some((interim, chunks)) if line.is_empty() => {
                self.place = match (*interim, *chunks) {
                    (true, _) => Place::Head,
                    (false, true) => Place::Size(None),
                    (false, false) => Place::Rest,
                };
                self.head = None;
            }
            Some((_, chunks)) => *chunks |= says_chunks(line),
        }
    }

    fn size(&mut self, size: Option<u64>, byte: u8) -> usize {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        self.place = match (size, digit) {
            (_, Some(digit)) => Place::Size(Some((size.unwrap_or(0) << 4) | digit)),
            (Some(size), None) => Place::Extension(size),
            (None, None) => Place::Wrong,
        };
        usize::from(digit.is_some())
    }

    fn extension(&mut self, size: u64, bytes: &[u8]) -> usize {
        let Some(end) = memchr(b'\n', bytes) else {
            return bytes.len();
        };
        self.place = match size {
            0 => Place::Rest,
            size => Place::Data(size.saturating_add(2)),
        };
        end + 1
    }
}

/// Whether a line says that the body comes in chunks, and in no other coding: others are refused with the head.
fn says_chunks(line: &[u8]) -> bool {
    let name = b"transfer-encoding";
    if !matches!(line.first(), Some(b't' | b'T')) {
        return false;
    }
    let Some((start, rest)) = line.split_at_checked(name.len()) else {
        return false;
    };
    let value = rest
        .trim_ascii_start()
        .strip_prefix(b":")
        .unwrap_or_default();
    start.eq_ignore_ascii_case(name) && value.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding : CHUNKED \r\n\r\n";

    /// How much of this is passed on, in pieces of each length.
    fn passed(response: &str) -> usize {
        let of = |length: usize| {
            let (mut chunks, mut passed) = (Chunks::default(), 0);
            for piece in response.as_bytes().chunks(length) {
                passed += chunks.read(piece);
            }
            assert_eq!(chunks.is_wrong(), passed < response.len(), "{response:?}");
            passed
        };
        let whole = of(response.len());
        for length in 1..response.len() {
            assert_eq!(of(length), whole, "{response:?} in pieces of {length}");
        }
        whole
    }

    #[test]
    fn a_line_without_a_digit_is_no_size() {
        for wrong in [
            "\r\n",
            ";x\r\n",
            " \r\n",
            "\t\r\n",
            "g\r\n",
            " 5\r\nworld\r\n",
        ] {
            for before in ["", "5\r\nhello\r\n", "1;x=y\r\n\n\r\nA \r\n0123456789\r\n"] {
                let good = format!("{HEAD}{before}");
                let all = format!("{good}{wrong}5\r\nworld\r\n0\r\n\r\n");
                assert_eq!(passed(&all), good.len(), "{all:?}");
            }
        }
    }

    #[test]
    fn what_is_right_or_no_chunks_passes() {
        for right in [
            format!("{HEAD}5\r\nhello\r\nB;x\r\nhello world\r\n0\r\nx: y\r\n\r\n"),
            format!("{HEAD}000\r\n\r\nwhat Pingora refuses"),
            format!("\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{HEAD}1\r\n\r\r\n0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\r\n".into(),
            "HTTP/1.1 200 OK\nX: chunked\n\n;x\r\n".into(),
            "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n;".into(),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n\r\n", "y".repeat(200)),
            format!("{HEAD}ffffffffffffffff\r\nwhat never ends"),
        ] {
            assert_eq!(passed(&right), right.len(), "{right:?}");
        }
        let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{HEAD}");
        assert_eq!(passed(&format!("{interim};\r\n")), interim.len());
    }
}
