//! Fields that tell about the way of a message: `X-Forwarded-*`, `Forwarded` (RFC 7239), `Via` and
//! `Max-Forwards` (RFC 9110, 7.6), and those that are for one hop alone.

use std::net::IpAddr;

use http::header::{self, Entry, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use pingora_error::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use wiregate_sdk::Reply;

use super::context::Context;
use super::heads;
use crate::config::model::Forwarded;
use crate::config::model::listener::TrustedFields;

pub(super) static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static FORWARDED: HeaderName = header::FORWARDED;
/// A request that has come through so many gateways of this name goes round in circles.
const MOST_ROUNDS: usize = 8;
/// The methods that `Allow` names where the gateway answers by itself.
pub(super) const ALLOW: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");

/// Answers or counts down a TRACE or OPTIONS that may only go so far (RFC 9110, 7.6.2), and stops
/// a request that goes round in circles.
///
/// # Errors
/// The gateway's answer.
pub(super) fn limit_hops(head: &mut RequestHeader) -> Result<(), Reply> {
    let rounds = (head.headers.get_all(header::VIA).iter())
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter(|hop| hop.trim_ascii_end().ends_with(b" wiregate"))
        .count();
    if rounds > MOST_ROUNDS {
        return Err(
            Reply::problem(StatusCode::BAD_GATEWAY, "proxy_loop_detected")
                .detail(format!("the request came through {rounds} gateways")),
        );
    }
    let limited = head.method == Method::OPTIONS || head.method == Method::TRACE;
    let Some(value) = head.headers.get(header::MAX_FORWARDS).filter(|_| limited) else {
        return Ok(());
    };
    let digits = value.to_str().unwrap_or("").trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            Reply::problem(StatusCode::BAD_REQUEST, "http_request_error")
                .detail("`max-forwards` is no number"),
        );
    }
    // What does not fit is more hops than there are.
    let left = digits.parse().unwrap_or(u32::MAX);
    if left == 0 {
        return Err(own_answer(&head.method));
    }
    let _ = head.insert_header(header::MAX_FORWARDS, left - 1);
    Ok(())
}

/// So many fields are added, as a rule.
const ADDED: usize = 4;

/// The gateway is the last to get this request.
fn own_answer(method: &Method) -> Reply {
    if method == Method::OPTIONS {
        return Reply::new(StatusCode::NO_CONTENT).header(header::ALLOW, ALLOW);
    }
    // To send a request back shows what proxies have put into it.
    Reply::problem(StatusCode::METHOD_NOT_ALLOWED, "http_request_denied")
        .detail("TRACE is not answered here")
        .header(header::ALLOW, ALLOW)
}

impl Context {
    /// Tells an endpoint who asked, and through what: what a trusted proxy said is kept and added
    /// to. Where it said so in the other kind of field, the list begins with the client.
    pub(super) fn forwarded(&self, fields: &mut HeaderMap) -> Result<()> {
        fields.reserve(ADDED); // once for all
        let which = self.snapshot.settings.forwarded;
        if which != Forwarded::Rfc7239 {
            self.x_forwarded(fields)?;
        }
        if which != Forwarded::XForwarded {
            let client = &self.exchange.client;
            if !fields.contains_key(&FORWARDED)
                && self.was_told(|fields| fields != TrustedFields::Rfc7239)
            {
                let element = format!("for={};proto={}", node(client.address), client.scheme);
                add(fields, &FORWARDED, &value_of(element.as_bytes())?)?;
            }
            add(fields, &FORWARDED, &value_of(&self.forwarded_element())?)?;
        }
        add(fields, &header::VIA, &heads::via_of(self.version))
    }

    fn x_forwarded(&self, fields: &mut HeaderMap) -> Result<()> {
        if !fields.contains_key(&FORWARDED_FOR)
            && self.was_told(|fields| fields == TrustedFields::Rfc7239)
        {
            let address = self.exchange.client.address.to_canonical().to_string();
            add(fields, &FORWARDED_FOR, &value_of(address.as_bytes())?)?;
        }
        add(fields, &FORWARDED_FOR, &self.peer.forwarded_for)?;
        (fields.entry(&FORWARDED_PROTO))
            .or_insert_with(|| HeaderValue::from_static(self.exchange.client.scheme));
        if let Some(host) = self.asked_host.as_ref().filter(|host| !host.is_empty()) {
            (fields.entry(&FORWARDED_HOST)).or_insert_with(|| host.clone());
        }
        Ok(())
    }

    /// Whether a trusted proxy has told the client's address, in fields of this kind.
    fn was_told(&self, is_kind: impl Fn(TrustedFields) -> bool) -> bool {
        let client = &self.exchange.client;
        client.address != client.peer
            && (self.peer.trusted_by(&self.snapshot))
                .is_some_and(|listening| is_kind(listening.trusted_fields))
    }

    fn forwarded_element(&self) -> Vec<u8> {
        let mut element = format!("for={}", node(self.exchange.client.peer)).into_bytes();
        if let Some(host) = self.asked_host.as_ref().filter(|host| !host.is_empty()) {
            element.extend_from_slice(b";host=\"");
            for byte in host.as_bytes() {
                if matches!(byte, b'"' | b'\\') {
                    element.push(b'\\');
                }
                element.push(*byte);
            }
            element.push(b'"');
        }
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(self.exchange.client.scheme.as_bytes());
        element
    }
}

/// An address, as `Forwarded` has it (RFC 7239, 6).
fn node(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

/// Adds a member to a list that stands in one field or several.
fn add(fields: &mut HeaderMap, name: &HeaderName, member: &HeaderValue) -> Result<()> {
    let mut there = match fields.entry(name) {
        Entry::Vacant(place) => {
            place.insert(member.clone());
            return Ok(());
        }
        Entry::Occupied(there) => there,
    };
    let mut list = Vec::new();
    for value in there.iter() {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member.as_bytes());
    there.insert(value_of(&list)?);
    Ok(())
}

fn value_of(text: &[u8]) -> Result<HeaderValue> {
    HeaderValue::from_bytes(text).or_err(ErrorType::InvalidHTTPHeader, "no value of a field")
}

/// The host that the client asks for, with its port.
pub(super) fn asked_host(head: &RequestHeader) -> Option<HeaderValue> {
    if let Some(host) = head.headers.get(header::HOST) {
        return Some(host.clone());
    }
    HeaderValue::from_str(head.uri.authority()?.as_str()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::proxy) fn head(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn hops_are_counted_down_for_trace_and_options_only() {
        let ask = |method: &str, value: &str| {
            let mut head = head(&[("max-forwards", value)]);
            head.set_method(Method::from_bytes(method.as_bytes()).unwrap());
            let answer = limit_hops(&mut head)
                .err()
                .map(|reply| reply.status.as_u16());
            (
                answer,
                head.headers["max-forwards"].to_str().unwrap().to_owned(),
            )
        };
        assert_eq!(ask("OPTIONS", "3"), (None, "2".to_owned()));
        assert_eq!(ask("TRACE", "1"), (None, "0".to_owned()));
        assert_eq!(ask("OPTIONS", "0").0, Some(204));
        assert_eq!(ask("TRACE", "0").0, Some(405));
        assert_eq!(ask("OPTIONS", "-1").0, Some(400));
        assert_eq!(ask("GET", "0"), (None, "0".to_owned()));
        let many = ask("TRACE", "99999999999999999999");
        assert_eq!(many, (None, (u32::MAX - 1).to_string()));
    }

    #[test]
    fn a_request_that_goes_round_is_stopped() {
        let mut round = head(&[("via", "1.1 wiregate, 1.1 other"), ("via", "2 wiregate")]);
        assert!(limit_hops(&mut round).is_ok());
        let mut round = head(&[("via", &["1.1 wiregate"; 9].join(", "))]);
        assert_eq!(limit_hops(&mut round).unwrap_err().status.as_u16(), 502);
    }
}
