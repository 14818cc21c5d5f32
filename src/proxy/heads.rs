//! Heads without what Pingora keeps beside them.
//!
//! Pingora remembers how each field name was spelled, in a second map that every clone and every
//! edit pays for. Field names are case-insensitive (RFC 9110, 5.1): the map is let go of, and room
//! is made for the fields that the gateway adds. On HTTP/1.1 known names leave in their usual
//! spelling, others in lower case.

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode, response};
use pingora_http::{RequestHeader, ResponseHeader};
use wiregate_sdk::Reply;

/// What a response has for its own connection alone; `Connection` is the first.
static HOP_BY_HOP: [HeaderName; 4] = [
    header::CONNECTION,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// The fields that the gateway adds to a response: id, date, connection, `via`, and one more.
const ADDED_TO_RESPONSE: usize = 5;

/// Takes out the fields that `Connection` names: they are for this hop alone (RFC 9110, 7.6.1).
/// It is done before a filter runs, so that a client cannot have a filter's own field taken out on
/// its way to the upstream.
///
/// # Errors
/// A 400, where one of them is what frames or directs the request.
pub(super) fn settle_connection(head: &mut RequestHeader) -> Result<(), Reply> {
    settle_upgrade(head);
    let Some(value) = head.headers.get(header::CONNECTION) else {
        return Ok(());
    };
    let single = value.as_bytes();
    if single.eq_ignore_ascii_case(b"keep-alive") || single.eq_ignore_ascii_case(b"close") {
        let others = head.headers.get_all(header::CONNECTION).iter().count() > 1;
        if !others {
            return Ok(());
        }
    }
    let values = head.headers.get_all(header::CONNECTION);
    let all: Vec<u8> = values
        .iter()
        .flat_map(|value| [value.as_bytes(), b","].concat())
        .collect();
    let mut kept = Vec::new();
    for option in all.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if [&b"close"[..], b"keep-alive", b"upgrade"]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(option))
        {
            kept.push(option);
        } else if !option.is_empty() {
            drop_nominated(head, option)?;
        }
    }
    match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        Ok(value) if !kept.is_empty() => {
            let _ = head.insert_header(header::CONNECTION, value);
        }
        _ => drop(head.remove_header(&header::CONNECTION)),
    }
    Ok(())
}

/// Takes out the fields whose name has an underscore.
pub(super) fn drop_underscores(head: &mut RequestHeader) {
    let names = head.headers.keys();
    let dropped: Vec<HeaderName> = names
        .filter(|name| name.as_str().contains('_'))
        .cloned()
        .collect();
    for name in &dropped {
        head.remove_header(name);
    }
}

/// A request with a body asks for no other protocol: it would be open where the body ends and the
/// other protocol begins. A server may ignore `Upgrade` at any time (RFC 9110, 7.8).
fn settle_upgrade(head: &mut RequestHeader) {
    let has_body = head.headers.contains_key(header::TRANSFER_ENCODING)
        || (head.headers.get(header::CONTENT_LENGTH)).is_some_and(|length| length != "0");
    if has_body {
        head.remove_header(&header::UPGRADE);
    }
}

/// Takes out of a response what is for the hop from the endpoint alone: fields that `Connection`
/// names, and those that always are (RFC 9110, 7.6.1). What frames the response stays, whatever
/// `Connection` says.
pub(super) fn settle_response(head: &mut ResponseHeader) {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    // One look at the names is cheaper than a search for each of these, which few responses have.
    let mut present = [false; HOP_BY_HOP.len()];
    for name in head.headers.keys() {
        if let Some(at) = HOP_BY_HOP.iter().position(|hop| hop == name) {
            present[at] = true;
        }
    }
    if present[0] {
        drop_named(head);
    }
    for (name, _) in HOP_BY_HOP
        .iter()
        .zip(present)
        .filter(|(_, present)| *present)
    {
        head.remove_header(name);
    }
}

/// Takes out the fields that a response's `Connection` names.
fn drop_named(head: &mut ResponseHeader) {
    let values = head.headers.get_all(header::CONNECTION).iter();
    let named: Vec<HeaderName> = values
        .filter(|value| value != &"keep-alive" && value != &"close") // what nearly all say
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name))
        .collect();
    for name in &named {
        head.remove_header(name);
    }
}

fn drop_nominated(head: &mut RequestHeader, option: &[u8]) -> Result<(), Reply> {
    let refused =
        |detail: &str| Reply::problem(StatusCode::BAD_REQUEST, "http_request_error").detail(detail);
    let name = HeaderName::from_bytes(option)
        .map_err(|_| refused("`connection` holds what is no field name"))?;
    let essential = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    if essential.contains(&name) {
        return Err(refused(
            "`connection` names a field that must not be dropped",
        ));
    }
    head.remove_header(&name);
    Ok(())
}

/// Lightens a response head that says nothing of its own beside its status.
pub(super) fn lighten_response(head: &mut ResponseHeader) {
    if !head.has_case() || head.get_reason_phrase() != head.status.canonical_reason() {
        return;
    }
    let empty = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(std::mem::replace(head, empty));
    parts.headers.reserve(ADDED_TO_RESPONSE);
    *head = parts.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_for_this_hop_are_taken_out() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.append_header("Connection", "close, X-Own").unwrap();
        head.append_header("Connection", "x-other,,Upgrade")
            .unwrap();
        for name in ["X-Own", "X-Other", "X-Third"] {
            head.insert_header(name, "1").unwrap();
        }
        assert!(settle_connection(&mut head).is_ok());
        assert!(!head.headers.contains_key("x-own") && !head.headers.contains_key("x-other"));
        assert_eq!(head.headers["x-third"], "1");
        assert_eq!(head.headers["connection"], "close, Upgrade");

        for wrong in ["host", "Content-Length", "transfer-encoding, close", "a b"] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            head.insert_header("Connection", wrong).unwrap();
            let refused = settle_connection(&mut head).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn a_response_loses_what_was_for_its_hop() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.append_header("Connection", "close, X-Own").unwrap();
        head.append_header("Connection", "content-length,,a b")
            .unwrap();
        for name in [
            "X-Own",
            "Keep-Alive",
            "Proxy-Connection",
            "Upgrade",
            "X-Third",
        ] {
            head.insert_header(name, "1").unwrap();
        }
        head.insert_header("Content-Length", "0").unwrap();
        settle_response(&mut head);
        let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "x-third"]);

        let mut head = ResponseHeader::build(101, None).unwrap();
        head.insert_header("Connection", "upgrade").unwrap();
        head.insert_header("Upgrade", "websocket").unwrap();
        settle_response(&mut head);
        assert_eq!(head.headers.len(), 2);
    }

    #[test]
    fn a_body_leaves_no_room_for_another_protocol() {
        for (field, value, kept) in [
            ("content-length", "1", false),
            ("content-length", "0", true),
            ("transfer-encoding", "chunked", false),
            ("x-own", "1", true),
        ] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            head.insert_header("Upgrade", "websocket").unwrap();
            head.insert_header(field, value).unwrap();
            assert!(settle_connection(&mut head).is_ok());
            assert_eq!(head.headers.contains_key("upgrade"), kept, "{field}");
        }
    }

    #[test]
    fn a_reason_phrase_of_its_own_is_kept() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.set_reason_phrase(Some("Fine")).unwrap();
        lighten_response(&mut head);
        assert_eq!(head.get_reason_phrase(), Some("Fine"));

        head.set_reason_phrase(None).unwrap();
        head.insert_header("X-Own", "1").unwrap();
        lighten_response(&mut head);
        assert!(!head.has_case());
        assert_eq!(
            (head.status.as_u16(), &head.headers["x-own"]),
            (200, &"1".parse().unwrap())
        );
    }
}
