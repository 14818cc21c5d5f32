//! What may be stored, and for how long (RFC 9111, 3).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora_http::{RequestHeader, ResponseHeader};
use wiregate_sdk::cache::{Plan, Policy, SetCookie};

use super::age::{self, Came, Guess};
use super::edits::Edits;
use super::fields::{Field, Fields};
use super::request::Wishes;
use super::response::Terms;
use super::{conditional, date, marks, vary};
use crate::cache::{Draft, Head, Selector, Stored, Times};

/// What a response can be purged by has bounds: more tags, or longer ones, are more than is kept.
const MOST_TAGS: usize = 256;
const LONGEST_TAG: usize = 256;

/// A request, as far as it has a say in what is stored.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The head, as the chain has left it.
    pub head: &'a RequestHeader,
    /// What it asks of caches.
    pub wishes: &'a Wishes,
    /// Whether a filter has found out who is calling, by whatever credentials.
    pub identified: bool,
}

/// Why a response is not stored: the word that `Cache-Status` tells.
pub type Why = &'static str;

/// What is stored of a response.
///
/// # Errors
/// Why it is not.
pub fn meta(
    plan: &Plan,
    asked: &Asked<'_>,
    head: &ResponseHeader,
    came: Came,
) -> Result<Stored, Why> {
    let mut terms = terms(plan, asked, head, came)?;
    let stored = (terms.draft(&head.headers, None)).head(head.status, 0, Vec::new());
    Ok(terms.stored(stored))
}

/// What is stored of a response that was found to be good (3.2, 4.3.5): `merged` is [what came of its
/// head](updated). Its tags stay where the news has none.
///
/// # Errors
/// Why it is not stored any more.
pub fn renewed(
    plan: &Plan,
    asked: &Asked<'_>,
    stored: &Stored,
    merged: &ResponseHeader,
    came: Came,
) -> Result<Stored, Why> {
    let mut meta = meta(plan, asked, merged, came)?;
    // A stored head has lost the field that the tags came in, and few origins repeat it.
    let tells_tags = |name| merged.headers.contains_key(name);
    if !plan.policy.tags.as_ref().is_some_and(tells_tags) {
        meta.tags.clone_from(&stored.tags);
    }
    if conditional::is_weakly_dated(stored, came.seconds) {
        meta.marks |= marks::WEAK_DATE;
    }
    Ok(meta)
}

/// On what terms a response is stored.
pub struct StoringTerms {
    /// How long its body is, where it says so.
    pub length: Option<u64>,
    edits: Edits,
    tags: Vec<Box<str>>,
    vary: vary::Selectors,
    times: Times,
    marks: u32,
}

impl StoringTerms {
    /// What `Vary` names, with what the request has there.
    pub fn vary(&self) -> &[Selector] {
        &self.vary
    }

    /// The head that is stored of a response with these fields; `via` is added, to say whom it has come through.
    pub fn draft<'h>(&'h self, fields: &'h HeaderMap, via: Option<&'h HeaderValue>) -> Draft<'h> {
        self.edits.draft(fields, via)
    }

    /// What is stored of it, once, with this head.
    pub fn stored(&mut self, head: Head) -> Stored {
        Stored {
            head,
            tags: std::mem::take(&mut self.tags),
            vary: std::mem::take(&mut self.vary),
            times: self.times,
            marks: self.marks,
        }
    }

    /// Makes of the fields of its own head those that are stored.
    pub fn edit(&self, fields: &mut HeaderMap, via: HeaderValue) {
        self.edits.make(fields, via);
    }
}

/// On what terms a response is stored.
///
/// # Errors
/// Why it is not.
pub fn terms(
    plan: &Plan,
    asked: &Asked<'_>,
    head: &ResponseHeader,
    came: Came,
) -> Result<StoringTerms, Why> {
    let policy = &*plan.policy;
    let fields = Fields::of(&head.headers);
    let terms = Terms::of(&fields);
    check(plan, asked, (head.status, &fields), &terms)?;
    let lifetime = lifetime(plan, asked, (head.status, &fields), &terms, came)?;
    let date = age::date_of(&fields, came.seconds);
    let age = match policy.force {
        true => Duration::ZERO, // it is as old here as it is in this cache
        false => age::initial_age(&fields, date, came),
    };
    let times = times(policy, &terms, lifetime, (came.at, age));
    if !is_of_use(&times, &fields) {
        return Err("stale");
    }
    let names = vary::names(&fields).ok_or("vary")?;
    let names = with(names, &policy.vary);
    Ok(StoringTerms {
        length: fields.first(Field::ContentLength).and_then(length),
        edits: Edits::of(policy, &fields, written_anew(&fields, date, came)),
        tags: tags(policy, &head.headers)?,
        vary: vary::selectors(names, &asked.head.headers),
        times,
        marks: if policy.force { 0 } else { marks::of(&terms) },
    })
}

/// The conditions that have nothing to do with time (3, 3.5).
fn check(
    plan: &Plan,
    asked: &Asked<'_>,
    (status, fields): (StatusCode, &Fields<'_>),
    terms: &Terms,
) -> Result<(), Why> {
    let policy = &*plan.policy;
    if asked.head.method != Method::GET {
        return Err("method");
    }
    if asked.wishes.no_store && policy.obeys_requests {
        return Err("request-no-store");
    }
    if !is_whole(status) {
        return Err("status");
    }
    if policy.set_cookie == SetCookie::Pass && fields.has(Field::SetCookie) {
        return Err("set-cookie");
    }
    let credentials = || asked.identified || asked.head.headers.contains_key(header::AUTHORIZATION);
    let shareable = terms.public || terms.must_revalidate || terms.shared_lifetime;
    if plan.caller.is_none() && !shareable && credentials() {
        return Err("authorization");
    }
    if terms.private && plan.caller.is_none() {
        return Err("private");
    }
    if policy.force {
        return Ok(());
    }
    if terms.must_understand && !is_understood(status) {
        return Err("must-understand");
    }
    if terms.no_store && !terms.must_understand {
        return Err("no-store");
    }
    Ok(())
}

/// Whether a response with this status can be used for another request: it is neither a part nor an
/// answer to a condition.
fn is_whole(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 206 | 304 | 412 | 416)
}

fn lifetime(
    plan: &Plan,
    asked: &Asked<'_>,
    (status, fields): (StatusCode, &Fields<'_>),
    terms: &Terms,
    came: Came,
) -> Result<Duration, Why> {
    let policy = &*plan.policy;
    let ttl = policy.ttl(status);
    let has_cookie = || {
        let is_for_all = policy.ignores_cookies || terms.public;
        !is_for_all && asked.head.headers.contains_key(header::COOKIE)
    };
    if policy.force {
        return match has_cookie() && plan.caller.is_none() {
            true => Err("cookie"),
            false => ttl.ok_or("status"),
        };
    }
    if let Some(lifetime) = age::explicit(terms, fields, came) {
        return Ok(lifetime);
    }
    let cookie = has_cookie();
    if cookie && !terms.no_cache {
        return Err("cookie");
    }
    let (share, most) = policy.guess;
    let guess = Guess { share, most };
    let guessed = || age::guessed(terms, status, fields, came, guess);
    if !cookie && let Some(lifetime) = ttl.or_else(guessed) {
        return Ok(lifetime);
    }
    // `no-cache` says how it is to be used, and so does `public`, but not for how long.
    let allowed = age::is_guessable(status) || terms.public;
    match terms.no_cache || allowed {
        true => Ok(Duration::ZERO), // it can be validated from its first use on
        false => Err("no-lifetime"),
    }
}

fn times(
    policy: &Policy,
    terms: &Terms,
    lifetime: Duration,
    (received, age): (SystemTime, Duration),
) -> Times {
    let window = |own: Option<u32>, default: Duration| match own {
        _ if policy.force => default,
        _ if terms.is_never_stale() => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds.into()),
        None if terms.is_strict() => Duration::ZERO,
        None => default,
    };
    Times {
        received,
        age,
        lifetime,
        while_revalidate: window(
            terms.while_revalidate,
            match lifetime.is_zero() {
                true => Duration::ZERO, // there is nothing to extend
                false => policy.while_revalidate,
            },
        ),
        if_error: window(terms.if_error, policy.if_error),
    }
}

/// Whether it can ever be used: while it is fresh or allowed to be stale, or after validation.
fn is_of_use(times: &Times, fields: &Fields<'_>) -> bool {
    let window = times.while_revalidate.max(times.if_error);
    let allowed = times.lifetime.saturating_add(window);
    allowed > times.age || fields.has(Field::Etag) || fields.has(Field::LastModified)
}

fn with(mut names: Vec<HeaderName>, more: &[HeaderName]) -> Vec<HeaderName> {
    if !more.is_empty() {
        names.extend(more.iter().cloned());
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
    }
    names
}

fn tags(policy: &Policy, headers: &HeaderMap) -> Result<Vec<Box<str>>, Why> {
    let mut tags = Vec::new();
    let Some(name) = &policy.tags else {
        return Ok(tags);
    };
    for line in headers.get_all(name) {
        let line = line.to_str().map_err(|_| "tags")?;
        let parts = line.split([',', ' ', '\t']).filter(|tag| !tag.is_empty());
        tags.extend(parts.map(Box::from));
    }
    tags.sort_unstable();
    tags.dedup();
    tags.shrink_to_fit(); // it is kept as it is
    // A response that could not be purged by all of its tags must not be there at all.
    let fits = tags.len() <= MOST_TAGS && tags.iter().all(|tag| tag.len() <= LONGEST_TAG);
    fits.then_some(tags).ok_or("tags")
}

/// Digits and nothing else.
fn length(text: &[u8]) -> Option<u64> {
    let add = |sum: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    let sum = text.iter().try_fold(0, add);
    sum.filter(|_| !text.is_empty())
}

/// The `Date` of a response that came at this moment, where what it says itself is none, or not in the preferred form.
fn written_anew(fields: &Fields<'_>, date: Option<i64>, came: Came) -> Option<HeaderValue> {
    let length = fields.first(Field::Date).map(<[u8]>::len);
    if date.is_some() && length == Some(date::LENGTH) {
        return None;
    }
    let text = date::format(date.unwrap_or(came.seconds));
    Some(HeaderValue::try_from(text).expect("a date is a field value"))
}

/// Statuses whose rules for caches are known here: those of RFC 9110 and of the registry, but for those that
/// are never stored.
fn is_understood(status: StatusCode) -> bool {
    status.canonical_reason().is_some()
}

/// What a 304 that came at this moment makes of a stored head (3.2): its fields in the place of stored ones, but for
/// those that say how the stored body is to be read. Where it has no `Date`, that moment is one (RFC 9110, 6.6.1).
pub fn updated(stored: &ResponseHeader, news: &ResponseHeader, came: SystemTime) -> ResponseHeader {
    static KEPT: [HeaderName; 4] = [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CONNECTION,
    ];
    let mut head = stored.clone();
    let names = news.headers.keys();
    for name in names.filter(|name| !KEPT.contains(name) && Field::of(name) != Some(Field::Hop)) {
        head.remove_header(name);
        for value in news.headers.get_all(name) {
            head.append_header(name, value.clone())
                .expect("it was one before");
        }
    }
    if !news.headers.contains_key(header::DATE) {
        let date = date::format(date::seconds(came));
        head.insert_header(header::DATE, date)
            .expect("a date is a field value");
    }
    head
}

/// What the response to a HEAD request tells of a stored response to GET (4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is still good: a validator says so, and nothing else says otherwise.
    Good,
    /// There is another one by now.
    Outdated,
    /// Nothing: it has no validator. That nothing contradicts is no reason to keep a body that nobody has compared.
    Nothing,
}

/// What the response to a HEAD request tells of a stored one.
pub fn seen_by_head(stored: &ResponseHeader, news: &ResponseHeader) -> Seen {
    let same = |name: HeaderName| {
        let news = news.headers.get(&name)?;
        Some(stored.headers.get(&name) == Some(news))
    };
    let validators = [same(header::ETAG), same(header::LAST_MODIFIED)];
    // One that came in chunks has no length in its head.
    let length = same(header::CONTENT_LENGTH)
        .filter(|_| stored.headers.contains_key(header::CONTENT_LENGTH));
    if validators.contains(&Some(false)) || length == Some(false) {
        Seen::Outdated
    } else if validators.contains(&Some(true)) {
        Seen::Good
    } else {
        Seen::Nothing
    }
}
