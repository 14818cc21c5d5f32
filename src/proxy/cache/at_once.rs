//! What is stored and fresh, given before there is an exchange.
//!
//! Where the only filter of a route is a cache that treats all requests alike, and a request asks for nothing special, what an
//! exchange would come to is known from its head as it was read: which stored response answers it, and that this leaves as it
//! is stored. So nothing of an exchange is made: no map of fields, no context, no session. Whatever is less plain than that
//! takes the long way, which decides about everything; what was found out by then goes with it.

mod giving;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use httparse::Header;
use memchr::memchr;
use uuid::Uuid;
use wiregate_sdk::cache::Policy;
use wiregate_sdk::{Now, host_in};

use super::super::conversation::Conversation;
use super::super::failure;
use super::super::http1::send_whole;
use super::super::pace::{Paces, within};
use super::super::request::{guard, write_id};
use super::super::shared::looks_at_heads;
use super::as_stored::is_whole;
use super::key::{self, Parts};
use crate::cache::rules::request::Wishes;
use crate::cache::rules::reuse::{self, Reuse};
use crate::cache::rules::vary;
use crate::cache::store::{Entry, FindGood, Key, Store};
use crate::compile::NamedStore;
use crate::compile::{Goal, Snapshot};
use crate::listen::Ending;
use crate::listen::http1::{Gate, Seen};
use crate::observe::access_log::{self, AccessLog, Target};
use crate::overload::{Place, Shed};
use crate::upstream::Cause;
use giving::Giving;

/// What a request may not have that is answered at once, beside what only proxies may say: what other ways of answering it
/// follow from, what the cache's rules go by, and what is for one hop. An exchange that is told so looks for none of
/// these again: whatever it would heed or take out on the way to a route and a key has to be here.
const SPECIAL: [&str; 21] = [
    "cache-control",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "grpc-timeout",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];

/// A bit for each length that one of them has.
const LENGTHS: u32 = {
    let (mut lengths, mut at) = (0, 0);
    while at < SPECIAL.len() {
        lengths |= 1 << SPECIAL[at].len();
        at += 1;
    }
    lengths
};

/// So many fields that `Vary` names are looked for in a request as it came, while a part of the store waits: where there are
/// more, what it has there is worked out once.
const MOST_LOOKS: usize = 16;

/// How fields begin that only proxies may set.
const FORWARDED: &str = "x-forwarded-";

/// What was found out of a request before there was an exchange.
#[derive(Default)]
pub(in crate::proxy) struct Ahead {
    /// The configuration by which.
    generation: u64,
    /// The place of the path that took it.
    path: Option<usize>,
    /// When it came, where somebody has looked.
    now: Option<Now>,
    /// Its key, and what is known of that.
    key: Option<Keyed>,
    /// Its place, or why there is none.
    admitted: Option<Result<Place, Shed>>,
}

/// The key of a request, and what is known of that.
pub(super) struct Keyed {
    pub(super) key: Key,
    /// The store that it is for.
    pub(super) store: Arc<Store>,
    /// Whether nothing at all was there under it.
    pub(super) nothing: bool,
}

/// A request that is answered at once, and with what.
pub(in crate::proxy) struct Known {
    snapshot: Arc<Snapshot>,
    route: usize,
    entry: Arc<Entry>,
    now: Now,
    policy: Arc<Policy>,
    /// How long it may take in all.
    total: Option<Duration>,
    logged: Option<Logged>,
}

/// What the access log wants of a request, where there is one.
struct Logged {
    log: Arc<Option<AccessLog>>,
    target: Target,
    host: Box<str>,
}

impl Ahead {
    /// The place of the path that takes the request by this configuration, where that is known.
    pub(in crate::proxy) fn path(&self, snapshot: &Snapshot) -> Option<usize> {
        self.path.filter(|_| self.generation == snapshot.generation)
    }

    /// Whether the way to its route is known by this configuration, and nothing that the request has is looked at on that.
    pub(in crate::proxy) fn is_plain(&self, snapshot: &Snapshot) -> bool {
        self.path(snapshot).is_some()
    }

    /// Whether its key is known by this configuration. Then a cache alone has a say in what the request gets, which asks
    /// for nothing special.
    pub(in crate::proxy) fn has_key(&self, snapshot: &Snapshot) -> bool {
        self.key.is_some() && self.generation == snapshot.generation
    }

    /// Its key in this store, where that is known.
    pub(super) fn take_key(&mut self, snapshot: &Snapshot, store: &NamedStore) -> Option<Keyed> {
        let keyed = self.key.take()?;
        (self.generation == snapshot.generation && store.is(&keyed.store)).then_some(keyed)
    }

    /// When it came, where that is known.
    pub(in crate::proxy) fn now(&self) -> Option<Now> {
        self.now
    }

    /// Its place, or why it is shed, where that is known.
    pub(in crate::proxy) fn take_admitted(&mut self) -> Option<Result<Place, Shed>> {
        self.admitted.take()
    }
}

impl Conversation {
    /// Finds out ahead what can be found out of a request, and what answers it at once, where something does.
    pub(in crate::proxy) fn know(&self, seen: &Seen<'_>, ahead: &mut Ahead) -> Option<Known> {
        let live = self.shared.live.load();
        if !live.answers_at_once || seen.method != Method::GET.as_str() || seen.old {
            return None;
        }
        if !seen.fields.iter().all(is_plain) || self.peer.trusted_by(&live).is_some() {
            return None;
        }
        let (path, query) = match memchr(b'?', seen.target.as_bytes()) {
            Some(at) => (&seen.target[..at], Some(&seen.target[at + 1..])),
            None => (seen.target, None),
        };
        // Nothing is looked for where there is too much to do.
        let admitted = ahead.admitted.insert(self.admit(path));
        if admitted.is_err() {
            return None;
        }
        // Whatever panics in there is left to the long way.
        guard(|| self.look_ahead(&live, seen, (path, query), ahead)).flatten()
    }

    fn look_ahead(
        &self,
        live: &Arc<Snapshot>,
        seen: &Seen<'_>,
        (path, query): (&str, Option<&str>),
        ahead: &mut Ahead,
    ) -> Option<Known> {
        // `*` is no path, but its own normal form.
        if !path.starts_with('/') || live.router.normalise(path).ok()? != path {
            return None;
        }
        let named = std::str::from_utf8(seen.host?).ok()?;
        let host = host_in(named);
        if !self.peer.may_ask_for(&host, live) {
            return None;
        }
        let at = live.router.find_plainly(&Method::GET, &host, path)?;
        (ahead.generation, ahead.path) = (live.generation, Some(at));
        let position = live.router.route_of(at);
        let route = &live.routes[position];
        let policy = route.chain.plan_for_all()?;
        let Some(Goal::One(upstream)) = &route.goal else {
            return None;
        };
        if self.shared.logs_heads() {
            return None;
        }
        let store = live.stores.get(policy.store)?.store();
        let scheme = self.peer.scheme();
        let key = Parts {
            scheme,
            url: key::url(scheme, named, path, query),
            sent_host: named.as_bytes(),
            route: &route.name,
            upstream: &upstream.name,
            told: b"",
            target: seen.target.as_bytes(),
            key: &[],
            caller: None,
        };
        let (key, now) = (key.key(&store), self.shared.clock.now());
        ahead.now = Some(now);
        let entry = match fresh(&store, &key, seen.fields, now) {
            FindGood::Good(entry) => entry,
            other => {
                let nothing = matches!(other, FindGood::Nothing);
                ahead.key = Some(Keyed {
                    key,
                    store,
                    nothing,
                });
                return None;
            }
        };
        let total = route.timeouts.total.map(Into::into);
        let log = self.shared.access_log.load_full();
        // It may be another one by now.
        if looks_at_heads((*log).as_ref()) {
            return None;
        }
        Some(Known {
            snapshot: live.clone(),
            route: position,
            entry,
            now,
            policy: policy.clone(),
            total: total.or(upstream.timeouts.total),
            logged: log.is_some().then(|| Logged {
                log,
                target: Target::new(seen.target),
                host: access_log::Entry::text(&host),
            }),
        })
    }

    /// Answers a request at once of which enough is known. Returns whether the connection goes on.
    pub(in crate::proxy) async fn give(
        &self,
        gate: &mut Gate,
        known: Known,
        ending: &Ending,
    ) -> bool {
        let mut place = Uuid::encode_buffer();
        let id = write_id(known.now.wall, &mut place);
        let closes = self.peer.is_closing();
        known.put_head(id, closes, gate.connection.gathered());
        let mut giving = Giving::begin(self, known, id);
        let limits = &giving.known.snapshot.settings.limits;
        let (mut pace, patience) = (Paces::of(limits).response, limits.client_write.into());
        let body = giving.known.entry.small_body().unwrap_or_default();
        let sending = send_whole(
            &mut gate.connection,
            body,
            (&mut pace, patience),
            &mut giving.sent,
        );
        let sending = within(giving.known.total, sending);
        match ending.unless_over(sending, || true).await {
            Some(Some(Ok(()))) => giving.error = None,
            Some(Some(Err(error))) => giving.error = Some(failure::of(&error, true).reason),
            Some(None) => giving.error = Some(Cause::ResponseTimeout.word()),
            None => {}
        }
        !closes && giving.error.is_none()
    }
}

/// The entry that answers a request with these fields as it is, where that is plain.
fn fresh(store: &Store, key: &Key, fields: &[Header<'_>], now: Now) -> FindGood {
    let line = |name: &HeaderName| {
        let mut those = (fields.iter()).filter(|one| one.name.eq_ignore_ascii_case(name.as_str()));
        Some((those.next()?.value, those.next().is_some()))
    };
    let (plain, mut looked) = (Cell::new(true), 0);
    let fits = |entry: &Entry| {
        let vary = &entry.meta().vary;
        looked += vary.len();
        let fits = vary::fits_plainly(vary, line).filter(|_| looked <= MOST_LOOKS);
        plain.set(fits.is_some());
        fits != Some(false)
    };
    store.find_good(key, fits, |entry| {
        let there = plain.get() && is_whole(entry);
        there && reuse::judge(entry, &Wishes::default(), now.wall) == Reuse::Fresh
    })
}

/// Whether a field changes nothing about what may answer a request.
fn is_plain(field: &Header<'_>) -> bool {
    let name = field.name;
    let is = |other: &&str| name.eq_ignore_ascii_case(other);
    let may_be_special = name.len() < 32 && LENGTHS >> name.len() & 1 == 1;
    if may_be_special && SPECIAL.iter().any(is) {
        // Which is so anyway.
        return is(&"connection") && field.value.eq_ignore_ascii_case(b"keep-alive");
    }
    let begin = name.get(..FORWARDED.len()).unwrap_or_default();
    !name.contains('_') && !begin.eq_ignore_ascii_case(FORWARDED)
}
