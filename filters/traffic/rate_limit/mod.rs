//! `rate_limit`: lets so many requests pass in a time.

mod fields;
mod limiter;
#[cfg(test)]
mod limiter_tests;
mod store;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use wiregate_sdk::types::Rate;
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{
    Build, Deserialize, Expression, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request,
    Response, StatusCode, header,
};

use fields::Fields;
pub use fields::Headers;
use limiter::{Limiter, Pace, Standing};

/// Lets so many requests of each client pass in a time, and refuses the others.
///
/// A client that was quiet may send `burst` requests at once, and gets one more each time that the
/// limit grants one: with `100/min` a hundred at once, and then one every 0.6 s (GCRA, a leaky
/// bucket). So in any stretch of time no more pass than the limit grants in it, and `burst` on top:
/// up to 200 in the first minute after a quiet one, 110 with `burst: 10`. Refused requests are not
/// counted; all others are, whatever becomes of them.
///
/// `by` says whose requests are counted together. Whoever it is empty for shares one limit: with
/// `by: consumer` all callers without a name, with `by: request.headers["x-tenant"]` all requests
/// without that field. `by: '"all"'` is one limit for everybody. A filter that is named once and
/// used by several routes counts for all of them together. Each gateway process counts for itself.
/// Counts outlive reloads as long as `limit`, `burst`, `by`, `ipv6_prefix` and `keys` stay.
///
/// | what happens | what the client gets |
/// |---|---|
/// | the limit is used up | 429 with `Retry-After` in seconds, reason `rate_limited` |
/// | `by` has no value, as after a division by zero | 500, reason `condition_failed` |
///
/// Unless `headers` says otherwise, every response tells where the client stands, after
/// draft-ietf-httpapi-ratelimit-headers-10. The policy's name is the filter's:
///
/// ```text
/// RateLimit-Policy: "rate_limit";q=100;w=60
/// RateLimit: "rate_limit";r=42;t=1
/// ```
///
/// `q` requests per `w` seconds; `r` more right now; in `t` seconds there is one more. Where
/// `burst` is not the limit's own count, `wiregate-burst` tells it. The older fields are the
/// burst (`X-RateLimit-Limit`), how many more right now (`-Remaining`), and in how many seconds the
/// whole burst is there again (`-Reset`); of several limits they tell the one with the fewest left.
///
/// Memory is bounded: a client that has all of its burst again is forgotten, and no other one.
/// Clients are kept in parts of 896 at most. While the part that a new one falls to is full, it
/// shares the limit of a single client with all others that find no room there; parts do not fill
/// evenly, so this may begin when there are eight tenths of `keys`. A client takes about 20 bytes, 40
/// at most, however long the text of its key is: 100000 of them are 2 to 4 MB.
///
/// ```yaml
/// - rate_limit: 100/min
/// ```
///
/// ```yaml
/// - rate_limit:
///     limit: 20/s
///     burst: 50
///     by: request.headers["x-api-key"]
///     headers: both
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(ShortOrFull<Rate, Options>);

/// The options of `rate_limit`, written out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Options {
    /// How many requests in what time; at most a million per second.
    limit: Rate,
    /// How many requests may come at once; the limit's own count when absent.
    #[serde(default)]
    burst: Option<NonZeroU32>,
    /// Whose requests are counted together.
    #[serde(default)]
    #[schemars(extend("default" = ADDRESS))]
    by: Option<Expression>,
    /// With `by: client.address`, how many leading bits of an IPv6 address make one client: one
    /// commonly has a whole network of 64.
    #[serde(default)]
    #[schemars(range(min = 1, max = 128), extend("default" = IPV6_PREFIX))]
    ipv6_prefix: Option<u8>,
    /// Which header fields tell a client where it stands.
    #[serde(default)]
    headers: Headers,
    /// How many clients are remembered, 1 to 10000000.
    #[serde(default = "keys")]
    #[schemars(range(min = 1, max = 10_000_000))]
    keys: usize,
}

fn keys() -> usize {
    KEYS
}

const ADDRESS: &str = "client.address";
const IPV6_PREFIX: u8 = 64;
const KEYS: usize = 100_000;
const MOST_KEYS: usize = 10_000_000;

/// The running form of `rate_limit`.
pub struct RateLimit {
    limiter: Arc<Limiter>,
    by: By,
    fields: Fields,
    limit: Rate,
    label: Box<str>,
}

/// Whose requests are counted together.
enum By {
    /// Those of one address, or of an IPv6 network: the bits of its mask.
    Address(u128),
    Text(Expression),
}

/// Where a request stands, for the response.
#[derive(Default)]
pub struct State(Option<Standing>);

impl Filter for RateLimit {
    const NAME: &'static str = "rate_limit";
    type Config = Config;
    type State = State;

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let options = match config.0 {
            ShortOrFull::Short(limit) => Options::new(limit),
            ShortOrFull::Full(options) => options,
        };
        let keys = options.keys()?;
        let limit = options.limit;
        let burst = options.burst.unwrap_or(limit.count);
        let pace = Pace::new(limit, burst).map_err(|(path, why)| Invalid::at(path, why))?;
        let fields = Fields::new(options.headers, cx.label, limit, burst)?;
        let by = By::new(options.by, options.ipv6_prefix)?;
        let clock = cx.clock;
        let kept = format!("{limit}/{burst}/{keys}/{}", by.name());
        Ok(Self {
            limiter: cx.keep(kept, || Limiter::new(pace, keys, clock)),
            by,
            fields,
            limit,
            label: cx.label.into(),
        })
    }

    async fn request(&self, req: &mut Request<'_>, state: &mut State) -> Flow {
        let standing = match &self.by {
            By::Address(mask) => self
                .limiter
                .check(&client(req.exchange.client.address, *mask)),
            By::Text(expression) => match expression.text(&req.facts()) {
                Ok(key) => self.limiter.check(&*key),
                Err(why) => return Err(undecided(&why)),
            },
        };
        state.0 = Some(standing);
        if standing.admitted {
            return Ok(());
        }
        Err(self.refuse(&standing))
    }

    fn response(&self, res: &mut Response<'_>, state: &mut State) {
        if let Some(standing) = &state.0 {
            self.fields.write(standing, res);
        }
    }
}

impl RateLimit {
    fn refuse(&self, standing: &Standing) -> Reply {
        let wait = standing.next.max(1);
        Reply::problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            .header(header::RETRY_AFTER, HeaderValue::from(wait))
            .detail(format!(
                "the limit of {} is used up, try again in {wait} s",
                self.limit
            ))
            .member("violated-policies", vec![&*self.label])
    }
}

fn undecided(why: &str) -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "condition_failed")
        .log(format!("`by` has no value: {why}"))
}

impl Options {
    fn new(limit: Rate) -> Self {
        Self {
            limit,
            burst: None,
            by: None,
            ipv6_prefix: None,
            headers: Headers::default(),
            keys: KEYS,
        }
    }

    fn keys(&self) -> Result<usize, Invalid> {
        match self.keys {
            keys @ 1..=MOST_KEYS => Ok(keys),
            other => Err(Invalid::at(
                "keys",
                format!("expected 1 to {MOST_KEYS}, found `{other}`"),
            )),
        }
    }
}

impl By {
    fn new(by: Option<Expression>, ipv6_prefix: Option<u8>) -> Result<Self, Invalid> {
        match (by, ipv6_prefix) {
            (Some(by), None) if by.source().trim() != ADDRESS => match by.check_text() {
                Ok(()) => Ok(Self::Text(by)),
                Err(why) => Err(Invalid::at("by", why)),
            },
            (Some(by), Some(_)) if by.source().trim() != ADDRESS => Err(Invalid::at(
                "ipv6_prefix",
                format!("expected with `by: {ADDRESS}` only"),
            )),
            (_, prefix) => match prefix.unwrap_or(IPV6_PREFIX) {
                prefix @ 1..=128 => Ok(Self::Address(u128::MAX << (128 - prefix))),
                other => Err(Invalid::at(
                    "ipv6_prefix",
                    format!("expected 1 to 128, found `{other}`"),
                )),
            },
        }
    }

    /// Tells it from others, before and after a reload.
    fn name(&self) -> String {
        match self {
            Self::Address(mask) => format!("{ADDRESS}/{}", mask.leading_ones()),
            Self::Text(expression) => expression.source().to_owned(),
        }
    }
}

/// The client that an address belongs to.
fn client(address: IpAddr, mask: u128) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
