//! The reply to what is no request at all: it reaches no route and no filter.

use std::time::{Duration, SystemTime};

use http::Method;
use pingora_core::protocols::http::date::get_cached_date;
use serde_json::json;

use super::connection::Peer;
use super::{Shared, request};
use crate::listen::http1::{Asked, Gate, Refused};
use crate::observe::access_log::{self, Entry, Target};
use crate::observe::metrics::Ended;

/// Answers, counts and logs what is no request. The connection ends with it.
pub(super) async fn answer(shared: &Shared, peer: &Peer, gate: &mut Gate, refused: &Refused) {
    let id = request::new_id(SystemTime::now());
    let asked = gate.asked();
    let is_head = (asked.as_ref()).is_some_and(|asked| asked.method == Method::HEAD);
    let reply = reply(refused, &id, is_head);
    tell(shared, peer, refused, asked, id);
    let patience: Duration = shared.live.load().settings.limits.client_write.into();
    // A client that does not read its reply goes without.
    let _ = tokio::time::timeout(patience, gate.write(&reply)).await;
}

/// The reply, without its content where the method is HEAD (RFC 9110, 9.3.2).
fn reply(refused: &Refused, id: &str, is_head: bool) -> Vec<u8> {
    let Refused {
        status,
        reason,
        detail,
    } = refused;
    let title = status.canonical_reason().unwrap_or("Unknown");
    let body = json!({
        "type": format!("urn:wiregate:{reason}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "instance": format!("urn:request:{id}"),
    });
    let body = format!("{body}\n");
    let length = body.len();
    let content = if is_head { "" } else { &body };
    let date = get_cached_date();
    let date = date.to_str().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {title}\r\ndate: {date}\r\ncontent-type: application/problem+json\r\n\
         cache-control: no-store\r\nx-request-id: {id}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{content}",
        status.as_u16(),
    )
    .into_bytes()
}

fn tell(shared: &Shared, peer: &Peer, refused: &Refused, asked: Option<Asked>, id: Box<str>) {
    let no_method = Method::from_bytes(b"-").unwrap_or_default();
    let metrics = &shared.live.load().unrouted;
    metrics.begin();
    metrics.end(&Ended {
        method: &no_method,
        status: Some(refused.status),
        error: Some(refused.reason),
        duration: None,
        received: 0,
        sent: 0,
    });
    let Some(log) = &**shared.access_log.load() else {
        return;
    };
    let ended = access_log::Ended {
        status: Some(refused.status),
        failed: true,
        duration: Duration::ZERO,
    };
    if !log.plan().takes(ended, None) {
        return;
    }
    let (method, target) = match asked {
        Some(Asked { method, target }) => (method, Target::new(&target)),
        None => (no_method, Target::default()),
    };
    log.write(Entry {
        target,
        status: Some(refused.status.as_u16()),
        error: Some(refused.reason),
        detail: Some(Entry::text(&refused.detail)),
        ..Entry::unserved(id, peer.address.ip(), method)
    });
}
