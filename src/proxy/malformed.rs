//! What is no request at all.
//!
//! Pingora answers a head that it cannot parse by itself, before any hook, with a bare 400. The
//! connection tells this piece from all others, since no exchange is under way, and writes the
//! gateway's own reply in its place; the conversation then counts and logs it.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use serde_json::json;

use super::connection::Peer;
use super::{Shared, request};
use crate::observe::access_log::{Entry, Target};

/// How Pingora's own answer begins.
const BARE: &[u8] = b"HTTP/1.1 400 ";
const REASON: &str = "http_request_error";

/// The id of the reply to what was no request; a connection ends with it.
#[derive(Debug, Default)]
pub(super) struct Malformed(OnceLock<Box<str>>);

impl Malformed {
    /// The reply in place of these bytes, where they are Pingora's own answer.
    pub(super) fn instead_of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !bytes.starts_with(BARE) {
            return None;
        }
        let id = self.0.get_or_init(|| request::new_id(SystemTime::now()));
        let body = json!({
            "type": format!("urn:wiregate:{REASON}"),
            "title": "Bad Request",
            "status": 400,
            "detail": "this is no valid HTTP request",
            "instance": format!("urn:request:{id}"),
        });
        let body = format!("{body}\n");
        let reply = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
             cache-control: no-store\r\nx-request-id: {id}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        Some(reply.into_bytes())
    }

    /// Counts and logs it, where there was one.
    pub(super) fn tell(&self, shared: &Shared, peer: &Peer) {
        let Some(id) = self.0.get() else {
            return;
        };
        let no_method = Method::from_bytes(b"-").unwrap_or_default();
        let status = StatusCode::BAD_REQUEST;
        let metrics = &shared.live.load().unrouted;
        metrics.begin();
        metrics.end(&no_method, Some(status), Duration::ZERO);
        if let Some(log) = &**shared.access_log.load() {
            log.write(Entry {
                time: SystemTime::now(),
                request_id: id.clone(),
                client: peer.address.ip(),
                method: no_method,
                target: Target::default(),
                host: None,
                protocol: "HTTP/1.1",
                route: None,
                upstream: None,
                endpoint: None,
                status: Some(status.as_u16()),
                bytes_in: 0,
                bytes_out: 0,
                duration: Duration::ZERO,
                upstream_time: None,
                attempts: 0,
                identity: None,
                refused_by: None,
                error: Some(REASON),
                detail: None,
            });
        }
    }
}
