//! Host patterns.

use std::fmt;
use std::str::FromStr;

use super::text::{from_text, shown};

/// Which hosts a route answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host, and requests that name none.
    Any,
    /// All names below a domain, at any depth, but not the domain itself. Holds the domain with
    /// its leading dot: `.example.com`.
    Below(Box<str>),
    /// One name or address; lower case.
    Exact(Box<str>),
}

impl HostPattern {
    /// Whether a host, lower case and without port, fits.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(domain) => {
                host.len() > domain.len() && host.ends_with(&**domain) && !host.starts_with('.')
            }
            Self::Exact(name) => host == &**name,
        }
    }
}

/// The domains above a host, each with its leading dot, longest first.
pub(super) fn domains(host: &str) -> impl Iterator<Item = &str> {
    let named = if host.starts_with('.') { "" } else { host };
    named.match_indices('.').map(|(at, _)| &named[at..])
}

/// A host as it is looked up: a name that ends in the dot of the root is the same name.
pub(super) fn trim(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = text.to_ascii_lowercase();
        let name = trim(&name);
        let wrong = |why: String| Err(format!("expected a host, found {}: {why}", shown(text)));
        if let Some(rest) = name.strip_prefix('[') {
            let (inner, after) = rest.split_once(']').unwrap_or((rest, "]"));
            return match (inner.parse::<std::net::Ipv6Addr>(), after) {
                (Ok(_), "") => Ok(Self::Exact(name.into())),
                (Ok(_), _) => wrong(format!("write `[{inner}]`")),
                (Err(_), _) => wrong("no IPv6 address is in the brackets".into()),
            };
        }
        if name.parse::<std::net::Ipv6Addr>().is_ok() {
            return wrong(format!("write `[{name}]`"));
        }
        if let Some((host, port)) = name.rsplit_once(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return wrong(format!("ports are ignored; write `{host}`"));
        }
        let domain = name.strip_prefix("*.").unwrap_or(name);
        if domain.contains('*') {
            return wrong("`*` stands for whole labels at the start, as in `*.example.com`".into());
        }
        if let Some(label) = domain.split('.').find(|label| !is_label(label)) {
            let label = shown(label);
            return wrong(format!(
                "{label} is no label; letters, digits, `-` and `_` make one"
            ));
        }
        Ok(match name.strip_prefix('*') {
            Some(domain) => Self::Below(domain.into()),
            None => Self::Exact(name.into()),
        })
    }
}

fn is_label(label: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty() && label.len() <= 63 && label.bytes().all(byte)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(domain) => write!(f, "*{domain}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

from_text!(HostPattern, {
    "type": "string",
    "description": "A host name, `*.` and a domain for all names below it, or `*` for every host. Ports are ignored.",
    "examples": ["api.example.com", "*.example.com"]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_wildcard_is_any_depth_but_not_the_domain() {
        let below = host("*.Example.com");
        assert!(below.matches("a.example.com"));
        assert!(below.matches("a.b.example.com"));
        for other in [
            "example.com",
            ".example.com",
            "badexample.com",
            "",
            "a.example.com.evil",
        ] {
            assert!(!below.matches(other), "{other}");
        }
        assert_eq!(below.to_string(), "*.example.com");
    }

    #[test]
    fn no_host_is_only_any() {
        assert!(host("*").matches(""));
        assert!(!host("a").matches(""));
        assert!(!host("*.a").matches(""));
    }

    #[test]
    fn names_and_addresses_are_exact() {
        assert!(host("API.example.com.").matches("api.example.com"));
        assert!(host("[::1]").matches("[::1]"));
        assert!(host("10.0.0.1").matches("10.0.0.1"));
        assert!(host("my_app").matches("my_app"));
    }

    #[test]
    fn domains_come_longest_first() {
        let all: Vec<_> = domains("a.b.example").collect();
        assert_eq!(all, [".b.example", ".example"]);
        assert_eq!(domains("localhost").count(), 0);
        assert_eq!(domains(".a.b").count(), 0);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("a.com:80", "ports are ignored; write `a.com`"),
            ("::1", "write `[::1]`"),
            ("[::1]:80", "write `[::1]`"),
            ("[::x]", "no IPv6 address is in the brackets"),
            ("a.*.com", "`*` stands for whole labels at the start"),
            ("*a.com", "`*` stands for whole labels at the start"),
            ("a..com", "`` is no label"),
            ("", "`` is no label"),
            ("http://a.com", "`http://a` is no label"),
            ("a b", "`a b` is no label"),
        ] {
            let error = text.parse::<HostPattern>().unwrap_err();
            assert!(error.starts_with("expected a host, found `"), "{error}");
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
