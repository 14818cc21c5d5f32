//! Which requests a stored response is for (RFC 9111, 4.1).

mod plainly;

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::fields::{Field, Fields};
use super::list;
use crate::cache::Selector;
pub use plainly::fits_plainly;

/// Values that are longer than this are kept as digests, which are longer themselves: no value is taken for one.
const LONGEST: usize = 64;

/// What `Vary` names, with what a request has there, in the form in which it is kept. What may be a secret of its
/// caller, such as a cookie, is there as a digest: what is stored may lie on a disk for long.
pub type Selectors = Vec<Selector>;

/// The fields that `Vary` names, in order, each once; `None` where it holds a `*`, or what is no
/// name: no request is like another then.
pub fn names(response: &Fields<'_>) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in response.all(Field::Vary) {
        for name in list::split(line).filter(|name| !name.is_empty()) {
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

/// What this request has in these fields, without holding on to it.
pub fn selectors(names: Vec<HeaderName>, request: &HeaderMap) -> Selectors {
    if names.is_empty() {
        return Vec::new();
    }
    let copy =
        |value: HeaderValue| HeaderValue::from_bytes(value.as_bytes()).expect("it was one before");
    let values = names.into_iter().map(|name| {
        let value = kept(&name, request).map(copy);
        (name, value)
    });
    values.collect()
}

/// What a request has in a field, as it is kept. The origin has got it as it came: what it could tell apart is not the
/// same here. So one line is not two, and a list is not the same list in other words.
fn kept(name: &HeaderName, request: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = request.get_all(name).iter();
    let (line, more) = (lines.next()?, lines.next());
    if more.is_none() && *name == header::ACCEPT_ENCODING {
        return Some(shown(name, &sorted(line)));
    }
    Some(match more {
        None => shown(name, line),
        Some(_) => digest(name, request.get_all(name).iter()),
    })
}

/// A value of one line: as it is, where everybody may see that.
fn shown(name: &HeaderName, line: &HeaderValue) -> HeaderValue {
    match is_open(name) && line.len() <= LONGEST {
        true => line.clone(),
        false => digest(name, std::iter::once(line)),
    }
}

fn digest<'v>(name: &HeaderName, lines: impl Iterator<Item = &'v HeaderValue>) -> HeaderValue {
    let digest = Sha256::new().chain_update(name.as_str()).chain_update([0]);
    let digest = lines.fold(digest, |digest, line| {
        digest
            .chain_update((line.len() as u64).to_le_bytes())
            .chain_update(line)
    });
    let mut text = String::from("sha256:");
    for byte in digest.finalize() {
        write!(text, "{byte:02x}").expect("a text takes it");
    }
    HeaderValue::from_str(&text).expect("ASCII")
}

/// The codings that a client takes, in one order: whichever of them an origin chooses by another order, each
/// client with the same ones, at the same weights, takes it.
fn sorted(line: &HeaderValue) -> HeaderValue {
    let members = line.as_bytes().split(|byte| *byte == b',');
    let mut members: Vec<_> = members.map(<[u8]>::trim_ascii).collect();
    if members.len() == 1 || members.iter().any(|member| member.is_empty()) {
        return line.clone();
    }
    members.sort_unstable();
    HeaderValue::from_bytes(&members.join(&b","[..])).expect("its parts were one before")
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
            self.0.push((name.clone(), kept(name, request)));
            self.0.len() - 1
        });
        self.0[at].1.as_ref()
    }
}

/// Whether the request has word for word what is stored: then its form need not be made.
fn is_as_it_is(name: &HeaderName, stored: &HeaderValue, request: &HeaderMap) -> bool {
    let mut lines = request.get_all(name).iter();
    let (line, more) = (lines.next(), lines.next());
    line == Some(stored) && more.is_none() && is_open(name) && stored.len() <= LONGEST
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
        let headers = headers(&lines);
        let names = names(&Fields::of(&headers))?;
        Some(names.iter().map(|name| name.as_str().to_owned()).collect())
    }

    /// Whether a response to the first request is for the second one.
    fn same(
        field: &'static str,
        stored: &[(&'static str, &'static str)],
        asked: &[(&'static str, &'static str)],
    ) -> bool {
        let response = headers(&[("vary", field)]);
        let names = names(&Fields::of(&response)).unwrap();
        let (stored, asked) = (selectors(names, &headers(stored)), headers(asked));
        let fits = fits(&stored, &asked);
        assert!(plainly::tests::plainly(&stored, &asked).is_none_or(|plain| plain == fits));
        fits
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

    /// What one of many forms that mean the same to a reader is stored under must not be for another: an origin has
    /// seen the one alone, and few of them read it as a reader would.
    #[test]
    fn what_an_origin_can_tell_apart_is_told_apart() {
        for (field, good, others) in [
            (
                "origin",
                "https://app.example",
                &[
                    ",https://app.example",
                    "https://app.example,",
                    ", ,https://app.example",
                    "HTTPS://app.example",
                ][..],
            ),
            ("cookie", "lang=de", &[",lang=de", "lang=de,", "LANG=de"]),
            ("x-tier", "gold", &[",gold", "gold ,", "Gold"]),
            ("user-agent", "a, b", &["a,b", "a,  b", "a, , b", "b, a"]),
            (
                "accept-language",
                "de, en",
                &["en, de", "de,en", "DE, en", "de;q=1, en", "de;q=1e0, en"],
            ),
            ("accept", "text/html, */*", &["*/*, text/html"]),
            (
                "accept-encoding",
                "gzip, br",
                &[
                    "GZIP, br",
                    "x-gzip, br",
                    "gzip;q=1, br",
                    "gzip;q=1e0, br",
                    ",gzip, br",
                    "gzip, br,",
                    "gzip",
                ],
            ),
        ] {
            assert!(same(field, &[(field, good)], &[(field, good)]), "{field}");
            for other in others {
                assert!(!same(field, &[(field, other)], &[(field, good)]), "{other}");
                assert!(!same(field, &[(field, good)], &[(field, other)]), "{other}");
            }
        }
    }

    #[test]
    fn lines_that_came_apart_are_not_one_line() {
        for field in ["x-a", "accept", "accept-encoding"] {
            let two = [(field, "a"), (field, "b")];
            assert!(same(field, &two, &two));
            for other in [
                &[(field, "a, b")][..],
                &[(field, "a,b")],
                &[(field, "ab")],
                &[(field, "a")],
                &[(field, "b"), (field, "a")],
                &[(field, "a"), (field, "b"), (field, "")],
            ] {
                assert!(!same(field, &two, other), "{other:?}");
                assert!(!same(field, other, &two), "{other:?}");
            }
        }
    }

    #[test]
    fn rfc9110_12_5_3_the_order_of_codings_makes_no_difference() {
        let coding = |one, other| {
            let field = "accept-encoding";
            same(field, &[(field, one)], &[(field, other)])
        };
        assert!(coding("gzip, deflate, br", "br,deflate ,gzip"));
        assert!(coding("gzip;q=0.5, br", "br, gzip;q=0.5"));
        assert!(!coding("gzip;q=0.5, br", "br;q=0.5, gzip"));
        assert!(!coding("gzip;q=0, br", "gzip, br"));
        let long = "gzip, deflate, br, zstd, compress, identity;q=0.1, *;q=0.01, other, more";
        let turned = long.rsplit(", ").collect::<Vec<_>>().join(",");
        assert!(coding(long, turned.leak()) && !coding(long, "gzip"));
    }
}
