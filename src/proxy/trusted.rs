//! What trusted proxies say about where a request comes from: `X-Forwarded-*`, and `Forwarded`
//! (RFC 7239).

use std::net::IpAddr;

use http::HeaderName;
use pingora_http::RequestHeader;
use wiregate_sdk::types::CidrSet;

use super::forwarded::{FORWARDED, FORWARDED_FOR, FORWARDED_PROTO};

/// Proxies that a request may have come through, at most; those before are not looked at.
const MOST_HOPS: usize = 32;

/// Takes out what only a trusted proxy may say about where a request comes from. It is done before
/// a filter sees it.
pub(super) fn distrust(head: &mut RequestHeader) {
    let names: Vec<HeaderName> = (head.headers.keys())
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("x-forwarded-") || name == FORWARDED || name == "x-real-ip"
        })
        .cloned()
        .collect();
    for name in names {
        head.remove_header(&name);
    }
}

/// The client's address as trusted proxies tell it: the last one in `X-Forwarded-For`, or in
/// `Forwarded` where there is no such field, that is not a trusted proxy itself.
pub(super) fn client_address(trusted: &CidrSet, head: &RequestHeader) -> Option<IpAddr> {
    let fields = |name: &str| -> Vec<String> {
        (head.headers.get_all(name).iter())
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    };
    let told = fields(FORWARDED_FOR);
    if !told.is_empty() {
        let hops = told.iter().rev().flat_map(|field| field.rsplit(','));
        return last_untrusted(trusted, hops.map(|hop| hop.trim().parse().ok()));
    }
    let told = fields(FORWARDED);
    let elements: Vec<&str> = told.iter().flat_map(|field| split(field, ',')).collect();
    last_untrusted(trusted, elements.into_iter().rev().map(forwarded_for))
}

fn last_untrusted(trusted: &CidrSet, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
    let mut found = None;
    for hop in hops.take(MOST_HOPS) {
        let Some(address) = hop else {
            return found; // whoever wrote this is not to be believed further
        };
        found = Some(address);
        if !trusted.contains(address) {
            return found;
        }
    }
    found
}

/// The address in the `for` parameter of an element, without its port (RFC 7239, 6).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let node = parameter(element, "for")?;
    let node = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => node.split(':').next()?,
    };
    node.parse().ok()
}

fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    split(element, ';').into_iter().find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim_matches('"'))
    })
}

/// The parts between separators that do not stand in quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let here = c == separator && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        here
    })
    .collect()
}

/// The scheme that a trusted proxy tells.
pub(super) fn scheme(head: &RequestHeader) -> Option<&'static str> {
    let told = match head.headers.get(FORWARDED_PROTO) {
        Some(value) => value.to_str().ok()?,
        None => {
            let value = head.headers.get(FORWARDED)?.to_str().ok()?;
            parameter(split(value, ',').first()?, "proto")?
        }
    };
    match told {
        "https" => Some("https"),
        "http" => Some("http"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::forwarded::tests::head;

    fn trusted() -> CidrSet {
        [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn the_client_is_the_last_one_that_is_not_trusted() {
        for (fields, expected) in [
            (
                &[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.1")][..],
                Some("2.2.2.2"),
            ),
            (
                &[
                    ("x-forwarded-for", "10.0.0.2"),
                    ("x-forwarded-for", "10.0.0.1"),
                ],
                Some("10.0.0.2"),
            ),
            (
                &[("x-forwarded-for", "1.1.1.1, what, 10.0.0.1")],
                Some("10.0.0.1"),
            ),
            (
                &[(
                    "forwarded",
                    "for=1.1.1.1, for=\"[2001:db8::1]:99\";proto=https",
                )],
                Some("1.1.1.1"),
            ),
            (
                &[("forwarded", "for=3.3.3.3;by=\"a,b\", For=2.2.2.2:80")],
                Some("2.2.2.2"),
            ),
            (
                &[("forwarded", "for=1.1.1.1, for=_hidden, for=10.1.1.1")],
                Some("10.1.1.1"),
            ),
            (
                &[("x-forwarded-for", "4.4.4.4"), ("forwarded", "for=1.1.1.1")],
                Some("4.4.4.4"),
            ),
            (&[], None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(
                client_address(&trusted(), &head(fields)),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn what_a_client_says_of_its_way_is_taken_out() {
        let mut head = head(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-prefix", "/a"),
            ("x-real-ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-own", "1"),
        ]);
        distrust(&mut head);
        assert_eq!(head.headers.len(), 1);
        assert_eq!(head.headers["x-own"], "1");
    }
}
