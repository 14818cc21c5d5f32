//! A stored response on its way to a client.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Origin, ResponseHead};

use super::super::context::Context;
use super::fetch::{Answer, Own, Shared};
use super::own;
use crate::cache::rules::range::Part;
use crate::cache::rules::status::{CACHE_STATUS, Stored, Told};
use crate::cache::rules::{conditional, range, reuse};
use crate::cache::store::Entry;
use crate::cache::{Dealt, Failure, Stored as Meta};

/// So many fields are added to a stored head, here and by ordinary filters.
const ADDED: usize = 9;

/// A response that is about to leave.
struct Answering {
    entry: Arc<Entry>,
    /// Its head, where that is not the one that is stored.
    head: Option<Box<ResponseHead>>,
    told: Told,
    made: Made,
}

impl Answering {
    fn new(entry: Arc<Entry>, head: Option<Box<ResponseHead>>, told: Told, made: Made) -> Self {
        Self {
            entry,
            head,
            told,
            made,
        }
    }
}

/// When a response was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// Before it was asked for.
    Before,
    /// It has come into the store with this request.
    Stored,
    /// It was found to be good now.
    Now,
    /// Its head is of this moment, and says itself how old it is.
    Afresh,
}

impl Context {
    /// Answers with a stored response as it is.
    pub(super) async fn serve_hit(
        &mut self,
        session: &mut ServerSession,
        entry: Arc<Entry>,
    ) -> Result<()> {
        let ttl = reuse::ttl(&entry, self.exchange.now.wall);
        let caching = self.caching();
        let told = match caching.collapsed {
            true => Told::Forwarded {
                why: caching.forwarded,
                status: None,
                collapsed: true,
                stored: Stored::No(None),
            },
            false => Told::Hit { ttl, why: None },
        };
        self.serve_stored(session, entry, told).await
    }

    async fn serve_stored(
        &mut self,
        session: &mut ServerSession,
        entry: Arc<Entry>,
        told: Told,
    ) -> Result<()> {
        if self.attempts.made == 0 {
            self.attempts.upstream = None; // nobody was asked for it
        }
        let answering = Answering::new(entry, None, told, Made::Before);
        self.serve(session, answering).await
    }

    /// Answers with what is stored, if that may be used where the upstream fails (RFC 5861, 4). Returns whether it did.
    pub(super) async fn stand_in(
        &mut self,
        session: &mut ServerSession,
        failure: &Failure,
    ) -> Result<bool> {
        let now = self.shared.clock.wall();
        let caching = self.caching_mut();
        let stale = caching.stale.as_ref();
        let stale = stale.filter(|stale| reuse::stands_in(stale, &caching.wishes, now));
        let Some(entry) = stale.cloned() else {
            return Ok(false);
        };
        caching.dealt = dealt(reuse::ttl(&entry, now));
        let told = Told::Forwarded {
            why: caching.forwarded,
            status: failure.came_back().map(|status| status.as_u16()),
            collapsed: caching.collapsed,
            stored: Stored::No(None),
        };
        self.serve_stored(session, entry, told).await.map(|()| true)
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
        let answering = match answer {
            Shared::Stored { entry, head } => {
                self.caching_mut().dealt = Dealt::Miss;
                let told = self.went_on(None, Stored::Yes);
                Answering::new(entry, head, told, Made::Stored)
            }
            Shared::Refreshed(entry) => {
                self.caching_mut().dealt = Dealt::Revalidated;
                let told = self.went_on(Some(304), Stored::Yes);
                Answering::new(entry, None, told, Made::Now)
            }
            Shared::Good { entry, head, why } => {
                self.caching_mut().dealt = Dealt::Revalidated;
                let mut head = ResponseHead::from(*head);
                // Where there is no room at once, it is made field by field.
                let _ = head.headers.try_reserve(ADDED);
                let told = self.went_on(Some(304), Stored::No(Some(why)));
                Answering::new(entry, Some(Box::new(head)), told, Made::Afresh)
            }
            Shared::Failed(reply) => {
                if self.stand_in(session, &Failure::of(&reply)).await? {
                    return Ok(());
                }
                self.caching_mut().dealt = Dealt::Miss;
                return self.respond(session, reply, Origin::Gateway).await;
            }
        };
        self.serve(session, answering).await
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
            HttpTask::Header(mut head, _) if own::is_had(asked, &head, now) => {
                own::make_not_modified(&mut head);
                (HttpTask::Header(head, true), false)
            }
            HttpTask::Header(head, _) if own::is_part_wanted(asked, &head, now) => {
                drop(source);
                self.begin_anew();
                return Ok(false);
            }
            first => (first, true),
        };
        self.caching_mut().dealt = Dealt::Miss;
        match self.pass_on(session, &mut source, first).await {
            Ok(()) if is_whole => {
                source.put_back().await;
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
            head,
            told,
            made,
        } = answering;
        let times = &entry.meta().times;
        let age = match made {
            Made::Before => Some(reuse::age(times, self.shared.clock.wall())),
            // What has just come from the origin has no age (RFC 9111, 5.1).
            Made::Stored | Made::Now => Some(times.age).filter(|age| age.as_secs() > 0),
            Made::Afresh => None,
        };
        // Where it has just been stored that is known: it has a head of its own where not.
        if head.is_none() && (made == Made::Stored || self.leaves_as_stored(&entry)) {
            return self.send_as_stored(session, entry, age, told).await;
        }
        let mut head = match head {
            Some(head) => *head,
            None => entry.meta().head.parts(ADDED),
        };
        // It may have been stored before the configuration called it so.
        if let Some(tags) = self.tags() {
            head.headers.remove(tags);
        }
        if let Some(age) = age {
            head.headers.insert(header::AGE, age.as_secs().into());
        }
        if let Some(status) = self.told_status(&told) {
            head.headers.append(&CACHE_STATUS, status);
        }
        let length = entry.length(); // looked at once: a fill may end at any time
        self.frame_stored(session, length, &mut head);
        self.end.origin = Origin::Cache;
        let mut head = self.leave(session, head, Origin::Cache)?;
        let part = self.shape(session, entry.meta(), length, &mut head)?;
        self.end.status = Some(head.status);
        let bodiless = part == Part::Nowhere || self.is_bodiless(head.status);
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

    /// Makes of a head that is about to leave what this request gets: all of the response, a part of it (RFC 9110,
    /// 14), or the word that the client has it already (13). The filters have seen the whole response: what they
    /// have made of its validators is what the client may have.
    fn shape(
        &self,
        session: &ServerSession,
        stored: &Meta,
        length: Option<u64>,
        head: &mut ResponseHeader,
    ) -> Result<Part> {
        let request = &session.req_header().headers;
        if head.status != StatusCode::OK
            || self.held.is_some() // how it will leave is not known yet: `held.rs` looks again
            || !conditional::may_be_for_less(request)
        {
            return Ok(Part::Whole);
        }
        if self.spares_body(session, head) {
            return Ok(Part::Whole);
        }
        let now = crate::cache::rules::seconds(self.exchange.now.wall);
        // What a filter makes of the body has parts of its own.
        let is_stored = self.response_claim < Claim::Rewrite;
        match length {
            Some(length)
                if is_stored
                    && self.exchange.method == Method::GET
                    && conditional::range_of_stored_holds(request, &head.headers, stored, now) =>
            {
                cut(head, range::of(request, length), length)
            }
            _ => Ok(Part::Whole),
        }
    }

    /// Makes a 304 of a head from the cache, where the client has what filters have left of that. Returns whether it
    /// did.
    pub(in crate::proxy) fn spares_body(
        &self,
        session: &ServerSession,
        head: &mut ResponseHeader,
    ) -> bool {
        let request = &session.req_header().headers;
        let now = crate::cache::rules::seconds(self.exchange.now.wall);
        let is_had = self.end.origin == Origin::Cache
            && head.status == StatusCode::OK
            && conditional::is_not_modified(request, &head.headers, now);
        if is_had {
            own::make_not_modified(head);
        }
        is_had
    }

    /// Says how long a stored body is, where that is known; else it is sent in chunks (RFC 9112, 7.1).
    fn frame_stored(&self, session: &ServerSession, length: Option<u64>, head: &mut ResponseHead) {
        head.version = Version::HTTP_11;
        let empty = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
        let told = head.headers.get(header::CONTENT_LENGTH);
        let mut measured = told.is_some();
        if let Some(length) = length.filter(|_| !empty)
            && told.and_then(number) != Some(length)
        {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
            measured = true;
        }
        let chunks = session.req_header().version == Version::HTTP_11;
        if !measured && chunks && !self.is_bodiless(head.status) {
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(header::TRANSFER_ENCODING, chunked);
        }
    }
}

/// What a stored response counts as that is fresh for so long yet.
fn dealt(ttl: i64) -> Dealt {
    match ttl > 0 {
        true => Dealt::Hit,
        false => Dealt::Stale,
    }
}

/// The length that a field tells, if it does so in one number.
fn number(value: &HeaderValue) -> Option<u64> {
    std::str::from_utf8(value.as_bytes()).ok()?.parse().ok()
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
