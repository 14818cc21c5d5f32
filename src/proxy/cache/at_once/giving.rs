//! A response that is given at once: its head, and what is told of it.

use std::time::Duration;

use http::{HeaderName, Method, header};
use smallvec::{SmallVec, smallvec};

use super::super::super::conversation::Conversation;
use super::super::super::heads::REQUEST_ID;
use super::Known;
use crate::cache::Dealt;
use crate::cache::rules::reuse;
use crate::cache::rules::status::{CACHE_STATUS, Told};
use crate::compile::Route;
use crate::observe::access_log;
use crate::observe::metrics::{Ended, LinkMetrics};

impl Known {
    fn route(&self) -> &Route {
        &self.snapshot.routes[self.route]
    }

    pub(super) fn put_head(&self, id: &str, closes: bool, out: &mut Vec<u8>) {
        let (meta, now) = (self.entry.meta(), self.now.wall);
        let status = meta.head.status;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        let mut others: SmallVec<[&HeaderName; 3]> = smallvec![&header::AGE, &REQUEST_ID];
        others.extend(&self.policy.tags);
        meta.head.put_without(&others, out);
        let mut number = itoa::Buffer::new();
        let age = reuse::age(&meta.times, now).as_secs();
        put("Age", number.format(age).as_bytes(), out);
        let length = self.entry.small_body().map_or(0, <[u8]>::len);
        put("Content-Length", number.format(length).as_bytes(), out);
        if self.policy.tells {
            out.extend_from_slice(CACHE_STATUS.as_str().as_bytes());
            out.extend_from_slice(b": ");
            let ttl = reuse::ttl(&self.entry, now);
            Told::Hit { ttl, why: None }.put(out);
            out.extend_from_slice(b"\r\n");
        }
        put(REQUEST_ID.as_str(), id.as_bytes(), out);
        if closes {
            put("Connection", b"close", out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn put(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A response that is on its way; dropped, everyone who wants to know is told how that has ended.
pub(super) struct Giving<'a> {
    conversation: &'a Conversation,
    pub(super) known: Known,
    id: Option<Box<str>>,
    pub(super) sent: u64,
    pub(super) error: Option<&'static str>,
}

impl<'a> Giving<'a> {
    pub(super) fn begin(conversation: &'a Conversation, known: Known, id: &str) -> Self {
        let route = known.route();
        route.metrics.begin();
        route.link_metrics.iter().for_each(LinkMetrics::ran);
        Self {
            conversation,
            id: known.logged.as_ref().map(|_| id.into()),
            known,
            sent: 0,
            error: Some("connection_terminated"),
        }
    }

    fn log(&mut self, duration: Duration) {
        let (Some(logged), Some(id)) = (self.known.logged.take(), self.id.take()) else {
            return;
        };
        let status = self.known.entry.meta().head.status;
        let ended = access_log::Ended {
            status: Some(status),
            failed: self.error.is_some(),
            duration,
        };
        let log = (*logged.log).as_ref();
        let Some(log) = log.filter(|log| log.plan().takes(ended, None)) else {
            return;
        };
        let client = self.conversation.peer.address.ip();
        log.write(access_log::Entry {
            time: self.known.now.wall,
            target: logged.target,
            host: Some(logged.host),
            route: Some(self.known.route().name.clone()),
            status: Some(status.as_u16()),
            bytes_out: self.sent,
            duration,
            cache: Some(Dealt::Hit.word()),
            error: self.error,
            ..access_log::Entry::unserved(id, client, Method::GET)
        });
    }
}

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        let duration = self.conversation.shared.clock.instant() - self.known.now.instant;
        let metrics = &self.known.route().metrics;
        metrics.end(&Ended {
            method: &Method::GET,
            status: Some(self.known.entry.meta().head.status),
            error: self.error,
            duration: Some(duration),
            received: 0,
            sent: self.sent,
        });
        metrics.dealt(Dealt::Hit);
        self.log(duration);
    }
}
