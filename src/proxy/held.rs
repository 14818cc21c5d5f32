//! Responses whose head waits for the body, because a filter wants the whole of it.
//!
//! The head is set aside, and a stand-in takes the place of the client's session that lets nothing
//! through, while the body is read to its end and the endpoint's connection given back. Then
//! the response is written like a reply of the gateway's own, or another one in its place.

use bytes::Bytes;
use http::{StatusCode, header};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use wiregate_sdk::chain::Stopped;
use wiregate_sdk::{Chain, Chunk, Origin, Reply, Response};

use super::context::Context;
use super::gathered::{Gathered, TOO_LARGE_REASON};
use super::heads::{TakenResponse, without_fields};
use super::inbound::{Room, declared_length, no_memory};
use super::replay::{self, Slot};

/// A response whose head waits for its body.
pub(super) struct Held {
    head: ResponseHeader,
    body: Gathered,
    /// The link that wants the whole body.
    pub(super) link: usize,
    /// Where the client's session comes back to.
    lent: Slot,
}

impl Context {
    /// Sets a head aside until its body is there.
    ///
    /// # Errors
    /// A 502, where the body is known to be too large.
    pub(super) fn hold(
        &mut self,
        session: &mut ServerSession,
        head: &mut ResponseHeader,
        link: usize,
    ) -> Result<()> {
        self.response_claim = Chain::response_claim(&self.slots[link + 1..]);
        let limit = self.snapshot.settings.limits.buffered_body.get();
        if declared_length(&head.headers).is_some_and(|length| length > limit) {
            return Err(self.refuse_whole(link, too_large(limit)));
        }
        if self.body.upgrade && self.body.bytes.is_none() {
            // What stands in for a client that wanted a tunnel is not needed any more.
            self.return_connection(session);
        }
        self.held = Some(Box::new(Held {
            head: std::mem::replace(head, without_fields(head.status)),
            body: Gathered::new(self.shared.budget.share()),
            link,
            lent: replay::lend_to_silence(session),
        }));
        Ok(())
    }

    /// Keeps a piece of a body that is waited for.
    ///
    /// # Errors
    /// A 502, where the body is too large; a 503, where the memory for bodies is used up.
    pub(super) fn gather(&mut self, chunk: &mut Chunk) -> Result<()> {
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        let limits = &self.snapshot.settings.limits;
        let link = held.link;
        let refused = match held.body.take_in(std::mem::take(&mut chunk.data), limits) {
            Ok(()) => return Ok(()),
            Err(Room::TooLarge) => too_large(limits.buffered_body.get()),
            Err(Room::NoMemory) => no_memory(),
        };
        Err(self.refuse_whole(link, refused))
    }

    fn refuse_whole(&mut self, link: usize, reply: Reply) -> Box<pingora_error::Error> {
        self.stopped(link, &reply);
        self.fault(reply)
    }

    /// Gives up a response that is waited for; the client's session is back in its place.
    pub(super) fn let_go(&mut self, session: &mut ServerSession) -> Option<Box<Held>> {
        let held = self.held.take()?;
        replay::give_back(session, &held.lent);
        Some(held)
    }

    /// The body of a response that waited is there, unless its exchange failed: the response goes on
    /// up the chain, and leaves.
    pub(super) async fn answer_held(&mut self, session: &mut ServerSession, failed: bool) {
        let Some(held) = self.let_go(session).filter(|_| !failed) else {
            return;
        };
        self.end_attempt();
        let Held {
            mut head,
            body: mut gathered,
            link,
            ..
        } = *held;
        let body = gathered.take();
        let mut share = gathered.share;
        let limit = self.snapshot.settings.limits.body_memory.get();
        let made = self.climb(session, &mut head, body, link).await;
        self.bound_gathering(None);
        let made = made.and_then(|body| match share.cover(body.len(), limit) {
            true => Ok(body),
            false => Err(Stopped {
                link,
                reply: no_memory(),
            }),
        });
        let written = match made {
            Ok(body) => self.send_held(session, head, body).await,
            Err(Stopped { link, reply }) => {
                self.stopped(link, &reply);
                self.respond(session, reply, Origin::Gateway).await
            }
        };
        drop(share);
        if written.is_err() {
            self.end.error.get_or_insert("connection_terminated");
            session.set_keepalive(None);
        }
    }

    async fn climb(
        &mut self,
        session: &ServerSession,
        head: &mut ResponseHeader,
        body: Bytes,
        link: usize,
    ) -> std::result::Result<Bytes, Stopped> {
        let Some(position) = self.route else {
            return Ok(body);
        };
        let chain = &self.snapshot.routes[position].chain;
        let (request, origin) = (session.req_header(), self.end.origin);
        let mut taken = TakenResponse::of(head);
        let mut view = Response::new(&mut self.exchange, request, &mut taken.parts, origin);
        let climbed = chain
            .climb(&mut view, body, &mut self.slots, link, false)
            .await;
        taken.put(head);
        climbed
    }

    async fn send_held(
        &mut self,
        session: &mut ServerSession,
        mut head: ResponseHeader,
        body: Bytes,
    ) -> Result<()> {
        head.remove_header(&header::TRANSFER_ENCODING);
        head.remove_header(&header::ACCEPT_RANGES);
        self.identify(&mut head);
        let body = match self.spares_body(session, &mut head) {
            true => Bytes::new(),
            false => body,
        };
        self.write_whole(session, head, body).await
    }
}

fn too_large(limit: u64) -> Reply {
    Reply::problem(StatusCode::BAD_GATEWAY, TOO_LARGE_REASON).log(format!(
        "a filter wants the whole body of the response, which may have {limit} bytes"
    ))
}
