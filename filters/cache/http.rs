//! `cache`: answers with responses that were stored before.

use std::sync::Arc;

use wiregate_sdk::build::DEFAULT_STORE;
use wiregate_sdk::cache::{Plan, Policy, SetCookie};
use wiregate_sdk::types::{FieldName, OneOrMany, Percent, Period};
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{
    Build, Condition, Deserialize, Expression, Filter, Flow, Identity, Invalid, JsonSchema, Reply,
    Request, Response, StatusCode, header,
};

use super::lifetimes::{Lifetimes, by_status};

/// Answers with responses that were stored before, and stores those that may be: HTTP caching as of
/// RFC 9111, for a cache that callers share.
///
/// Without options the responses decide: `Cache-Control`, or the fields that are for caches like
/// this one, `Wiregate-Cache-Control` and `CDN-Cache-Control` (RFC 9213); `Expires`; and a guess where they
/// only say when they were modified. `ttl` is for responses that do not say how long they are fresh. With
/// `force` it holds whatever they say, but for what protects callers from each other. `cache: 60s` is
/// short for a `ttl`.
///
/// A stored response is sent to those only whom all filters of the route let through, wherever
/// `cache` stands among them. Filters change what each caller gets, never what is stored.
///
/// **Nothing of one caller reaches another.** Unless a response says `public`, `s-maxage` or
/// `must-revalidate`, it is not stored where the request had `Authorization`, or where a filter has found
/// out who is calling, by whatever credentials. A response that sets a cookie is not stored, nor one
/// without a lifetime of its own where the request had a cookie. `private` is never
/// stored. With `per_caller` each identified caller has responses of its own, `private` ones too, and all
/// others go without the cache. Two routes, two upstreams and two hosts never share a response, nor do requests of which trusted
/// proxies say different things in `X-Forwarded-*` or `Forwarded` (whom they are for aside). What
/// else the upstream goes by without saying so in `Vary` belongs into `vary` or `key`: such as `X-Original-URL` or
/// `X-HTTP-Method-Override`, which some frameworks heed. Cookies, credentials and the like that tell responses apart are kept as
/// digests.
///
/// Requests for the same are fetched once: the others wait for that, at most `patience`, and
/// read the response while it comes. They also share its failure. A response that is not for the cache, or that there is no
/// room for, is remembered as such for the time of `remember`: requests go on without waiting, but for one at a time, and
/// one in 100 ms at most, that tries whether its response is for the cache. Requests with a cookie or credentials
/// wait for their own kind only, and what comes of them is remembered for their own kind: whoever gets
/// responses of his own keeps no URL from the cache. What is too large for the store nobody tries again in that time,
/// where `Vary` tells it from others; where two variants are, all are tried now and then.
///
/// GET and HEAD are answered, ranges and conditions too; of what is not stored, a range is asked for by itself. Where another method succeeds, what is stored
/// for its URL, `Location` and `Content-Location` is dropped, whichever route it takes.
///
/// With `mode: observe` it neither answers nor stores; what was stored before stays, and is dropped as by any other
/// route. All that is to be seen of it is where an expression has no value.
///
/// `Cache-Status` (RFC 9211) tells what the cache did. Purging is described in
/// [caching](../caching.md). [A whole configuration](../../examples/cache.yaml) is among the examples.
///
/// | what happens | what the client gets |
/// |---|---|
/// | `only-if-cached`, and nothing answers | 504, reason `not_cached` |
/// | the upstream has failed another request that this one waited for | that failure's status and reason |
/// | an expression has no value | 500, reason `condition_failed` |
///
/// ```yaml
/// - cache: 60s
/// ```
///
/// ```yaml
/// - cache:
///     ttl: { 200: 5m, 404: 10s }
///     vary: accept-language
///     tags: cache-tag
///     stale_while_revalidate: 30s
///     stale_if_error: 1h
///     bypass: '"session" in request.cookies'
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(ShortOrFull<Period, Options>);

/// The options of `cache`, written out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "CacheOptions")]
pub struct Options {
    /// The store under `caches`; where none is configured there is one, `default`, with 64 MiB of memory.
    store: String,
    /// How long responses are fresh that do not say so themselves: one time for all that are cacheable by
    /// default, or one for each status (`404`), class (`4xx`), or for `any`.
    #[schemars(with = "Option<ShortOrFull<Period, std::collections::BTreeMap<String, Period>>>")]
    ttl: Option<Lifetimes>,
    /// `ttl` holds whatever responses say; those without one are not stored.
    force: bool,
    /// Requests that are neither answered nor stored.
    bypass: Option<Condition>,
    /// Expressions whose values tell responses apart, beside the URL.
    key: Option<OneOrMany<Expression>>,
    /// Request fields that tell responses apart, as if `Vary` named them.
    vary: Option<OneOrMany<FieldName>>,
    /// Each identified caller has responses of its own.
    per_caller: bool,
    /// The response field that lists what a response can be purged by, at most 256 tags. It is not
    /// sent to clients. None that the gateway sets itself, such as `age`.
    tags: Option<FieldName>,
    /// What becomes of responses that set a cookie.
    set_cookie: Cookie,
    /// Store responses without a lifetime of their own also where the request had a cookie.
    ignore_cookies: bool,
    /// Heed what requests ask of caches, such as `no-cache`.
    obey_requests: bool,
    /// The share of the time since a response was modified for which it is fresh where nothing else
    /// says so; `0%` for never.
    guess: Percent,
    /// The longest such time.
    longest_guess: Period,
    /// How long a response may be used after its lifetime while it is validated, where it does not say so
    /// itself. One without a lifetime is not used so.
    stale_while_revalidate: Option<Period>,
    /// How long a stale response may be used where the upstream fails, where it does not say so itself.
    stale_if_error: Option<Period>,
    /// Tell clients what the cache did.
    cache_status: bool,
    /// How long a request waits for the fetch of another one before it goes on by itself.
    patience: Period,
    /// How long it is remembered that responses to a URL are not for the cache.
    remember: Period,
}

/// What becomes of responses that set a cookie.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars", rename = "SetCookie")]
pub enum Cookie {
    /// They are not stored.
    #[default]
    Pass,
    /// They are stored without it.
    Strip,
    /// They are stored with it: everybody gets it.
    Keep,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            store: DEFAULT_STORE.to_owned(),
            ttl: None,
            force: false,
            bypass: None,
            key: None,
            vary: None,
            per_caller: false,
            tags: None,
            set_cookie: Cookie::default(),
            ignore_cookies: false,
            obey_requests: true,
            guess: Percent::new(10),
            longest_guess: Period::seconds(86_400),
            stale_while_revalidate: None,
            stale_if_error: None,
            cache_status: true,
            patience: Period::seconds(5),
            remember: Period::seconds(5),
        }
    }
}

/// The running form of `cache`.
pub struct Cache {
    policy: Arc<Policy>,
    bypass: Option<Condition>,
    key: Vec<Expression>,
    per_caller: bool,
}

impl Filter for Cache {
    const NAME: &'static str = "cache";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let mut options = match config.0 {
            ShortOrFull::Full(options) => options,
            ShortOrFull::Short(ttl) => Options {
                ttl: Some(ShortOrFull::Short(ttl)),
                ..Options::default()
            },
        };
        let mut invalid = Invalid::default();
        let store = cx.store(&options.store).unwrap_or_else(|why| {
            invalid.and(Invalid::at("store", why));
            0
        });
        if options.force && options.ttl.is_none() {
            invalid.and(Invalid::at("force", "expected together with a `ttl`"));
        }
        let key = options
            .key
            .take()
            .map(OneOrMany::into_vec)
            .unwrap_or_default();
        for (position, part) in key.iter().enumerate() {
            if let Err(why) = part.check_text().and_then(|()| part.check_early()) {
                invalid.and(Invalid::at(format!("key[{position}]"), why));
            }
        }
        let tags = options.tags.as_ref().map(FieldName::get);
        if let Some(own) = tags.filter(|tags| is_own(tags)) {
            let wrong = format!("found `{own}`, which the gateway sets itself");
            let wrong = format!("expected a field that lists tags, {wrong}");
            invalid.and(Invalid::at("tags", wrong));
        }
        if let Some(Err(why)) = options.bypass.as_ref().map(Condition::check_early) {
            invalid.and(Invalid::at("bypass", why));
        }
        invalid.into_result()?;
        for name in options.vary.iter().flatten() {
            cx.reads(name);
        }
        Ok(Self {
            per_caller: options.per_caller,
            bypass: options.bypass.take(),
            policy: Arc::new(options.policy(store)),
            key,
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        // What changes a resource has a say in what is stored of it, whoever sends it.
        let reads = req.method().is_safe();
        if let Some(bypass) = self.bypass.as_ref().filter(|_| reads)
            && bypass.test(&req.facts()).map_err(|why| undecided(&why))?
        {
            req.exchange.cache = None;
            return Ok(());
        }
        let caller = match (&req.exchange.identity, self.per_caller) {
            (Some(identity), true) => Some(caller(identity)),
            (None, true) if reads => {
                req.exchange.cache = None; // whose it is cannot be told
                return Ok(());
            }
            _ => None,
        };
        let mut key = Vec::with_capacity(self.key.len());
        for part in &self.key {
            let text = part.text(&req.facts()).map_err(|why| undecided(&why))?;
            key.push(text.into_owned());
        }
        req.exchange.cache = Some(Box::new(Plan {
            policy: self.policy.clone(),
            key,
            caller,
        }));
        Ok(())
    }

    fn plan_for_all(&self) -> Option<&Arc<Policy>> {
        let alike = self.key.is_empty() && self.bypass.is_none() && !self.per_caller;
        alike.then_some(&self.policy)
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        // The cache has read and taken it out by now, unless it was bypassed.
        if let Some(tags) = &self.policy.tags
            && res.headers().contains_key(tags)
        {
            res.headers_mut().remove(tags);
        }
    }
}

/// Whether the gateway sets such a field in responses, its own among them: to take that out would take out its own.
fn is_own(name: &header::HeaderName) -> bool {
    const OWN: [header::HeaderName; 8] = [
        header::AGE,
        header::CACHE_CONTROL,
        header::CACHE_STATUS,
        header::CONTENT_TYPE,
        header::DATE,
        header::RETRY_AFTER,
        header::VARY,
        header::VIA,
    ];
    OWN.contains(name) || name == "x-request-id"
}

/// What tells a caller from all others: names are unique within their issuer only (RFC 7519, 4.1.2),
/// and a consumer may have the name of somebody else.
fn caller(identity: &Identity) -> String {
    let issuer = identity.claim(&["iss"]).and_then(|issuer| issuer.as_str());
    let consumer = identity.consumer.as_ref().map(|consumer| &*consumer.name);
    let (by, name) = (identity.by, &identity.name);
    let (issuer, consumer) = (issuer.unwrap_or(""), consumer.unwrap_or(""));
    format!("{by}\u{0}{name}\u{0}{issuer}\u{0}{consumer}")
}

impl Options {
    fn policy(self, store: usize) -> Policy {
        Policy {
            store,
            ttl: by_status(self.ttl),
            force: self.force,
            guess: (self.guess.fraction(), self.longest_guess.get()),
            while_revalidate: self
                .stale_while_revalidate
                .map(Period::get)
                .unwrap_or_default(),
            if_error: self.stale_if_error.map(Period::get).unwrap_or_default(),
            vary: (self.vary.into_iter().flatten())
                .map(|name| name.get().clone())
                .collect(),
            tags: self.tags.map(|name| name.get().clone()),
            set_cookie: match self.set_cookie {
                Cookie::Pass => SetCookie::Pass,
                Cookie::Strip => SetCookie::Strip,
                Cookie::Keep => SetCookie::Keep,
            },
            ignores_cookies: self.ignore_cookies,
            obeys_requests: self.obey_requests,
            tells: self.cache_status,
            patience: self.patience.get(),
            remember: self.remember.get(),
        }
    }
}

fn undecided(why: &str) -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "condition_failed").log(why)
}
