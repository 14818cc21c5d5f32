//! What trusted proxies say about where a request comes from: `X-Forwarded-*`, and `Forwarded`
//! (RFC 7239).

mod hops;

use std::net::IpAddr;

use http::{HeaderName, StatusCode};
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use wiregate_sdk::types::CidrSet;
use wiregate_sdk::{Client, Reply};

use super::connection::Peer;
use super::context::Context;
use super::forwarded::{FORWARDED, FORWARDED_FOR, FORWARDED_PROTO};
use crate::compile::Snapshot;
use crate::config::model::listener::TrustedFields;
use hops::{Hop, members};

/// Proxies that a request may have come through, at most.
const MOST_HOPS: usize = 32;

impl Context {
    /// Takes over what a trusted proxy says about who sent the request, and takes out what others
    /// say. It is done before a filter sees it, and before `Connection` can name a field away.
    ///
    /// # Errors
    /// A 400: the proxies' words do not tell who sent it. To go by the address of a proxy instead
    /// would give the client whatever the proxy may do.
    pub(super) fn settle_client(&mut self, session: &mut ServerSession) -> Result<(), Reply> {
        let Some(listening) = self.peer.trusted_by(&self.snapshot) else {
            distrust(session.req_header_mut(), |_| false);
            return Ok(());
        };
        let fields = listening.trusted_fields;
        distrust(session.req_header_mut(), |name| is_set_by(fields, name));
        let told = told(&listening.trusted, fields, session.req_header())
            .map_err(|unclear| unclear.reply())?;
        let client = &mut self.exchange.client;
        client.address = told.address.unwrap_or(client.address);
        client.scheme = told.scheme.unwrap_or(client.scheme);
        Ok(())
    }
}

/// Who has sent a request that is not to be served, as far as trusted proxies tell: where their words do
/// not, it is the connection's other end.
pub(super) fn sender(peer: &Peer, live: &Snapshot, head: &RequestHeader) -> Client {
    let mut client = peer.client();
    if let Some(listening) = peer.trusted_by(live)
        && let Ok(told) = told(&listening.trusted, listening.trusted_fields, head)
    {
        client.address = told.address.unwrap_or(client.address);
        client.scheme = told.scheme.unwrap_or(client.scheme);
    }
    client
}

/// Takes out what only a trusted proxy may say about where a request comes from, but for what one has
/// set, with what CGI, WSGI and PHP take for the same: `x_forwarded_for`, where fields with underscores
/// are kept.
pub(super) fn distrust(head: &mut RequestHeader, is_set: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = (head.headers.keys())
        .filter(|name| tells_where_from(name.as_str()) && !is_set(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        head.remove_header(&name);
    }
}

fn tells_where_from(name: &str) -> bool {
    if name.contains('_') {
        return tells_where_from(&name.replace('_', "-"));
    }
    is_x_forwarded(name) || name == FORWARDED.as_str()
}

fn is_x_forwarded(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == "x-real-ip"
}

/// Whether a proxy that sets these fields has set the one of this name, rather than its client. One with
/// an underscore it has not.
fn is_set_by(fields: TrustedFields, name: &str) -> bool {
    match fields {
        TrustedFields::XForwarded => is_x_forwarded(name) && !name.contains('_'),
        TrustedFields::XForwardedFor => name == FORWARDED_FOR.as_str(),
        TrustedFields::Rfc7239 => name == FORWARDED.as_str(),
    }
}

/// What trusted proxies say, as far as they say it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    address: Option<IpAddr>,
    scheme: Option<&'static str>,
}

/// Why nobody can tell where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unclear {
    /// A trusted proxy's word for the hop before it is no address.
    Hop(&'static str),
    /// All of so many hops are trusted proxies, and there are more.
    Many,
}

impl Unclear {
    fn reply(self) -> Reply {
        Reply::problem(StatusCode::BAD_REQUEST, "forwarded_for_invalid").detail(match self {
            Self::Hop(field) => format!("`{field}` does not tell the client's address"),
            Self::Many => format!("the request came through more than {MOST_HOPS} proxies"),
        })
    }
}

/// The client's address is the last one in the field that these proxies set that is not one of theirs.
/// The scheme is the one that was told along with it.
fn told(trusted: &CidrSet, fields: TrustedFields, head: &RequestHeader) -> Result<Told, Unclear> {
    if fields == TrustedFields::Rfc7239 {
        if !head.headers.contains_key(&FORWARDED) {
            return Ok(Told::default());
        }
        let hops = members(head, &FORWARDED).map(Hop::of_element);
        let (_, hop) = last_untrusted(trusted, hops, "forwarded")?;
        return Ok(Told {
            address: Some(hop.address),
            scheme: hop.scheme,
        });
    }
    let mut told = Told::default();
    let mut place = 0;
    if head.headers.contains_key(&FORWARDED_FOR) {
        let hops = members(head, &FORWARDED_FOR).map(Hop::of_address);
        let hop;
        (place, hop) = last_untrusted(trusted, hops, "x-forwarded-for")?;
        told.address = Some(hop.address);
    }
    if fields == TrustedFields::XForwarded {
        told.scheme = scheme(head, place);
    }
    Ok(told)
}

/// Goes back from the nearest hop to the first that is not trusted, or else to the first of all.
/// Returns how many stand behind it as well.
fn last_untrusted(
    trusted: &CidrSet,
    hops: impl Iterator<Item = Option<Hop>>,
    field: &'static str,
) -> Result<(usize, Hop), Unclear> {
    let mut found = None;
    for (place, hop) in hops.enumerate() {
        if place == MOST_HOPS {
            return Err(Unclear::Many);
        }
        let hop = hop.ok_or(Unclear::Hop(field))?;
        let trusted = trusted.contains(hop.address);
        found = Some((place, hop));
        if !trusted {
            break;
        }
    }
    found.ok_or(Unclear::Hop(field))
}

/// The scheme in `X-Forwarded-Proto` with this place from the end. Where there are fewer, not each
/// proxy added its own, and it is the first.
fn scheme(head: &RequestHeader, place: usize) -> Option<&'static str> {
    members(head, &FORWARDED_PROTO)
        .take(place + 1)
        .last()
        .and_then(hops::scheme)
}

#[cfg(test)]
mod tests;
