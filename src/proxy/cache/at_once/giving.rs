//! A response that is given at once: its head, and what is told of it.

use std::time::Duration;

use http::Method;

use super::super::super::conversation::Conversation;
use super::super::as_stored::{AsStored, put, put_age};
use super::Known;
use crate::cache::Dealt;
use crate::cache::rules::reuse;
use crate::cache::rules::status::Told;
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
        let ttl = reuse::ttl(&self.entry, now);
        let head = AsStored {
            entry: &self.entry,
            policy: &self.policy,
            told: Told::Hit { ttl, why: None },
            id,
        };
        head.put_stored(out);
        put_age(reuse::age(&meta.times, now), out);
        head.put_own(out);
        if closes {
            put("Connection", b"close", out);
        }
        out.extend_from_slice(b"\r\n");
    }
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
