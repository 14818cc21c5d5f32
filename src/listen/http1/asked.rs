//! What can be told of a request that is refused before it was read as one.

use std::borrow::Cow;

use http::Method;

use super::Gate;
use super::chunked::is_token;

/// A method that is longer is none that anybody uses.
const LONGEST_METHOD: usize = 64;
/// More of a target is not looked at.
const LONGEST_TARGET: usize = 8 << 10;

/// A request line, as far as it was read and is one.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: Method,
    /// As it came, but for bytes that are no UTF-8, who it says that the client is (`user@host`), a
    /// query, out of which no filter has taken keys of callers, and a fragment. It may be the
    /// beginning of one, and have any characters.
    pub target: String,
}

impl Gate {
    /// What was read of the request that is to be refused: nothing where that does not begin with a
    /// method and a space.
    pub fn asked(&self) -> Option<Asked> {
        asked(&self.bytes[self.start..])
    }
}

fn asked(bytes: &[u8]) -> Option<Asked> {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let space = (line.iter().take(LONGEST_METHOD + 1)).position(|byte| *byte == b' ')?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    if !method.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    let target = rest.split(|byte| *byte == b' ').next()?;
    let target = &target[..target.len().min(LONGEST_TARGET)];
    Some(Asked {
        method: Method::from_bytes(method).ok()?,
        target: shown(&String::from_utf8_lossy(target)).into_owned(),
    })
}

/// A target without what no log may have.
fn shown(target: &str) -> Cow<'_, str> {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    if target.starts_with('/') && !target.starts_with("//") {
        return target.into();
    }
    let begin = target.find("//").map_or(0, |slashes| slashes + 2);
    let end = target[begin..].find('/');
    let end = end.map_or(target.len(), |end| begin + end);
    match target[begin..end].rfind('@') {
        Some(at) => format!("{}***{}", &target[..begin], &target[begin + at..]).into(),
        None => target.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Option<(String, String)> {
        asked(bytes).map(|Asked { method, target }| (method.to_string(), target))
    }

    #[test]
    fn tells_what_was_read_of_a_request_line() {
        for (line, method, target) in [
            (&b"GET /a?b=c HTTP/1.1\r\nhost"[..], "GET", "/a"),
            (b"GET /a b c HTTP/1.1\r\n", "GET", "/a"),
            (b"POST /beginn", "POST", "/beginn"),
            (
                b"GET /a\xff\xc3\xa9 HTTP/1.1\r\n",
                "GET",
                "/a\u{fffd}\u{e9}",
            ),
            (b"FOO \r\n", "FOO", ""),
            (b"GET /a\x1b[2J HTTP/1.1\n", "GET", "/a\x1b[2J"),
            (b"CONNECT host:443 HTTP/1.1\r\n", "CONNECT", "host:443"),
        ] {
            let expected = Some((method.to_owned(), target.to_owned()));
            assert_eq!(told(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn tells_nothing_of_what_is_none() {
        let long = [b"M".repeat(LONGEST_METHOD + 1), b" / HTTP/1.1\r\n".to_vec()].concat();
        for bytes in [
            &b""[..],
            b"GET",
            b"GET\r\n /a",
            b"\x16\x03\x01 /",
            b" /a HTTP/1.1",
            &long,
        ] {
            assert_eq!(told(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn hides_who_the_client_says_it_is_and_what_no_server_is_told() {
        for (target, expected) in [
            ("http://ann:pass@host/a@b?c@d", "http://***@host/a@b"),
            ("http://a:b@c@host", "http://***@host"),
            ("ann:pass@host:443", "***@host:443"),
            ("//ann:pass@host/a", "//***@host/a"),
            ("/a?key=secret", "/a"),
            ("http://host/a@b", "http://host/a@b"),
            ("/a@b#access_token=x", "/a@b"),
            ("http://host#ann:pass@x", "http://host"),
            ("*", "*"),
        ] {
            assert_eq!(shown(target), expected);
        }
    }

    #[test]
    fn a_long_target_is_cut() {
        let line = format!("GET /{} HTTP/1.1\r\n", "é".repeat(100_000));
        let asked = asked(line.as_bytes()).unwrap();
        assert!(asked.target.len() <= LONGEST_TARGET + 3);
    }
}
