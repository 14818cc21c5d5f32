//! What a response is stored under: the URL that was asked for, and whatever else decides which
//! response a request gets.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};
use pingora_core::protocols::http::ServerSession;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use wiregate_sdk::cache::Plan;

use super::super::context::Context;
use crate::cache::store::{Key, Store, Url};

/// What the key of a request is made of. Beside its URL it has the route and the upstream, which two requests for one URL
/// may differ in; the scheme is part of the URL; host and target as they are sent; what trusted
/// proxies say of where the request came to; what the plan adds; and whose it is, where callers do not
/// share. The last two are there as digests, since they may be secrets, and keys may lie on a disk.
pub(super) struct Parts<'a> {
    pub(super) scheme: &'a str,
    pub(super) url: Url,
    pub(super) sent_host: &'a [u8],
    pub(super) route: &'a str,
    pub(super) upstream: &'a str,
    pub(super) told: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) key: &'a [String],
    pub(super) caller: Option<&'a str>,
}

impl Parts<'_> {
    pub(super) fn key(self, store: &Store) -> Key {
        // An upstream may tell spellings apart that the URL does not.
        let host = match is_host_of(&self.url, self.scheme, self.sent_host) {
            true => b"",
            false => self.sent_host,
        };
        let secrets = self.key.iter().map(String::as_bytes);
        let secrets = secrets.chain(self.caller.map(str::as_bytes));
        let secrets: SmallVec<[_; 4]> = secrets.map(Sha256::digest).collect();
        let mut parts: SmallVec<[&[u8]; 10]> = SmallVec::from_slice(&[
            self.route.as_bytes(),
            self.upstream.as_bytes(),
            host,
            self.told,
            self.target,
            // Whether they are one's own tells apart what two filters of a route store.
            self.caller.map_or(b"shared", |_| b"own"),
        ]);
        if !secrets.is_empty() {
            parts.extend(secrets.iter().map(|part| &part[..]));
        }
        store.key(self.url, &parts)
    }
}

impl Context {
    /// The key of a request.
    pub(super) fn cache_key(&self, session: &ServerSession, plan: &Plan, store: &Store) -> Key {
        let head = session.req_header();
        let asked_host = self.asked_host.as_ref().map(HeaderValue::as_bytes);
        let sent_host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
        let told = match self.peer.trusted_by(&self.snapshot).is_some() {
            true => told(&head.headers),
            false => Vec::new(), // what others say is gone by now
        };
        let upstream = self.attempts.upstream.as_ref();
        Parts {
            scheme: self.exchange.client.scheme,
            url: self.public_url(),
            sent_host: sent_host.or(asked_host).unwrap_or_default(),
            route: &self.exchange.route,
            upstream: upstream.map_or("", |upstream| &upstream.name),
            told: &told,
            target: head.raw_path(),
            key: &plan.key,
            caller: plan.caller.as_deref(),
        }
        .key(store)
    }

    /// The URL that was asked for, normalised: what purges and the methods that change a resource go by.
    pub(super) fn public_url(&self) -> Url {
        let asked = self.asked_host.as_ref();
        let host = match asked.map(|host| host.to_str().map_err(|_| host.as_bytes())) {
            None => Cow::Borrowed(""),
            Some(Ok(host)) => Cow::Borrowed(host),
            Some(Err(host)) => String::from_utf8_lossy(host),
        };
        let target = &self.exchange.target;
        let path = self.normal_path.as_deref().unwrap_or(target.path());
        url(self.exchange.client.scheme, &host, path, target.query())
    }

    /// The URLs that a successful unsafe request may have changed (RFC 9111, 4.4): its own, and those that the response
    /// names, if they are of the same origin.
    pub(super) fn changed_urls(&self, head: &pingora_http::ResponseHeader) -> Vec<String> {
        let own = self.public_url().as_str().to_owned();
        let named = [header::LOCATION, header::CONTENT_LOCATION];
        let named = named.map(|name| head.headers.get(&name));
        let base = match named {
            [None, None] => None, // as most of them are
            _ => reqwest::Url::parse(&own).ok(),
        };
        let mut all = vec![own];
        let Some(base) = base else {
            return all;
        };
        for named in named.into_iter().flatten() {
            let named = named.to_str().ok();
            let joined = named.and_then(|named| base.join(named).ok());
            if let Some(joined) = joined.filter(|joined| joined.origin() == base.origin()) {
                let router = &self.snapshot.router;
                all.extend(normalised(&joined, |path| {
                    router.normalise(path).ok().map(Into::into)
                }));
            }
        }
        all.dedup();
        all
    }
}

/// Whether a host is, letter for letter, that of a URL with this scheme.
fn is_host_of(url: &Url, scheme: &str, host: &[u8]) -> bool {
    let rest = url.as_str().as_bytes().strip_prefix(scheme.as_bytes());
    let rest = rest.and_then(|rest| rest.strip_prefix(b"://")?.strip_prefix(host));
    rest.is_some_and(|rest| rest.starts_with(b"/"))
}

/// What upstreams make links of, beside the host: what trusted proxies say of where a request came to them.
/// Many pass on what their own clients say of it, so each other word is another response. Who it is for makes
/// no difference.
fn told(fields: &HeaderMap) -> Vec<u8> {
    let mut told = Vec::new();
    for (name, value) in fields {
        let (name, value) = (name.as_str(), value.as_bytes());
        if name.starts_with("x-forwarded-") && name != "x-forwarded-for" {
            add(&mut told, name, value);
        } else if name == "forwarded" {
            let pairs = value.split(|byte| matches!(byte, b',' | b';'));
            let pairs = pairs
                .map(<[u8]>::trim_ascii)
                .filter(|pair| !is_of_client(pair));
            pairs.for_each(|pair| add(&mut told, name, pair));
        }
    }
    told
}

fn add(told: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), value] {
        told.extend_from_slice(&(part.len() as u64).to_le_bytes());
        told.extend_from_slice(part);
    }
}

/// Whether a pair of `Forwarded` (RFC 7239, 4) says who sent the request, and nothing else.
fn is_of_client(pair: &[u8]) -> bool {
    let Some((name, value)) = pair.split_at_checked(4) else {
        return false;
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"\"[]:._-".contains(byte);
    name.eq_ignore_ascii_case(b"for=") && value.iter().all(is_plain)
}

/// A URL as keys have it, out of one that somebody wrote: the path goes through this.
pub fn normalised(url: &reqwest::Url, path: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = url.host_str()?;
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = path(url.path())?;
    let text = self::url(url.scheme(), &host, &path, url.query());
    Some(text.as_str().to_owned())
}

/// The text of a URL. A port that is the scheme's own, or none, is left out (RFC 9110, 4.2.3), and so is the last dot
/// of a name: routes are the same for both.
pub(super) fn url(scheme: &str, host: &str, path: &str, query: Option<&str>) -> Url {
    // Few hosts end like a port.
    let may_have_port = host.ends_with(|end: char| end.is_ascii_digit() || end == ':');
    let colon = may_have_port.then(|| host.rfind(':')).flatten();
    let (name, port) = match colon.map(|at| (&host[..at], &host[at + 1..])) {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    };
    let port = match port.trim_start_matches('0') {
        "" if !port.is_empty() => "0",
        port => port,
    };
    let default = if scheme == "https" { "443" } else { "80" };
    let mut text = Url::from(scheme);
    text.push("://");
    text.push_in_lower_case(name.strip_suffix('.').unwrap_or(name));
    if !port.is_empty() && port != default {
        text.push(":");
        text.push(port);
    }
    text.push(path);
    if let Some(query) = query {
        text.push("?");
        push_query(&mut text, query);
    }
    text
}

/// Adds a query as the URL standard writes it, so that it is the same whoever wrote it.
fn push_query(text: &mut Url, query: &str) {
    let is_escaped =
        |byte: u8| matches!(byte, 0..=b' ' | b'"' | b'#' | b'\'' | b'<' | b'>' | 0x7f..);
    let mut rest = query;
    while let Some(at) = rest.bytes().position(is_escaped) {
        text.push(&rest[..at]);
        let end = at + rest[at..].chars().next().map_or(1, char::len_utf8);
        for byte in rest[at..end].bytes() {
            text.push(&format!("%{byte:02X}"));
        }
        rest = &rest[end..];
    }
    text.push(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_say_tells_requests_apart_but_for_whom_they_are() {
        let of = |lines: &[(&'static str, &'static str)]| {
            let mut fields = HeaderMap::new();
            for (name, value) in lines {
                fields.append(*name, value.parse().unwrap());
            }
            told(&fields)
        };
        let nothing = of(&[("accept", "a")]);
        assert!(nothing.is_empty());
        for same in [
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4, For=\"[2001:db8::1]:8080\""),
        ] {
            assert_eq!(of(&[same]), nothing, "{same:?}");
        }
        let all = [
            of(&[("x-forwarded-host", "evil.example")]),
            of(&[("x-forwarded-prefix", "evil.example")]),
            of(&[("x-forwarded-port", "1")]),
            of(&[("x-forwarded-proto", "http")]),
            of(&[("forwarded", "for=1.2.3.4;host=evil.example")]),
            of(&[("forwarded", "for=1.2.3.4;host=other.example")]),
            of(&[("forwarded", "for=1.2.3.4;proto=http")]),
            of(&[("forwarded", "for=1.2.3.4 host=evil.example")]),
            of(&[("forwarded", "for=a&host=evil.example")]),
        ];
        for (number, one) in all.iter().enumerate() {
            assert_ne!(*one, nothing);
            assert!(!all[..number].contains(one), "{number}");
        }
    }

    #[test]
    fn a_host_is_that_of_a_url_letter_for_letter() {
        let url = url("https", "A.example:443", "/a.example/", None);
        assert!(is_host_of(&url, "https", b"a.example"));
        for other in ["A.example", "a.example:443", "a.example.", "a.exampl", ""] {
            assert!(!is_host_of(&url, "https", other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn urls_have_one_form() {
        let written = |text: &str| {
            normalised(&reqwest::Url::parse(text).unwrap(), |path| {
                Some(path.to_owned())
            })
            .unwrap()
        };
        assert_eq!(
            written("HTTP://Example.COM:80/a?b=C"),
            "http://example.com/a?b=C"
        );
        assert_eq!(written("https://example.com:443"), "https://example.com/");
        assert_eq!(
            written("https://example.com:80/"),
            "https://example.com:80/"
        );
        assert_eq!(
            url("http", "Example.com:80", "/A", None).as_str(),
            "http://example.com/A"
        );
        assert_eq!(
            url("https", "[::1]:8443", "/", Some("")).as_str(),
            "https://[::1]:8443/?"
        );
        // What routes as the same name is the same, whatever the upstream is told.
        for (scheme, host) in [
            ("http", "a.example"),
            ("http", "A.example."),
            ("http", "a.example:"),
            ("http", "a.example.:80"),
            ("http", "a.example:0080"),
            ("https", "a.example:443"),
        ] {
            let found = url(scheme, host, "/x", None);
            assert_eq!(found.as_str(), format!("{scheme}://a.example/x"), "{host}");
        }
        for (host, port) in [("a.example.:01", ":1"), ("a.example:0", ":0")] {
            let found = url("http", host, "/", None);
            assert_eq!(found.as_str(), format!("http://a.example{port}/"), "{host}");
        }
        assert_eq!(url("http", "[::1]", "/", None).as_str(), "http://[::1]/");
        assert_eq!(written("https://a.example.:443/x"), "https://a.example/x");
        // As purges have it, which somebody writes.
        for query in ["n=O'Neil", "a=\"<>", "a=%27%20", "a=ä b", "a=b&c=d"] {
            let asked = url("http", "a.example", "/", Some(query));
            let purged = written(&format!("http://a.example/?{query}"));
            assert_eq!(asked.as_str(), purged, "{query}");
        }
    }
}
