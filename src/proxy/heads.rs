//! Heads, without what is for one hop alone, and without what Pingora keeps beside them.
//!
//! Pingora remembers how each field name of an HTTP/1.1 response was spelled, in a second map that
//! every clone and every edit pays for. Field names are case-insensitive (RFC 9110, 5.1): the map
//! is let go of. On HTTP/1.1 known names leave in their usual spelling, others in lower case.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use pingora_core::upstreams::peer::HttpUpstreamRequestPolicy;
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;
use wiregate_sdk::{Reply, RequestHead, ResponseHead};

/// The field that carries the request's id in each response.
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a response has for its own connection alone; `Connection` is the first, and the last is what it
/// loses only with its trailers.
static HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
];

/// What a request has for one hop alone (RFC 9110, 7.6.1). What `Connection` names has gone at arrival.
static FOR_ONE_HOP: [HeaderName; 10] = [
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// What Pingora does to a request on its way to an endpoint: it takes out what is for one hop alone, and settles
/// upgrades. Its dozen searches are spared where one look at the names shows that there is nothing of that.
pub(super) fn policy_for(head: &RequestHeader) -> HttpUpstreamRequestPolicy {
    match head.headers.keys().any(|name| FOR_ONE_HOP.contains(name)) {
        true => HttpUpstreamRequestPolicy::standard(),
        false => HttpUpstreamRequestPolicy::preserve(),
    }
}

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

/// Takes out of a request what is for one hop alone.
pub(super) fn drop_for_one_hop(head: &mut RequestHeader) {
    // One look at what there is costs less than a search for each of these, which few requests have.
    let there: SmallVec<[HeaderName; 4]> = (head.headers.keys())
        .filter(|name| FOR_ONE_HOP.contains(name))
        .cloned()
        .collect();
    for name in &there {
        head.remove_header(name);
    }
}

/// Only a GET asks for another protocol (RFC 6455, 4.1), and one whose `Connection` says so: `Upgrade` alone may
/// have come through a proxy that does not know it, and carries others' requests over its connection (RFC 9110,
/// 7.8). Nor does a request with a body: it would be open where the body ends and the other protocol begins. A
/// server may ignore `Upgrade` at any time.
fn settle_upgrade(head: &mut RequestHeader) {
    if !head.headers.contains_key(header::UPGRADE) {
        return;
    }
    let has_body = head.headers.contains_key(header::TRANSFER_ENCODING)
        || (head.headers.get(header::CONTENT_LENGTH)).is_some_and(|length| length != "0");
    let mut options = (head.headers.get_all(header::CONNECTION).iter())
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_meant = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    if has_body || !is_meant || head.method != Method::GET {
        head.remove_header(&header::UPGRADE);
    }
}

/// Takes a request's head out of its place, to be edited as plain parts: through Pingora's own edits
/// each name is read anew. [`put_request`] brings it back.
pub(super) fn take_request(head: &mut RequestHeader) -> RequestHead {
    let mut empty = RequestHeader::from(Request::new(()).into_parts().0);
    if let Some(ends) = head.send_end_stream() {
        // It is told of HTTP/2 alone.
        empty.set_version(head.version);
        empty.set_send_end_stream(ends);
    }
    std::mem::replace(head, empty).into()
}

/// Puts a head back into the place that it was taken from.
pub(super) fn put_request(head: &mut RequestHeader, parts: RequestHead) {
    let ends = head.send_end_stream();
    *head = parts.into();
    if let Some(ends) = ends {
        head.set_send_end_stream(ends);
    }
}

/// Edits a request's head as plain parts.
pub(super) fn edit_request<T>(
    head: &mut RequestHeader,
    edit: impl FnOnce(&mut RequestHead) -> T,
) -> T {
    let mut parts = take_request(head);
    let edited = edit(&mut parts);
    put_request(head, parts);
    edited
}

/// A response's head, taken out of its place to be edited as plain parts.
pub(super) struct TakenResponse {
    /// The head.
    pub(super) parts: ResponseHead,
    /// The status with a reason phrase of its own, which the parts have no room for.
    reason: Option<(StatusCode, Option<String>)>,
}

impl TakenResponse {
    /// Takes a head out of its place.
    pub(super) fn of(head: &mut ResponseHeader) -> Self {
        let (status, reason) = (head.status, head.get_reason_phrase());
        let own = reason != status.canonical_reason();
        let reason = own.then(|| (status, reason.map(str::to_owned)));
        let parts = std::mem::replace(head, without_fields(status)).into();
        Self { parts, reason }
    }

    /// Puts it back. A reason phrase of its own stays with its status.
    pub(super) fn put(self, head: &mut ResponseHeader) {
        *head = self.parts.into();
        if let Some((status, reason)) = self.reason
            && status == head.status
        {
            // It was in a head before.
            let _ = head.set_reason_phrase(reason.as_deref());
        }
    }
}

/// A head that has none of Pingora's own.
impl From<ResponseHead> for TakenResponse {
    fn from(parts: ResponseHead) -> Self {
        Self {
            parts,
            reason: None,
        }
    }
}

/// A head with no fields, which takes no memory for any.
pub(super) fn without_fields(status: StatusCode) -> ResponseHeader {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response.into_parts().0.into()
}

/// Edits a response's head as plain parts.
pub(super) fn edit_response<T>(
    head: &mut ResponseHeader,
    edit: impl FnOnce(&mut ResponseHead) -> T,
) -> T {
    let mut taken = TakenResponse::of(head);
    let edited = edit(&mut taken.parts);
    taken.put(head);
    edited
}

/// Takes out of a response what is for the hop from the endpoint alone: fields that `Connection`
/// names, and those that always are (RFC 9110, 7.6.1). What frames the response stays, whatever
/// `Connection` says. Then says that the response came through here. Whether it keeps its `trailers` is
/// the caller's to know.
pub(super) fn settle_response(head: &mut ResponseHead, trailers: bool) {
    let via = via_of(head.version);
    if head.version < Version::HTTP_11 {
        // Each hop has a version of its own (RFC 9110, 2.5), and chunks may follow.
        head.version = Version::HTTP_11;
    }
    let fields = &mut head.headers;
    let switched = (head.status == StatusCode::SWITCHING_PROTOCOLS)
        .then(|| fields.remove(header::UPGRADE))
        .flatten();
    let wants_websocket = head.status == StatusCode::UPGRADE_REQUIRED && offers_websocket(fields);
    // Often as many as are added.
    drop_hop_by_hop(fields, trailers);
    if let Some(protocol) = switched {
        // It has no body, and the next hop switches as well (RFC 9110, 7.8; RFC 9112, 6.1).
        fields.remove(header::CONTENT_LENGTH);
        fields.remove(header::TRANSFER_ENCODING);
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(header::UPGRADE, protocol);
    }
    if wants_websocket {
        // It is a 426 only with the protocol that it asks for (RFC 9110, 15.5.22), which may pass here.
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    fields.append(header::VIA, via);
}

/// The same for an interim response, which nothing frames (RFC 9112, 6.1).
pub(super) fn settle_interim(head: &mut ResponseHeader) {
    let via = via_of(head.version);
    edit_response(head, |head| {
        drop_hop_by_hop(&mut head.headers, false);
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.append(header::VIA, via);
    });
}

/// What this gateway calls itself after a message of a version (RFC 9110, 7.6.3).
pub(super) fn via_of(version: Version) -> HeaderValue {
    static OLD: HeaderValue = HeaderValue::from_static("1.0 wiregate");
    static USUAL: HeaderValue = HeaderValue::from_static("1.1 wiregate");
    static NEW: HeaderValue = HeaderValue::from_static("2 wiregate");
    let via = match version {
        Version::HTTP_2 => &NEW,
        Version::HTTP_10 => &OLD,
        _ => &USUAL,
    };
    via.clone()
}

/// Whether `websocket` is among the protocols that a response offers.
fn offers_websocket(fields: &HeaderMap) -> bool {
    let lines = fields.get_all(header::UPGRADE).iter();
    let mut offered = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    offered.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

fn drop_hop_by_hop(fields: &mut HeaderMap, trailers: bool) {
    // One look at the names is cheaper than a search for each of these, which few responses have.
    let mut present = [false; HOP_BY_HOP.len()];
    for name in fields.keys() {
        if let Some(at) = HOP_BY_HOP.iter().position(|hop| hop == name) {
            present[at] = true;
        }
    }
    if present[0] {
        for name in &named(fields) {
            fields.remove(name);
        }
    }
    if trailers {
        present[HOP_BY_HOP.len() - 1] = false;
    }
    for (name, _) in (HOP_BY_HOP.iter().zip(present)).filter(|(_, present)| *present) {
        fields.remove(name);
    }
}

/// Takes out of a response from an endpoint what its `Connection` names, before anybody looks at it: it is for that hop
/// alone (RFC 9110, 7.6.1).
pub(super) fn drop_named_of(head: &mut ResponseHeader) {
    for name in &named(&head.headers) {
        head.remove_header(name);
    }
}

/// The fields that a response's `Connection` names.
fn named(fields: &HeaderMap) -> Vec<HeaderName> {
    let mut named = Vec::new();
    // One look at the names is cheaper than a search.
    let values = fields
        .iter()
        .filter(|(name, _)| *name == header::CONNECTION);
    for (_, value) in values {
        if value == "keep-alive" || value == "close" {
            continue; // what nearly all say
        }
        let names = value.as_bytes().split(|byte| *byte == b',');
        let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
        let frames = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        named.extend(names.filter(|name| !frames.contains(name)));
    }
    named
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

#[cfg(test)]
mod tests;
