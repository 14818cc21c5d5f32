//! What Pingora does not tell of responses, or does not see.
//!
//! Its parser takes a line without a digit for the size of the last chunk (RFC 9112, 7.1): a response that is broken would
//! end as if it were whole. Where a response has a length as well as chunks, it forgets the length before anybody could
//! tell; to somebody else it may be two responses (6.3). And of several `Connection` fields it looks at the first (9.6).
//! This follows a response far enough to see all three, and leaves whatever else may be wrong with it to Pingora.

use std::fmt;

use memchr::memchr;

/// A response has no single end that all would see.
#[derive(Debug)]
pub struct Misframed;

impl fmt::Display for Misframed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response has a length as well as chunks, or a chunk without a size")
    }
}

impl std::error::Error for Misframed {}

/// So much of a line is looked at: what is told by more is none of what is looked for.
const LOOKED_AT: usize = 64;

/// Follows the responses to one request: interim ones, and the final one.
pub(super) struct Heard {
    place: Place,
    /// The beginning of the present line of a head.
    line: [u8; LOOKED_AT],
    length: usize,
    /// What has been told of the response; `None` before its first line.
    head: Option<Head>,
    /// Whether a response has said that the connection ends with it.
    closes: bool,
}

/// What a head tells.
#[derive(Default)]
struct Head {
    /// Whether the response is an interim one, which nothing frames.
    interim: bool,
    chunks: bool,
    length: bool,
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

impl Default for Heard {
    fn default() -> Self {
        Self {
            place: Place::Head,
            line: [0; LOOKED_AT],
            length: 0,
            head: None,
            closes: false,
        }
    }
}

impl Heard {
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

    /// Whether the endpoint closes the connection after what has come.
    pub(super) fn closes(&self) -> bool {
        self.closes
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
        let is_cut = line.len() == LOOKED_AT;
        let is_fold = matches!(line.first(), Some(b' ' | b'\t'));
        let line = line.trim_ascii_end();
        match &mut self.head {
            // The rest of the line before it: whoever does not know that sees another head (RFC 9112, 5.2).
            Some(_) if is_fold => self.place = Place::Wrong,
            None if line.is_empty() => {} // may stand before a response
            None => {
                let status = line.get(b"HTTP/1.1 ".len()..).unwrap_or_default();
                self.head = Some(Head {
                    interim: status.starts_with(b"1"),
                    ..Head::default()
                });
                if status.starts_with(b"101") {
                    self.place = Place::Rest; // another protocol follows
                }
            }
            Some(head) if line.is_empty() => {
                self.place = match head {
                    Head { interim: true, .. } => Place::Head,
                    Head { chunks: true, .. } => Place::Size(None),
                    _ => Place::Rest,
                };
                self.head = None;
            }
            Some(head) => {
                match line[0] | 0x20 {
                    b't' if is_cut && value_of(b"transfer-encoding", line).is_some() => {
                        self.place = Place::Wrong; // one word is all that it may say
                    }
                    b't' => head.chunks |= says_chunks(line),
                    b'c' => {
                        head.length |= value_of(b"content-length", line).is_some();
                        let options = value_of(b"connection", line);
                        // Beyond what is looked at may be anything.
                        self.closes |= options.is_some_and(|them| is_cut || say_close(them));
                    }
                    _ => {}
                }
                if head.chunks && head.length && !head.interim {
                    self.place = Place::Wrong;
                }
            }
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
    let coding = value_of(b"transfer-encoding", line);
    coding.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Whether the connection ends by these options of it.
fn say_close(options: &[u8]) -> bool {
    let mut options = options.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    options.any(|option| option.eq_ignore_ascii_case(b"close"))
}

/// The value of a field, where this is its line.
fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding : CHUNKED \r\n\r\n";

    /// How much of this is passed on, in pieces of each length.
    fn passed(response: &str) -> usize {
        let of = |length: usize| {
            let (mut heard, mut passed) = (Heard::default(), 0);
            for piece in response.as_bytes().chunks(length) {
                passed += heard.read(piece);
            }
            assert_eq!(heard.is_wrong(), passed < response.len(), "{response:?}");
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
    fn rfc9112_5_2_a_line_that_goes_on_another_is_refused() {
        let begin = "HTTP/1.1 200 OK\r\nX: y\r\n";
        for fold in [" z\r\n", "\tz\r\n", " \r\n"] {
            let all = format!("{begin}{fold}Connection: close\r\n\r\n");
            assert_eq!(passed(&all), begin.len() + fold.len(), "{all:?}");
        }
        let coding = format!("Transfer-Encoding:{}chunked\r\n", " ".repeat(LOOKED_AT));
        let all = format!("{begin}{coding}Content-Length: 5\r\n\r\n");
        assert_eq!(passed(&all), begin.len() + coding.len());
    }

    #[test]
    fn rfc9112_9_6_each_connection_field_may_close() {
        let closes = |fields: &str| {
            let response = format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
            let mut heard = Heard::default();
            assert_eq!(heard.read(response.as_bytes()), response.len());
            heard.closes()
        };
        let long = format!("Connection: x-a,{}close", " ".repeat(LOOKED_AT));
        for fields in [
            "Connection: close",
            "connection : x-a, CLOSE",
            "Connection: x-a\r\nConnection: close",
            "Connection: keep-alive\r\nX: y\r\nCONNECTION:,close",
            &long,
        ] {
            assert!(closes(fields), "{fields}");
        }
        for fields in [
            "Connection: keep-alive",
            "Connection: x-close",
            "X-Connection: close",
            "X: close",
        ] {
            assert!(!closes(fields), "{fields}");
        }
    }

    #[test]
    fn rfc9112_6_3_a_response_has_a_length_or_chunks() {
        let (length, chunks) = ("Content-Length : 2\r\n", "transfer-encoding:chunked\r\n");
        for (first, second) in [(length, chunks), (chunks, length)] {
            for interim in ["", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
                let good = format!("{interim}HTTP/1.1 200 OK\r\n{first}X: y\r\n{second}");
                assert_eq!(
                    passed(&format!("{good}\r\n0\r\n\r\n")),
                    good.len(),
                    "{good:?}"
                );
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
            format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n{HEAD}0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Lengths: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .into(),
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
