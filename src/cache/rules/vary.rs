//! Which requests a stored response is for (RFC 9111, 4.1).

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::list;
use crate::cache::Selector;

/// Values that are longer than this are kept as digests, which are longer themselves: no value is taken for one.
const LONGEST: usize = 64;

/// What `Vary` names, with what a request has there, in a form that is the same for requests that ask for the
/// same. What may be a secret of its caller, such as a cookie, is there as a digest: what is stored may lie
/// on a disk for long.
pub type Selectors = Vec<Selector>;

/// The fields that `Vary` names, in order, each once; `None` where it holds a `*`, or what is no
/// name: no request is like another then.
pub fn names(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in response.get_all(header::VARY) {
        for name in list::split(line.as_bytes()).filter(|name| !name.is_empty()) {
            if name == b"*" {
                return None;
            }
            names.push(HeaderName::from_bytes(name).ok()?);
        }
    }
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    Some(names)
}

/// What this request has in these fields.
pub fn selectors(names: Vec<HeaderName>, request: &HeaderMap) -> Selectors {
    let values = names.into_iter().map(|name| {
        let value = normalised(&name, request).map(|value| kept(&name, value));
        (name, value)
    });
    values.collect()
}

/// A value as it is kept.
fn kept(name: &HeaderName, value: HeaderValue) -> HeaderValue {
    if is_open(name) && value.len() <= LONGEST {
        return value;
    }
    let digest = Sha256::new()
        .chain_update(name.as_str())
        .chain_update([0])
        .chain_update(&value);
    let mut text = String::from("sha256:");
    for byte in digest.finalize() {
        write!(text, "{byte:02x}").expect("a text takes it");
    }
    HeaderValue::from_str(&text).expect("ASCII")
}

/// Whether what a request has there tells nothing but what its client can do and wants.
fn is_open(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("accept")
        || name.starts_with("sec-")
        || matches!(name, "origin" | "user-agent")
}

/// Whether a response that was stored with these is for this request.
pub fn fits(selectors: &[Selector], request: &HeaderMap) -> bool {
    Wanted::default().is(selectors, request)
}

/// What one request has in fields that `Vary` names, in the form that is kept. That is made once for each field, however
/// many variants are looked at: they may be many and it may be long, and a part of the store waits for it.
#[derive(Debug, Default)]
pub struct Wanted(Selectors);

impl Wanted {
    /// Whether a response that was stored with these is for the request, which is the same each time.
    pub fn is(&mut self, selectors: &[Selector], request: &HeaderMap) -> bool {
        selectors.iter().all(|(name, stored)| match stored {
            None => !request.contains_key(name),
            Some(stored) => {
                is_as_it_is(name, stored, request) || self.kept(name, request) == Some(stored)
            }
        })
    }

    fn kept(&mut self, name: &HeaderName, request: &HeaderMap) -> Option<&HeaderValue> {
        let made = self.0.iter().position(|(made, _)| made == name);
        let at = made.unwrap_or_else(|| {
            let value = normalised(name, request).map(|value| kept(name, value));
            self.0.push((name.clone(), value));
            self.0.len() - 1
        });
        self.0[at].1.as_ref()
    }
}

/// Whether the request has word for word what is stored: then it need not be normalised.
fn is_as_it_is(name: &HeaderName, stored: &HeaderValue, request: &HeaderMap) -> bool {
    let mut lines = request.get_all(name).iter();
    let (line, more) = (lines.next(), lines.next());
    line == Some(stored) && more.is_none() && is_open(name) && stored.len() <= LONGEST
}

/// All lines of a field as one, without space around commas. Where the order of a list means
/// nothing, it is sorted.
fn normalised(name: &HeaderName, request: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let parts = lines.flat_map(|line| list::split(line.as_bytes()));
    let parts = parts.filter(|part| !part.is_empty());
    let joined = if *name == header::ACCEPT_ENCODING || *name == header::ACCEPT_LANGUAGE {
        let mut weighed: Vec<_> = parts.map(weighed).collect();
        weighed.sort_unstable();
        weighed.dedup();
        weighed.join(&b","[..])
    } else {
        parts.collect::<Vec<_>>().join(&b","[..])
    };
    HeaderValue::from_bytes(&joined).ok()
}

/// `gzip ; q=1.0` is `gzip`, and `x-gzip` as well (RFC 9110, 8.4.1.3 and 12.4.2).
fn weighed(part: &[u8]) -> Vec<u8> {
    let mut pieces = part.splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
    let mut name = pieces.next().unwrap_or_default().to_ascii_lowercase();
    if name == b"x-gzip" {
        name = b"gzip".to_vec();
    }
    let Some(weight) = pieces.next() else {
        return name;
    };
    let weight = weight.to_ascii_lowercase();
    match weight.strip_prefix(b"q=").and_then(thousandths) {
        Some(1000) => {}
        Some(part) => name.extend_from_slice(format!(";q={part}").as_bytes()),
        None => {
            name.push(b';'); // what is not understood is kept as it is
            name.extend_from_slice(&weight);
        }
    }
    name
}

/// A weight, in thousandths.
fn thousandths(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let weight: f32 = text.parse().ok()?;
    let valid = text.len() <= 5 && (0.0..=1.0).contains(&weight);
    valid.then(|| (weight * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn named(lines: &[&'static str]) -> Option<Vec<String>> {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        let names = names(&headers(&lines))?;
        Some(names.iter().map(|name| name.as_str().to_owned()).collect())
    }

    /// Whether a response to the first request is for the second one.
    fn same(
        field: &'static str,
        stored: &[(&'static str, &'static str)],
        asked: &[(&'static str, &'static str)],
    ) -> bool {
        let names = names(&headers(&[("vary", field)])).unwrap();
        fits(&selectors(names, &headers(stored)), &headers(asked))
    }

    #[test]
    fn rfc9111_4_1_a_star_is_like_nothing() {
        for lines in [
            &["*"][..],
            &["*, *"],
            &[", *"],
            &["", "*"],
            &["*, Foo"],
            &["Foo, *"],
            &["a b"],
        ] {
            assert_eq!(named(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn rfc9111_4_1_several_fields_and_lines() {
        assert_eq!(named(&["Foo, bar", "FOO"]).unwrap(), ["bar", "foo"]);
        assert!(named(&[""]).unwrap().is_empty());
    }

    #[test]
    fn rfc9111_4_1_all_named_fields_must_be_the_same() {
        let stored = [("foo", "1"), ("bar", "2")];
        assert!(same("foo, bar", &stored, &[("bar", "2"), ("foo", "1")]));
        assert!(!same("foo, bar", &stored, &[("foo", "1"), ("bar", "3")]));
        assert!(!same("foo, bar", &stored, &[("foo", "1")]));
        assert!(!same("foo", &[], &[("foo", "1")]));
        assert!(!same("foo", &[], &[("foo", "")]));
        assert!(!same("foo", &[("foo", "")], &[]));
        assert!(same("foo", &[], &[("baz", "1")]));
        assert!(!same("foo", &[("foo", "a")], &[("foo", "A")]));
    }

    #[test]
    fn what_may_be_a_secret_is_kept_as_a_digest_that_nobody_can_send() {
        let long = "x".repeat(LONGEST + 1);
        for (name, value) in [
            ("cookie", "session=ann"),
            ("authorization", "Basic YTpi"),
            ("x-key", "k"),
            ("accept-language", &*long),
        ] {
            let name = HeaderName::from_static(name);
            let mut request = HeaderMap::new();
            request.insert(&name, value.parse().unwrap());
            let stored = selectors(vec![name.clone()], &request);
            let kept = stored[0].1.clone().unwrap();
            assert!(!kept.to_str().unwrap().contains(value), "{kept:?}");
            assert!(fits(&stored, &request));
            request.insert(&name, kept);
            assert!(!fits(&stored, &request), "{name}");
        }
        // The same value in another field is another digest.
        let both = headers(&[("x-a", "1"), ("x-b", "1")]);
        let names = vec![
            HeaderName::from_static("x-a"),
            HeaderName::from_static("x-b"),
        ];
        let stored = selectors(names, &both);
        assert_ne!(stored[0].1, stored[1].1);
    }

    #[test]
    fn what_a_request_has_is_made_once_for_all_variants() {
        let asks = |number: usize| {
            let mut request = HeaderMap::new();
            request.insert(header::COOKIE, number.into());
            request
        };
        let stored = |number| selectors(vec![header::COOKIE], &asks(number));
        let (mut wanted, request) = (Wanted::default(), asks(63));
        for number in 0..64 {
            assert_eq!(wanted.is(&stored(number), &request), number == 63);
        }
        // It does not look at the field any more.
        assert!(wanted.is(&stored(63), &asks(1)) && !wanted.is(&stored(1), &asks(1)));
        let none = selectors(vec![header::COOKIE], &HeaderMap::new());
        assert!(!wanted.is(&none, &request));
        assert!(!Wanted::default().is(&stored(63), &HeaderMap::new()));
    }

    #[test]
    fn rfc9111_4_1_lines_and_space_make_no_difference() {
        assert!(same(
            "foo",
            &[("foo", "1, 2")],
            &[("foo", "1"), ("foo", " 2 ")]
        ));
        assert!(same("foo", &[("foo", "1,2")], &[("foo", " 1, 2 ")]));
        assert!(!same("foo", &[("foo", "1, 2")], &[("foo", "2, 1")]));
    }

    #[test]
    fn rfc9111_4_1_accept_encoding_and_language_are_normalised() {
        let coding = |one, other| {
            same(
                "accept-encoding",
                &[("accept-encoding", one)],
                &[("accept-encoding", other)],
            )
        };
        assert!(coding("gzip, br", "BR,x-gzip;q=1.0"));
        assert!(coding("gzip;q=0.5", "gzip; q=0.500"));
        assert!(!coding("gzip;q=0", "gzip"));
        assert!(!coding("gzip;q=0.5, br", "gzip, br"));
        assert!(!coding("gzip", "br"));
        let language = |one, other| {
            same(
                "accept-language",
                &[("accept-language", one)],
                &[("accept-language", other)],
            )
        };
        assert!(language("en, de", " De ,   eN"));
        assert!(!language("en, de", "en, fr"));
    }
}
