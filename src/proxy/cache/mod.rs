//! Exchanges with the cache: what is stored answers, and what is not is fetched, stored on the way, and
//! shared with all who wait for it.
//!
//! Whoever asks the cache only ever reads from a store. A fetch is a part of the exchange that has asked
//! first (`fetch.rs`), but a client that leaves, or that reads slowly, changes nothing about it.
//! Pingora's own cache is not used: a fresh hit through its state machine costs nearly as
//! much as a proxied request, and a response that it revalidates in the background runs all filters
//! anew.

mod after;
mod as_stored;
mod at_once;
mod collapse;
mod fetch;
pub mod key;
mod nobody;
mod own;
mod send;
mod serve;
mod told;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, Result};
use pingora_http::RequestHeader;
use wiregate_sdk::cache::Plan;
use wiregate_sdk::{Origin, Reply};

use super::context::Context;
use crate::cache::Dealt;
use crate::cache::rules::marks;
use crate::cache::rules::request::Wishes;
use crate::cache::rules::reuse::{self, Reuse};
use crate::cache::rules::status::{Forwarded, Stored, Told};
use crate::cache::rules::vary::Wanted;
use crate::cache::store::{Entry, Find, Join, Key, Store};
use crate::upstream::{Connector, Upstream};
pub(super) use at_once::{Ahead, Known};
use fetch::{Fetch, Filling};

/// So often a request waits for the fetches of others, which turn out not to be for it.
const MOST_WAITS: usize = 3;

/// So long a request waits for the cache's disk.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// One request's dealings with the cache.
pub(super) struct Caching {
    plan: Box<Plan>,
    store: Arc<Store>,
    /// The key, where the method is one that the cache answers.
    key: Option<Key>,
    /// Whether the request asks for nothing special, and gets what is stored as it is.
    plain: bool,
    /// Whether it has been looked for something stored, in vain.
    nothing: bool,
    wishes: Wishes,
    /// Which variants it is for.
    wanted: Wanted,
    /// The upstream that the key is of.
    upstream: Option<Arc<Upstream>>,
    /// Why the request goes on, once it does.
    forwarded: Forwarded,
    /// Whether it has waited for another one's fetch.
    collapsed: bool,
    /// What is stored for it and cannot be used as it is.
    stale: Option<Arc<Entry>>,
    /// What the client is told, where that is known before the response comes.
    told: Option<Told>,
    /// What came of it, for the metrics and the log.
    dealt: Dealt,
    /// The request, as the chain has left it, in an exchange of the cache's own.
    asked: Option<Box<RequestHeader>>,
    /// What it fetches, for itself and for others.
    fetch: Option<Fetch>,
    /// The body that comes by way of it.
    filling: Option<Filling>,
}

/// What a lookup has found.
enum Found {
    /// An entry that may answer.
    Usable(Arc<Entry>, Reuse),
    /// One that may answer after it was validated.
    Stale(Arc<Entry>),
    /// None for this request; whether there are some for others.
    Nothing { others: bool },
}

impl Context {
    /// Follows the plan of a filter: answers from the cache, or through it. Returns whether the request was
    /// answered; where not, it goes to the upstream by itself.
    ///
    /// # Errors
    /// The client's, or what broke off a response.
    pub(super) async fn consult(
        &mut self,
        session: &mut ServerSession,
        plan: Box<Plan>,
        connector: &Arc<Connector>,
    ) -> Result<bool> {
        if !self.prepare(session, plan) {
            return Ok(false);
        }
        match self.look_up(session).await? {
            Found::Usable(entry, reuse) => {
                // What HEAD brings is for nobody else.
                let for_others = session.req_header().method == Method::GET;
                if reuse == Reuse::WhileRevalidating && for_others {
                    self.revalidate(session, &entry, connector);
                }
                self.caching_mut().dealt = match reuse {
                    Reuse::Fresh => Dealt::Hit,
                    _ => Dealt::Stale,
                };
                self.serve_hit(session, entry).await.map(|()| true)
            }
            Found::Stale(entry) => {
                self.go_on(entry);
                self.miss(session, connector).await
            }
            Found::Nothing { others } => {
                if others {
                    self.caching_mut().forwarded = Forwarded::VaryMiss;
                }
                self.miss(session, connector).await
            }
        }
    }

    /// Sets up what there is to do. Returns whether the cache has anything to say to the request.
    fn prepare(&mut self, session: &mut ServerSession, plan: Box<Plan>) -> bool {
        let Some(store) = self.snapshot.stores.get(plan.policy.store) else {
            return false;
        };
        let ahead = self.ahead.take_key(&self.snapshot, store);
        let plain = ahead.is_some();
        let (ahead, store, nothing) = match ahead {
            Some(keyed) => (Some(keyed.key), keyed.store, keyed.nothing),
            None => (None, store.store(), false),
        };
        let wishes = match plan.policy.obeys_requests && !plain {
            true => Wishes::of(&session.req_header().headers),
            false => Wishes::default(),
        };
        let why = (!plain).then(|| self.passes(session)).flatten();
        let key = match why {
            None => Some(ahead.unwrap_or_else(|| self.cache_key(session, &plan, &store))),
            Some(_) => None,
        };
        self.caching = Some(Box::new(Caching {
            plan,
            store,
            key,
            plain,
            nothing,
            wishes,
            wanted: Wanted::default(),
            upstream: self.attempts.upstream.clone(),
            forwarded: why.unwrap_or(Forwarded::UriMiss),
            collapsed: false,
            stale: None,
            told: None,
            dealt: Dealt::Pass,
            asked: None,
            fetch: None,
            filling: None,
        }));
        why.is_none()
    }

    /// Why the cache has nothing to say to a request, if it has not.
    fn passes(&self, session: &mut ServerSession) -> Option<Forwarded> {
        let head = session.req_header();
        if head.method != Method::GET && head.method != Method::HEAD {
            return Some(Forwarded::Method);
        }
        let (mut special, mut for_origin) = (false, false);
        for (name, value) in &head.headers {
            match name.as_str() {
                "upgrade" | "transfer-encoding" => special = true,
                "content-length" => special |= value != "0",
                // Only the origin can judge these (RFC 9111, 4.3.2).
                "if-match" | "if-unmodified-since" => for_origin = true,
                _ => {}
            }
        }
        special |= self.body.bytes.is_some()
            || !head.raw_path().starts_with(b"/")
            || !head.raw_path_is_utf8();
        if special || !session.is_body_empty() {
            return Some(Forwarded::Bypass);
        }
        for_origin.then_some(Forwarded::Request)
    }

    fn caching(&self) -> &Caching {
        self.caching
            .as_deref()
            .expect("there while it is consulted")
    }

    fn caching_mut(&mut self) -> &mut Caching {
        self.caching
            .as_deref_mut()
            .expect("there while it is consulted")
    }

    async fn look_up(&mut self, session: &mut ServerSession) -> Result<Found> {
        if self.caching().nothing {
            return Ok(Found::Nothing { others: false });
        }
        let mut wanted = std::mem::take(&mut self.caching_mut().wanted);
        let caching = self.caching();
        let (store, key) = (&caching.store, caching.key());
        let headers = &session.req_header().headers;
        let mut others = false;
        let mut fits = |entry: &Entry| {
            let fits = wanted.is(&entry.meta().vary, headers);
            others |= !fits;
            fits
        };
        let entry = match store.find(key, &mut fits) {
            Find::Found(entry) => Some(entry),
            Find::OnDisk => Box::pin(self.load(session, &mut wanted, &mut others)).await?,
            Find::Missing => None,
        };
        let caching = self.caching();
        let found = match entry {
            None => Found::Nothing { others },
            Some(entry) => match reuse::judge(&entry, &caching.wishes, self.exchange.now.wall) {
                Reuse::No => Found::Stale(entry),
                reuse => Found::Usable(entry, reuse),
            },
        };
        self.caching_mut().wanted = wanted;
        Ok(found)
    }

    /// What is on disk. Where that takes long, it is as if nothing were there: what is to help must not hold up.
    async fn load(
        &mut self,
        session: &mut ServerSession,
        wanted: &mut Wanted,
        others: &mut bool,
    ) -> Result<Option<Arc<Entry>>> {
        let caching = self.caching();
        let (store, key) = (caching.store.clone(), caching.key().clone());
        let headers = session.req_header().headers.clone();
        let load = store.load(&key, |entry| {
            let fits = wanted.is(&entry.meta().vary, &headers);
            *others |= !fits;
            fits
        });
        let loaded = tokio::time::timeout(DISK_PATIENCE, load);
        Ok(self.patiently(session, loaded).await?.ok().flatten())
    }

    /// What is stored has to be validated.
    fn go_on(&mut self, entry: Arc<Entry>) {
        let now = self.exchange.now.wall;
        let fresh = reuse::ttl(&entry, now) > 0;
        let caching = self.caching_mut();
        let own = caching.wishes != Wishes::default();
        caching.forwarded = if fresh && own {
            Forwarded::Request
        } else {
            Forwarded::Stale
        };
        caching.stale = Some(entry);
    }

    /// Nothing that is stored may answer as it is.
    async fn miss(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
    ) -> Result<bool> {
        if self.caching().wishes.only_if_cached {
            let reply = Reply::problem(StatusCode::GATEWAY_TIMEOUT, "not_cached")
                .detail("nothing that is stored answers this request");
            return self
                .respond(session, reply, Origin::Gateway)
                .await
                .map(|()| true);
        }
        if session.req_header().method == Method::HEAD {
            return Ok(false); // it goes on as it is (RFC 9111, 4.3.5)
        }
        if self.caching().wishes.no_store {
            // Nobody could have what it fetches.
            let told = self.went_on(None, Stored::No(Some("request-no-store")));
            self.caching_mut().told = Some(told);
            return Ok(false);
        }
        for _ in 0..MOST_WAITS {
            let fetch = match self.join(session) {
                Join::Found(entry) => return self.serve_shared(session, entry).await,
                Join::Alone => None,
                Join::Lead(lead) => Some(Fetch::new(lead, self.caching().stale.clone())),
                Join::Wait(_) if self.asks_for_itself() => {
                    Fetch::alone(self.caching().stale.as_ref())
                }
                Join::Wait(waiting) => match Box::pin(self.wait(session, waiting)).await? {
                    Some(answered) => return Ok(answered),
                    None => continue,
                },
            };
            return match fetch {
                Some(fetch) => self.fetch(session, fetch, connector).await,
                None => Ok(false),
            };
        }
        Ok(false)
    }

    /// Whether what another request's fetch brings cannot be for this one: each has to ask whether what is stored is
    /// good at that moment.
    fn asks_for_itself(&self) -> bool {
        let caching = self.caching();
        let wishes = &caching.wishes;
        let stale = caching.stale.as_ref().map(|stale| stale.meta());
        wishes.no_cache
            || wishes.max_age == Some(0)
            || stale.is_some_and(|stale| {
                stale.marks & marks::NO_CACHE != 0 || stale.times.lifetime.is_zero()
            })
    }

    /// Validates what is stored for others, while this request gets it as it is. Where somebody does so
    /// already there is nothing to do.
    fn revalidate(
        &mut self,
        session: &ServerSession,
        entry: &Arc<Entry>,
        connector: &Arc<Connector>,
    ) {
        // Nothing is looked up after this.
        let mut wanted = std::mem::take(&mut self.caching_mut().wanted);
        let caching = self.caching();
        // Nobody else does, and nothing fresh is there already.
        let asker = self.asker(session);
        let join = caching.store.join(caching.key(), asker, |other| {
            !std::ptr::eq(other, &**entry)
                && wanted.is(&other.meta().vary, &session.req_header().headers)
                && reuse::judge(other, &caching.wishes, self.exchange.now.wall) == Reuse::Fresh
        });
        if let Join::Lead(lead) = join {
            let stale = entry.clone();
            if self
                .validate_apart(session, lead, stale, connector.clone())
                .is_err()
            {
                // A filter panicked, which was counted: this request has its response all the same.
                drop(self.take_reply());
            }
        }
    }
}

impl Caching {
    fn key(&self) -> &Key {
        self.key.as_ref().expect("there where the cache answers")
    }
}

/// An error for what broke off under a response that has begun.
fn broken_off() -> Box<Error> {
    Error::explain(
        pingora_error::ErrorType::ConnectionClosed,
        "what was to be stored broke off",
    )
    .into_up()
}
