//! The members of lists that proxies add to, from the last one on: whoever wrote the last ones is
//! nearest, and nothing in front of them changes how they are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pingora_http::RequestHeader;

/// Where a request came from, in the words of the proxy that got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) address: IpAddr,
    pub(super) scheme: Option<&'static str>,
}

impl Hop {
    /// A member of `X-Forwarded-For`; nothing where it is no address.
    pub(super) fn of_address(member: &[u8]) -> Option<Self> {
        Some(Self {
            address: address(member)?,
            scheme: None,
        })
    }

    /// An element of `Forwarded` (RFC 7239, 4); nothing where its `for` is missing or no address.
    pub(super) fn of_element(element: &[u8]) -> Option<Self> {
        let (mut node, mut proto) = (None, None);
        for pair in parts(element, b';').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&pair[..equals], unquoted(&pair[equals + 1..])?);
            let twice = if name.eq_ignore_ascii_case(b"for") {
                node.replace(value).is_some()
            } else if name.eq_ignore_ascii_case(b"proto") {
                proto.replace(value).is_some()
            } else {
                false
            };
            if twice {
                return None;
            }
        }
        Some(Self {
            address: address(node?)?,
            scheme: proto.and_then(scheme),
        })
    }
}

/// The members of a list that stands in one field or several, the last one first.
pub(super) fn members<'a>(
    head: &'a RequestHeader,
    name: &http::HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.headers.get_all(name).into_iter().rev();
    fields
        .flat_map(|field| parts(field.as_bytes(), b','))
        .filter(|member| !member.is_empty())
}

/// A scheme that is spoken here.
pub(super) fn scheme(told: &[u8]) -> Option<&'static str> {
    ["http", "https"]
        .into_iter()
        .find(|known| told.eq_ignore_ascii_case(known.as_bytes()))
}

/// The parts between separators that do not stand in quotes, the last one first.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let at = text.iter().enumerate().rev().find_map(|(at, byte)| {
            if *byte == b'"' && !(quoted && is_escaped(&text[..at])) {
                quoted = !quoted;
            }
            (*byte == separator && !quoted).then_some(at)
        });
        rest = at.map(|at| &text[..at]);
        Some(text[at.map_or(0, |at| at + 1)..].trim_ascii())
    })
}

/// Whether what follows this text in a quoted string is escaped.
fn is_escaped(before: &[u8]) -> bool {
    let slashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    slashes.count() % 2 == 1
}

/// A value without its quotes. What is escaped in it stays so: no address has such bytes.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', value @ .., b'"'] => Some(value),
        value => (!value.contains(&b'"')).then_some(value),
    }
}

/// An address: `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, the first and the last with or
/// without a port (RFC 7239, 6). Names and `unknown` are none.
fn address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        let address: Ipv6Addr = address.parse().ok().filter(|_| good)?;
        return Some(IpAddr::V6(address).to_canonical());
    }
    match node.split_once(':') {
        Some((address, port)) if !port.contains(':') => {
            let address: Ipv4Addr = address.parse().ok().filter(|_| is_port(port))?;
            Some(address.into())
        }
        _ => node
            .parse()
            .ok()
            .map(|address: IpAddr| address.to_canonical()),
    }
}

/// A port, or a word in its place that hides it (RFC 7239, 6.3).
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(word) => {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !word.is_empty() && word.bytes().all(good)
        }
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}
