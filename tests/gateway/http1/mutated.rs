//! Thousands of requests with bytes changed anywhere: whatever the gateway sends on, origins that are
//! lenient in different ways cut it alike, and each client gets the answers to what was sent on.

use std::collections::BTreeMap;

use super::origin::{CUT, Got, Request};
use super::{Origin, ask, gateway, status};

const CASES: usize = 3000;

const SEEDS: [&str; 9] = [
    "GET /one?a=b HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\n\r\n",
    "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: u\r\n\r\n",
    "POST /one HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nabcde",
    "PUT http://a/one HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde",
    "GET /one HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n",
    "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n22\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n\r\n0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, x-own\r\nX-Own: 1\r\n\r\n",
];
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";

/// What is put in between.
const WORDS: [&str; 28] = [
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "\x0b",
    "\x7f",
    "\u{e9}",
    "0",
    "1",
    "+",
    "0x",
    "0\r\n\r\n",
    "\r\n ",
    "\n\t",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer_Encoding: chunked\r\n",
    "HTTP/1.0",
    "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n",
];

fn change(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = random.usize(..bytes.len());
    let lines: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    match random.usize(..7) {
        0 => bytes[at] = random.u8(..),
        1 => {
            bytes.remove(at);
        }
        2 | 3 => {
            let word = WORDS[random.usize(..WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
        // At the beginning of a line, where fields are.
        4 if !lines.is_empty() => {
            let (at, word) = (random.usize(..lines.len()), random.usize(..WORDS.len()));
            let at = lines[at] + 1;
            bytes.splice(at..at, WORDS[word].bytes());
        }
        5 if lines.len() > 1 => {
            let first = random.usize(..lines.len() - 1);
            let line = bytes[lines[first] + 1..=lines[first + 1]].to_vec();
            let to = lines[random.usize(..lines.len())] + 1;
            bytes.splice(to..to, line);
        }
        _ if bytes[at].is_ascii_alphabetic() => bytes[at] ^= 0x20,
        _ => bytes[at] = bytes[at].wrapping_add(1),
    }
}

/// One way to read requests: where others would stop, each of these goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    /// A bare LF ends a line.
    bare_lf: bool,
    /// The length counts although there is a transfer coding.
    by_length: bool,
    /// The last of several lengths counts.
    last: bool,
    /// White space before a colon is not looked at, nor an underscore in a name.
    loose_names: bool,
    /// A line that begins with white space goes on with the one before it.
    folds: bool,
    /// Any coding that has `chunked` in it is one.
    loose_codings: bool,
    /// The digits at the beginning of a line are the size of a chunk, or of a body.
    loose_numbers: bool,
}

fn readers() -> Vec<Reader> {
    let strict = Reader::default();
    let all = Reader {
        bare_lf: true,
        by_length: false,
        last: true,
        loose_names: true,
        folds: true,
        loose_codings: true,
        loose_numbers: true,
    };
    vec![
        strict,
        all,
        Reader {
            by_length: true,
            ..all
        },
        Reader {
            by_length: true,
            ..strict
        },
        Reader {
            bare_lf: true,
            ..strict
        },
        Reader {
            folds: true,
            ..strict
        },
        Reader {
            loose_names: true,
            by_length: true,
            ..strict
        },
        Reader {
            last: true,
            ..strict
        },
        Reader {
            loose_codings: true,
            ..strict
        },
        Reader {
            loose_numbers: true,
            last: true,
            ..strict
        },
    ]
}

/// A request as it was read: its first line, and its body.
type Read = (String, Vec<u8>);

impl Reader {
    /// The first line, and what follows it.
    fn line<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let end = match self.bare_lf {
            true => bytes.iter().position(|byte| *byte == b'\n')?,
            false => bytes.windows(2).position(|pair| pair == b"\r\n")? + 1,
        };
        let line = &bytes[..end];
        Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
    }

    fn number(&self, text: &[u8], radix: u32) -> Option<usize> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let digits = text
            .find(|c: char| !c.is_digit(radix))
            .unwrap_or(text.len());
        let text = if self.loose_numbers {
            &text[..digits]
        } else {
            text
        };
        usize::from_str_radix(text, radix).ok()
    }

    /// All requests that are whole, and what is left behind them.
    fn read<'a>(&self, mut bytes: &'a [u8]) -> (Vec<Read>, &'a [u8]) {
        let mut all = Vec::new();
        while let Some((request, rest)) = self.one(bytes) {
            all.push(request);
            bytes = rest;
        }
        (all, bytes)
    }

    fn one<'a>(&self, bytes: &'a [u8]) -> Option<(Read, &'a [u8])> {
        let (first, mut rest) = self.line(bytes)?;
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            let (line, more) = self.line(rest)?;
            rest = more;
            if line.is_empty() {
                break;
            }
            if self.folds && line[0].is_ascii_whitespace() {
                let (_, value) = fields.last_mut()?;
                value.extend(line);
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
            let name = match self.loose_names {
                true => name.trim().replace('_', "-"),
                false => name,
            };
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        let named = |wanted: &str| {
            let mut found = fields.iter().filter(|(name, _)| name == wanted);
            let found = if self.last {
                found.next_back()
            } else {
                found.next()
            };
            found.map(|(_, value)| value.clone())
        };
        let coding = named("transfer-encoding").filter(|coding| {
            let coding = String::from_utf8_lossy(coding).to_lowercase();
            coding == "chunked" || self.loose_codings && coding.contains("chunked")
        });
        let length = named("content-length").and_then(|length| self.number(&length, 10));
        let (body, rest) = match (coding, length) {
            (Some(_), None) => self.chunks(rest)?,
            (Some(_), Some(_)) if !self.by_length => self.chunks(rest)?,
            (_, length) => {
                let (body, rest) = rest.split_at_checked(length.unwrap_or(0))?;
                (body.to_vec(), rest)
            }
        };
        Some(((String::from_utf8_lossy(first).into_owned(), body), rest))
    }

    fn chunks<'a>(&self, mut bytes: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let mut body = Vec::new();
        loop {
            let (line, rest) = self.line(bytes)?;
            let size = self.number(line.split(|byte| *byte == b';').next()?, 16)?;
            if size == 0 {
                bytes = rest;
                break;
            }
            let (data, rest) = rest.split_at_checked(size)?;
            body.extend(data);
            bytes = self.line(rest)?.1;
        }
        loop {
            let (line, rest) = self.line(bytes)?;
            bytes = rest;
            if line.is_empty() {
                return Some((body, bytes));
            }
        }
    }
}

/// The bodies of the answers with 200.
fn served(mut answer: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some((head, rest)) = answer.split_once("\r\n\r\n") {
        let fields = head.to_lowercase();
        let length = fields
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let Some(body) = rest.get(..length) else {
            break;
        };
        if status(head) == 200 {
            bodies.push(body.to_owned());
        }
        answer = &rest[length..];
    }
    bodies
}

/// What came on each connection, from the beginning of a request on.
type Raw = BTreeMap<usize, Vec<u8>>;

/// Keeps what is no whole request yet: the rest of it may come later.
fn keep_parts(raw: &mut Raw) {
    for bytes in raw.values_mut() {
        let left = Reader::default().read(bytes).1.len();
        bytes.drain(..bytes.len() - left);
    }
    raw.retain(|_, bytes| !bytes.is_empty());
}

fn told(line: &str, body: &[u8]) -> String {
    format!("{line} {}", body.escape_ascii())
}

/// Whether all readers find in what came what the strict origin has found, and the client was told
/// just that; how much that is.
fn check(answer: &str, got: Vec<Got>, raw: &Raw) -> Result<usize, String> {
    let whole = got
        .into_iter()
        .filter(|got| !matches!(got, Err(wrong) if wrong.starts_with(CUT)));
    let got: Vec<Request> = whole.collect::<Result<_, _>>()?;
    let found: Vec<String> = (got.iter())
        .map(|got| told(got.first_line(), &got.body))
        .collect();
    for reader in readers() {
        let read = raw.values().flat_map(|bytes| reader.read(bytes).0);
        let mut read: Vec<_> = read.map(|(line, body)| told(&line, &body)).collect();
        let mut expected = found.clone();
        // Connections are in no order.
        read.sort();
        expected.sort();
        if read != expected {
            return Err(format!("{reader:?} reads {read:?}, not {expected:?}"));
        }
    }
    if answer.matches("\r\n\r\n").count() > 0 && served(answer) != found {
        return Err(format!(
            "the client was told {:?}, not {found:?}",
            served(answer)
        ));
    }
    Ok(found.len())
}

#[test]
fn origins_agree_on_what_they_get_whatever_was_changed() {
    let origin = Origin::telling(|request| told(request.first_line(), &request.body));
    let gateway = gateway(&origin, "");
    let mut random = fastrand::Rng::with_seed(0x7a5e);
    let (mut counts, mut raw) = ([0; 4], Raw::new());
    for number in 0..CASES {
        let mut bytes = SEEDS[random.usize(..SEEDS.len())].as_bytes().to_vec();
        bytes.extend(SECOND.bytes());
        (0..random.usize(0..4)).for_each(|_| change(&mut random, &mut bytes));
        let answer = ask(&gateway, &bytes);
        let got = origin.take();
        for (connection, bytes) in origin.take_raw() {
            raw.entry(connection).or_default().extend(bytes);
        }
        match check(&answer, got, &raw) {
            Ok(count) => counts[count.min(3)] += 1,
            Err(wrong) => panic!("case {number}: {wrong}\n{}\n{answer}", bytes.escape_ascii()),
        }
        keep_parts(&mut raw);
    }
    // Nothing of some, all of others.
    assert!(
        counts[..3].iter().all(|count| *count > CASES / 20),
        "{counts:?}"
    );
}

#[test]
fn readers_differ_where_a_request_may_be_read_in_two_ways() {
    // Else their agreement would say nothing.
    let smuggled = "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n";
    for ambiguous in [
        "POST / HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nx: y\ncontent-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length : 5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent_length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 5x\r\n\r\n",
        "POST / HTTP/1.1\r\nx: y\r\n content-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: x-chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ] {
        let bytes = format!("{ambiguous}{smuggled}");
        let read: Vec<_> = readers()
            .iter()
            .map(|reader| reader.read(bytes.as_bytes()).0)
            .collect();
        assert!(
            read.iter().any(|other| *other != read[0]),
            "{ambiguous:?}: {read:?}"
        );
    }
}
