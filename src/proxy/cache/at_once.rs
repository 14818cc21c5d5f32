//! What is stored and fresh, given before there is an exchange.
//!
//! Where the only filter of a route is a cache that treats all requests alike, and a request asks for nothing special, what an
//! exchange would come to is known from its head as it was read: which stored response answers it, and that this leaves as it
//! is stored. So nothing of an exchange is made: no map of fields, no context, no session. Whatever is less plain than that
//! takes the long way, which decides about everything; what was found out by then goes with it.

mod giving;

use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};
use httparse::Header;
use memchr::memchr;
use uuid::Uuid;
use wiregate_sdk::{Now, host_in};

use super::super::conversation::Conversation;
use super::super::failure;
use super::super::http1::send_whole;
use super::super::pace::Paces;
use super::super::request::{guard, write_id};
use super::key::{self, Parts};
use crate::cache::rules::request::Wishes;
use crate::cache::rules::reuse::{self, Reuse};
use crate::cache::rules::vary;
use crate::cache::store::{Entry, Key, Store};
use crate::compile::{Goal, Snapshot};
use crate::listen::Ending;
use crate::listen::http1::{Gate, Seen};
use crate::observe::access_log::{self, Target};
use crate::overload::{Place, Shed};
use giving::Giving;

/// What a request may not have that is answered at once, beside what only proxies may say: what other ways of answering it
/// follow from, what the cache's rules go by, and what is for one hop.
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

/// How fields begin that only proxies may set.
const FORWARDED: &str = "x-forwarded-";

/// What was found out of a request before there was an exchange.
#[derive(Default)]
pub(in crate::proxy) struct Ahead {
    /// The configuration by which.
    generation: u64,
    /// The place of the path that took it.
    path: Option<usize>,
    /// Its key, and for which store.
    key: Option<(Key, Arc<Store>)>,
    /// Why it is shed.
    shed: Option<Shed>,
    /// What answers it at once.
    known: Option<Known>,
}

/// A request that is answered at once, and with what.
struct Known {
    snapshot: Arc<Snapshot>,
    route: usize,
    entry: Arc<Entry>,
    now: Now,
    /// Whether the client is told what the cache did.
    tells: bool,
    /// What the access log wants of it, where there is one.
    logged: Option<(Target, Box<str>)>,
    _place: Place,
}

impl Ahead {
    /// The place of the path that takes the request by this configuration, where that is known.
    pub(in crate::proxy) fn path(&self, snapshot: &Snapshot) -> Option<usize> {
        self.path.filter(|_| self.generation == snapshot.generation)
    }

    /// Its key in this store, where that is known.
    pub(super) fn take_key(&mut self, snapshot: &Snapshot, store: &Arc<Store>) -> Option<Key> {
        let (key, of) = self.key.take()?;
        (self.generation == snapshot.generation && Arc::ptr_eq(&of, store)).then_some(key)
    }

    /// Why it is shed, where that is known.
    pub(in crate::proxy) fn take_shed(&mut self) -> Option<Shed> {
        self.shed.take()
    }
}

impl Conversation {
    /// Finds out ahead what can be found out of a request. Whether that is all that it takes to answer it.
    pub(in crate::proxy) fn know(&self, seen: &Seen<'_>, ahead: &mut Ahead) -> bool {
        let live = self.shared.live.load();
        if !live.answers_at_once || seen.method != Method::GET.as_str() || seen.old {
            return false;
        }
        if !seen.fields.iter().all(is_plain) || self.peer.trusted_by(&live).is_some() {
            return false;
        }
        // Where it panics, it does so once more on the long way, which makes a reply of it.
        ahead.known = guard(|| self.look_ahead(&live, seen, ahead)).flatten();
        ahead.known.is_some()
    }

    fn look_ahead(
        &self,
        live: &Arc<Snapshot>,
        seen: &Seen<'_>,
        ahead: &mut Ahead,
    ) -> Option<Known> {
        let (path, query) = match memchr(b'?', seen.target.as_bytes()) {
            Some(at) => (&seen.target[..at], Some(&seen.target[at + 1..])),
            None => (seen.target, None),
        };
        if live.router.normalise(path).ok()? != path {
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
        let Some(entry) = fresh(&store, &key, seen.fields, now) else {
            ahead.key = Some((key, store));
            return None;
        };
        let logged = match &**self.shared.access_log.load() {
            Some(log) if !log.plan().asks_nothing() => return None,
            Some(_) => Some((Target::new(seen.target), access_log::Entry::text(&host))),
            None => None,
        };
        match self.admit(path) {
            Ok(place) => Some(Known {
                snapshot: live.clone(),
                route: position,
                entry,
                now,
                tells: policy.tells,
                logged,
                _place: place,
            }),
            Err(why) => {
                ahead.shed = Some(why);
                None
            }
        }
    }

    /// Answers a request at once of which enough is known. Returns whether the connection goes on.
    pub(in crate::proxy) async fn give(
        &self,
        gate: &mut Gate,
        ahead: Ahead,
        ending: &Ending,
    ) -> bool {
        let known = ahead.known.expect("there where enough is known");
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
        match ending.unless_over(sending, || true).await {
            Some(Ok(())) => giving.error = None,
            Some(Err(error)) => giving.error = Some(failure::of(&error, true).reason),
            None => {}
        }
        !closes && giving.error.is_none()
    }
}

/// The entry that answers a request with these fields as it is, where that is plain.
fn fresh(store: &Store, key: &Key, fields: &[Header<'_>], now: Now) -> Option<Arc<Entry>> {
    let line = |name: &HeaderName| {
        let mut those = (fields.iter()).filter(|one| one.name.eq_ignore_ascii_case(name.as_str()));
        Some((those.next()?.value, those.next().is_some()))
    };
    let mut plain = true;
    let fits = |entry: &Entry| {
        let fits = vary::fits_plainly(&entry.meta().vary, line);
        plain &= fits.is_some();
        fits != Some(false)
    };
    let found = store.find_good(key, fits, |entry| {
        let status = entry.meta().head.status;
        let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let there = !bodiless && entry.small_body().is_some();
        there && reuse::judge(entry, &Wishes::default(), now.wall) == Reuse::Fresh
    });
    found.filter(|_| plain)
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
