//! Which origins are meant, and whether one is among them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::Ipv6Addr;

use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::{Deserialize, HeaderMap, HeaderValue, JsonSchema, header};

/// An origin (RFC 6454, 6.2) such as `https://app.example.com`; `https://*.example.com` for all
/// hosts below a domain, at any depth; `http://localhost:*` for any port; `*` for all origins.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(crate = "wiregate_sdk::serde", try_from = "String")]
pub(super) enum Pattern {
    Any,
    Exact(Box<str>),
    Wild(Wild),
}

/// A pattern with a `*` in its host, its port, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wild {
    /// With its `://`.
    scheme: Box<str>,
    /// Where `below`, a suffix with its dot.
    host: Box<str>,
    below: bool,
    /// With its colon; empty for the scheme's own port, `None` for any.
    port: Option<Box<str>>,
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "OriginPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An origin, one with `*` for whole labels or the port, or `*` for all.",
            "pattern": r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+)$",
            "examples": ["https://app.example.com", "https://*.example.com", "http://localhost:*"]
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        parse(&text.to_ascii_lowercase()).map_err(|why| {
            let expected = "expected an origin such as `https://app.example.com`, \
                            `https://*.example.com` or `*`";
            format!("{expected}, found `{}`{why}", text.escape_debug())
        })
    }
}

fn parse(text: &str) -> Result<Pattern, &'static str> {
    if text == "null" {
        return Err(", which any page can send");
    }
    let (scheme, rest) = text.split_once("://").ok_or("")?;
    let in_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(in_scheme) {
        return Err("");
    }
    if rest.contains(['/', '?', '#', '@']) {
        return Err(": an origin is scheme, host and port only, without a slash at its end");
    }
    let (host, port) = split_port(rest);
    let port = match (scheme, port.strip_prefix(':')) {
        (_, None) | ("http", Some("80")) | ("https", Some("443")) => Some(String::new()),
        (_, Some("*")) => None,
        (_, Some(number)) => {
            let number: u16 = number.parse().map_err(|_| ", whose port is none")?;
            Some(format!(":{number}"))
        }
    };
    let (host, below) = match host.strip_prefix('*') {
        Some(suffix) => (Cow::Borrowed(suffix), true),
        None => (canonical(host)?, false),
    };
    if below && !host.strip_prefix('.').is_some_and(is_host) {
        return Err(": `*` stands for whole labels before a domain");
    }
    let scheme = format!("{scheme}://");
    Ok(match (below, port) {
        (false, Some(port)) => Pattern::Exact(format!("{scheme}{host}{port}").into()),
        (below, port) => Pattern::Wild(Wild {
            scheme: scheme.into(),
            host: host.into(),
            below,
            port: port.map(Into::into),
        }),
    })
}

/// The host as browsers write it.
fn canonical(host: &str) -> Result<Cow<'_, str>, &'static str> {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address: Ipv6Addr = address.parse().map_err(|_| ", whose address is none")?;
        return Ok(format!("[{address}]").into());
    }
    if !host.is_ascii() {
        return Err(": browsers write such a host as `xn--…`");
    }
    is_host(host).then_some(host.into()).ok_or("")
}

/// Whether this is one or more labels.
fn is_host(text: &str) -> bool {
    let in_label = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    text.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(in_label))
}

/// Splits what follows `://` into the host and the port with its colon.
fn split_port(rest: &str) -> (&str, &str) {
    match rest.rfind([':', ']']) {
        Some(at) if rest.as_bytes()[at] == b':' => rest.split_at(at),
        _ => (rest, ""),
    }
}

impl Wild {
    /// Whether all hosts below a domain are meant of which nothing says that it is one owner's:
    /// those of `https://*.com`.
    pub(super) fn is_boundless(&self) -> bool {
        self.below && !self.host[1..].contains('.') && *self.host != *".localhost"
    }

    fn matches(&self, origin: &str) -> bool {
        let Some(rest) = origin.strip_prefix(&*self.scheme) else {
            return false;
        };
        let (host, port) = split_port(rest);
        let port_matches = match &self.port {
            Some(own) => port == &**own,
            None => port.is_empty() || port[1..].parse::<u16>().is_ok(),
        };
        let host_matches = if self.below {
            host.strip_suffix(&*self.host).is_some_and(is_host)
        } else {
            host == &*self.host
        };
        port_matches && host_matches
    }
}

/// The origins of a configuration, to be looked up.
pub(super) enum Origins {
    /// Every one, without credentials.
    Any,
    /// Those that were written.
    Listed {
        exact: HashSet<Box<str>>,
        wild: Vec<Wild>,
    },
}

impl Origins {
    pub(super) fn new(patterns: &[Pattern]) -> Self {
        let mut exact = HashSet::new();
        let mut wild = Vec::new();
        for pattern in patterns {
            match pattern {
                Pattern::Any => return Self::Any,
                Pattern::Exact(origin) => _ = exact.insert(origin.clone()),
                Pattern::Wild(pattern) => wild.push(pattern.clone()),
            }
        }
        Self::Listed { exact, wild }
    }

    /// The value of `access-control-allow-origin` for a request with these fields, where it is
    /// to be had.
    ///
    /// What is allowed to all does not depend on the request, so that a cache may give a response
    /// without an origin to a request with one.
    pub(super) fn allow(&self, asked: &HeaderMap) -> Option<HeaderValue> {
        let (exact, wild) = match self {
            Self::Any => return Some(HeaderValue::from_static("*")),
            Self::Listed { exact, wild } => (exact, wild),
        };
        let mut values = asked.get_all(header::ORIGIN).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let origin = value.to_str().ok()?;
        let found = exact.contains(origin) || wild.iter().any(|wild| wild.matches(origin));
        found.then(|| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text.to_owned()).unwrap()
    }

    fn allows(text: &str, origin: &str) -> bool {
        let mut asked = HeaderMap::new();
        asked.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        let allowed = Origins::new(&[pattern(text)]).allow(&asked);
        if let Some(allowed) = &allowed {
            assert!(allowed == origin || allowed == "*");
        }
        allowed.is_some()
    }

    #[test]
    fn an_exact_origin_is_that_one_only() {
        let own = "https://app.example.com";
        assert!(allows(own, own));
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://example.com",
            "https://app.example.com/",
            "null",
            "",
        ] {
            assert!(!allows(own, other), "{other}");
        }
    }

    #[test]
    fn writes_origins_as_browsers_do() {
        for (written, sent) in [
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://a.test:80", "http://a.test"),
            ("http://a.test:08080", "http://a.test:8080"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(pattern(written), Pattern::Exact(sent.into()), "{written}");
        }
    }

    #[test]
    fn a_wildcard_is_any_host_below_at_any_depth() {
        let below = "https://*.example.com";
        assert!(allows(below, "https://a.example.com"));
        assert!(allows(below, "https://a.b.c.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "https://a..example.com",
            "https://a.example.com:8443",
            "http://a.example.com",
            "https://evil.test/.example.com",
            "https://evil.test?.example.com",
            "https://evil.test#.example.com",
            "https://user@a.example.com",
            "https://evil.test:80.example.com",
            "https://a.example.com.evil.test",
        ] {
            assert!(!allows(below, other), "{other}");
        }
    }

    #[test]
    fn a_port_may_be_any() {
        for origin in ["http://localhost", "http://localhost:3000"] {
            assert!(allows("http://localhost:*", origin), "{origin}");
        }
        for other in [
            "http://localhost:",
            "http://localhost:x",
            "http://localhost:99999",
            "http://a.localhost:1",
        ] {
            assert!(!allows("http://localhost:*", other), "{other}");
        }
        assert!(allows("https://*.a.test:*", "https://b.a.test:1"));
        assert!(allows("https://*.a.test:8443", "https://b.a.test:8443"));
        assert!(!allows("https://*.a.test:8443", "https://b.a.test"));
        assert!(allows("http://[::1]:*", "http://[::1]"));
        assert!(allows("http://[::1]:*", "http://[::1]:80"));
    }

    #[test]
    fn two_origins_are_none() {
        let mut asked = HeaderMap::new();
        let own = HeaderValue::from_static("https://a.test");
        asked.append(header::ORIGIN, own.clone());
        asked.append(header::ORIGIN, own);
        assert!(
            Origins::new(&[pattern("https://a.test")])
                .allow(&asked)
                .is_none()
        );
        assert!(Origins::new(&[pattern("*")]).allow(&asked).is_some());
    }

    #[test]
    fn only_a_domain_of_ones_own_is_bounded() {
        let boundless = |text| matches!(pattern(text), Pattern::Wild(wild) if wild.is_boundless());
        assert!(boundless("https://*.com"));
        assert!(!boundless("https://*.example.com"));
        assert!(!boundless("http://*.localhost:3000"));
        assert!(!boundless("http://localhost:*"));
    }

    #[test]
    fn says_what_it_expects() {
        let wrong = |text: &str| Pattern::try_from(text.to_owned()).unwrap_err();
        let expected = "expected an origin such as `https://app.example.com`, \
                        `https://*.example.com` or `*`, found";
        assert_eq!(wrong("example.com"), format!("{expected} `example.com`"));
        assert_eq!(
            wrong("null"),
            format!("{expected} `null`, which any page can send")
        );
        for (text, why) in [
            ("https://a.test/", "without a slash at its end"),
            ("https://a.test/x", "scheme, host and port only"),
            ("https://u@a.test", "scheme, host and port only"),
            ("https://*", "whole labels"),
            ("https://*a.test", "whole labels"),
            ("https://*.", "whole labels"),
            ("https://*.*.test", "whole labels"),
            ("https://bücher.test", "`xn--…`"),
            ("https://a.test:99999", "port"),
            ("https://a.test:", "port"),
            ("http://[::x]", "address"),
        ] {
            assert!(wrong(text).contains(why), "{}", wrong(text));
        }
        for text in [
            "",
            "://a",
            "1a://b",
            "https://",
            "https://a..b",
            "https://a.*.test",
            "*://a.test",
            "a b://c",
        ] {
            assert!(Pattern::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
