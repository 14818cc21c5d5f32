//! A stored response on its way to a client.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Origin, ResponseHead};

use super::super::context::Context;
use super::fetch::{Answer, Own, Shared};
use super::own;
use crate::cache::Dealt;
use crate::cache::rules::range::Part;
use crate::cache::rules::status::{CACHE_STATUS, Stored, Told};
use crate::cache::rules::{conditional, range, reuse};
use crate::cache::store::Entry;

/// So many fields are added to a stored head, here and by ordinary filters.
const ADDED: usize = 9;

/// A response that is about to leave.
struct Answering {
    entry: Arc<Entry>,
    head: ResponseHead,
    told: Told,
    /// Whether the head is of this moment, and says itself how old it is.
    is_new: bool,
}

impl Context {
    /// Answers with a stored response as it is.
    pub(super) async fn serve_hit(
        &mut self,
        session: &mut ServerSession,
        entry: Arc<Entry>,
    ) -> Result<()> {
        let ttl = reuse::ttl(&entry, self.exchange.now.wall);
        let caching = self.caching_mut();
        if caching.dealt == Dealt::Pass {
            caching.dealt = match ttl > 0 {
                true => Dealt::Hit,
                false => Dealt::Stale,
            };
        }
        let told = match caching.collapsed {
            true => Told::Forwarded {
                why: caching.forwarded,
                status: None,
                collapsed: true,
                stored: Stored::No(None),
            },
            false => Told::Hit { ttl, why: None },
        };
        if self.attempts.made == 0 {
            self.attempts.upstream = None; // nobody was asked for it
        }
        let answering = Answering {
            head: entry.meta().head.parts(ADDED),
            entry,
            told,
            is_new: false,
        };
        self.serve(session, answering).await
    }

    /// Answers with what became of a fetch. Returns whether the request was answered; where not, it goes to
    /// the upstream by itself.
    pub(super) async fn answer(
        &mut self,
        session: &mut ServerSession,
        answer: Answer,
    ) -> Result<bool> {
        match answer {
            Answer::Own(own) => self.pass_own(session, *own).await,
            Answer::Shared(shared) => self.answer_shared(session, shared).await.map(|()| true),
        }
    }

    async fn answer_shared(&mut self, session: &mut ServerSession, answer: Shared) -> Result<()> {
        match answer {
            Shared::Stored {
                entry,
                dealt,
                status,
            } => {
                self.caching_mut().dealt = dealt;
                let head = entry.meta().head.parts(ADDED);
                let status = (status != head.status).then(|| status.as_u16());
                let told = self.went_on(status, Stored::Yes);
                let answering = Answering {
                    entry,
                    head,
                    told,
                    is_new: false,
                };
                self.serve(session, answering).await
            }
            Shared::Good { entry, head, why } => {
                self.caching_mut().dealt = Dealt::Revalidated;
                let mut head = *head;
                self.hide_tags(&mut head);
                let answering = Answering {
                    entry,
                    head: head.into(),
                    told: self.went_on(Some(304), Stored::No(Some(why))),
                    is_new: true,
                };
                self.serve(session, answering).await
            }
            Shared::Failed(reply) => {
                if let Some(entry) = self.stand_in() {
                    return self.serve_hit(session, entry).await;
                }
                self.caching_mut().dealt = Dealt::Miss;
                self.respond(session, reply, Origin::Gateway).await
            }
        }
    }

    /// What is told of a request that went on.
    pub(super) fn went_on(&self, status: Option<u16>, stored: Stored) -> Told {
        Told::Forwarded {
            why: self.caching().forwarded,
            status,
            collapsed: false,
            stored,
        }
    }

    /// Passes a response on that is for this request alone. It was asked for as a whole, and without the
    /// conditions of the request: where that wants a part, it asks for it by itself.
    async fn pass_own(&mut self, session: &mut ServerSession, own: Own) -> Result<bool> {
        let Own {
            mut source,
            first,
            why,
        } = own;
        let told = self.went_on(None, Stored::No(Some(why)));
        let caching = self.caching_mut();
        caching.told = Some(told);
        caching.fetch = None; // what comes of it is this client's alone
        let asked = &session.req_header().headers;
        let now = crate::cache::rules::seconds(self.exchange.now.wall);
        let (first, is_whole) = match first {
            HttpTask::Header(head, _) if own::is_had(asked, &head, now) => {
                (HttpTask::Header(own::not_modified(head), true), false)
            }
            HttpTask::Header(head, _) if own::is_part_wanted(asked, &head) => {
                drop(source);
                self.begin_anew();
                return Ok(false);
            }
            first => (first, true),
        };
        self.caching_mut().dealt = Dealt::Miss;
        match self.pass_on(session, &mut source, first).await {
            Ok(()) if is_whole => {
                Box::pin(source.put_back()).await;
                Ok(true)
            }
            Ok(()) => Ok(true), // the connection goes with the body that nobody wants
            Err(error) => {
                let reused = source.reused;
                drop(source);
                Err(self.end_broken(session, error, reused))
            }
        }
    }

    async fn serve(&mut self, session: &mut ServerSession, answering: Answering) -> Result<()> {
        let Answering {
            entry,
            mut head,
            told,
            is_new,
        } = answering;
        head.headers.reserve(ADDED); // once for all that follows
        let age = reuse::age(&entry.meta().times, self.shared.clock.now().wall).as_secs();
        // What has just come from the origin has no age (RFC 9111, 5.1).
        if !is_new && (age > 0 || told.is_from_store()) {
            head.headers.insert(header::AGE, age.into());
        }
        if let Some(status) = self.told_status(&told) {
            head.headers.append(&CACHE_STATUS, status);
        }
        let mut head = ResponseHeader::from(head);
        let mut part = self.shape(session, &entry, &mut head)?;
        self.end.origin = Origin::Cache;
        let bodiless = part == Part::Nowhere || self.is_bodiless(&head);
        self.frame_stored(session, &mut head)?;
        self.leave(session, &mut head, Origin::Cache)?;
        if let Part::Bytes(..) = part {
            // What a filter makes of the body has parts of its own, and what the store has no room for
            // comes from its beginning.
            let rewritten = self.held.is_some() || self.response_claim >= Claim::Rewrite;
            match entry.length().filter(|_| !rewritten) {
                Some(length) => part = cut(&mut head, part, length)?,
                None => part = Part::Whole,
            }
            self.end.status = Some(head.status);
        }
        match part == Part::Whole && !bodiless {
            true => self.fill_ready(session).await,
            false => self.let_fill_go_on(), // it is not all for this client
        }
        let reader = match part {
            Part::Bytes(from, to) => entry.reader_of(from, to),
            Part::Whole | Part::Nowhere => entry.reader(),
        };
        drop(entry);
        let reader = (!bodiless).then_some(reader);
        self.send_stored(session, head, reader).await
    }

    /// Makes of a stored head what this request gets: all of the response, a part of it (RFC 9110, 14),
    /// or the word that the client has it already (13).
    fn shape(
        &self,
        session: &ServerSession,
        entry: &Entry,
        head: &mut ResponseHeader,
    ) -> Result<Part> {
        let request = &session.req_header().headers;
        let length = entry.length();
        let empty = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
        if let Some(length) = length.filter(|_| !empty)
            && told_length(&head.headers) != Some(length)
        {
            head.insert_header(header::CONTENT_LENGTH, length)?;
        }
        if head.status != StatusCode::OK || !conditional::may_be_for_less(request) {
            return Ok(Part::Whole);
        }
        let now = crate::cache::rules::seconds(self.exchange.now.wall);
        if conditional::is_not_modified(request, &head.headers, now) {
            own::strip_body(head);
            return Ok(Part::Whole);
        }
        match length.filter(|_| self.exchange.method == Method::GET) {
            Some(length) if conditional::range_holds(request, &head.headers) => {
                match range::of(request, length) {
                    // The filters see the whole response first.
                    part @ Part::Bytes(..) => Ok(part),
                    part => cut(head, part, length),
                }
            }
            _ => Ok(Part::Whole),
        }
    }

    /// A body of unknown length is sent in chunks (RFC 9112, 7.1).
    fn frame_stored(&self, session: &ServerSession, head: &mut ResponseHeader) -> Result<()> {
        head.set_version(Version::HTTP_11);
        let measured = head.headers.contains_key(header::CONTENT_LENGTH);
        let chunks = session.req_header().version == Version::HTTP_11;
        if !measured && chunks && !self.is_bodiless(head) {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        Ok(())
    }
}

/// The length that a stored head tells, if it does so in one number.
fn told_length(fields: &HeaderMap) -> Option<u64> {
    fields
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Makes of a head the one for a part of its body (RFC 9110, 14.4 and 15.5.17).
fn cut(head: &mut ResponseHeader, part: Part, length: u64) -> Result<Part> {
    let (status, range, rest) = match part {
        Part::Whole => return Ok(part),
        Part::Bytes(from, to) => {
            let range = format!("bytes {from}-{}/{length}", to - 1);
            (StatusCode::PARTIAL_CONTENT, range, to - from)
        }
        Part::Nowhere => {
            let range = format!("bytes */{length}");
            (StatusCode::RANGE_NOT_SATISFIABLE, range, 0)
        }
    };
    head.set_status(status)?;
    let range = HeaderValue::try_from(range).expect("ASCII");
    head.insert_header(header::CONTENT_RANGE, range)?;
    head.insert_header(header::CONTENT_LENGTH, rest)?;
    Ok(part)
}
