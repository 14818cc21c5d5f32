//! `rate_limit`: lets so many requests pass in a time.

mod algorithm;
mod by;
mod counts;
mod fields;
mod limits;
mod local;
mod options;
mod portable;
mod remote;
mod servers;
mod shared;
mod table;
#[cfg(test)]
mod tests;

use wiregate_sdk::types::{OneOrMany, Rate};
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{
    Build, Deserialize, Expression, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request,
    Response, StatusCode, header,
};

use by::{By, client};
use counts::{Counts, Key, UNREACHABLE};
use fields::name_of;
use limits::Verdict;
pub use options::Options;
use options::{Plans, Set};

/// Lets so many requests of each client pass in a time, and refuses the others.
///
/// A client that was quiet may send `burst` requests at once, and gets one more each time that the
/// limit grants one: with `100/min` a hundred at once, and then one every 0.6 s. Other
/// [algorithms](#algorithm) fill a bucket at intervals, or count in windows. Refused requests are
/// not counted; all others are, whatever becomes of them.
///
/// Of several limits, such as `[10/s, 1000/h]`, all must let a request pass, and one that any of them
/// refuses is taken from none. That does not hold for two `rate_limit` filters, where the first one has
/// counted what the second one refuses: limits that belong together stand in one filter.
///
/// `by` says whose requests are counted together. Whoever it is empty for shares one limit: with
/// `by: consumer` all callers that the configuration does not know (for those whom an issuer alone knows there is
/// `by: identity.name`), with `by: request.headers["x-tenant"]` all requests without that field. Where no filter before it finds
/// out which consumer is calling, as `api_key` does, `by: consumer` is an error.
/// `by: '"all"'` is one limit for everybody, and `by: route` one for each route that uses the filter. A filter that is named once and used by several routes counts for all of them
/// together. Counts outlive reloads, and [upgrades](../operating.md#upgrades), as long as `limit`,
/// `algorithm`, `burst`, `by`, `ipv6_prefix`, `keys` and `store` stay.
///
/// | what happens | what the client gets |
/// |---|---|
/// | the limit is used up | 429 with `Retry-After` in seconds, reason `rate_limited` |
/// | the request costs more than the limit ever grants | 429 without `Retry-After`, reason `rate_limited` |
/// | `by` or `cost` has no value, as after a division by zero | 500, reason `condition_failed` |
/// | the store does not answer in time, and `on_store_error` is `deny` | 503 with `Retry-After: 1`, reason `store_unreachable` |
///
/// **Header fields.** Unless `headers` says otherwise, every response tells where the client stands,
/// after draft-ietf-httpapi-ratelimit-headers-10. The policy's name is the filter's, followed by the
/// limit where there are several:
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
/// Where `cost` is not 1, all of them count costs.
///
/// **Memory** is bounded: a client of whose limits nothing is used is forgotten, and no other one.
/// Clients are kept in parts of 896 at most, each of which is made when it is needed. While the part
/// that a new client falls to is full, it shares the limit of a single client with all others that find
/// no room there; parts do not fill evenly, so this may begin when there are eight tenths of `keys`. Such requests
/// are counted (`wiregate_filter_degraded_total`) and marked in the access log (`degraded`: `keys_full`): raise `keys` above
/// the number of clients that there are within the longest period, and count by what a client cannot make up. A
/// client takes about 30 bytes with one limit, 60 at most, however long the text of its key is:
/// 100000 of them are 3 to 6 MB. Each further limit takes 8 to 16 more, one with `token_bucket` or
/// `fixed_window` twice that, and one with `sliding_window` 136 to 272.
///
/// **In an upgrade** the counts go over to the new process when it begins: of all filters together
/// 64 MiB, or 1 MiB of each where there are many, which is 3 million clients with one limit. Of more, those
/// go over that would have to wait for longest until nothing of their limits is used; and not those
/// that shared a limit for want of room. Until the old process has ended, it counts by itself the requests
/// that still come over its connections: who has some with both may get what was left of a limit twice.
/// Counts of a version that keeps them in another form stay behind, and the log says so.
///
/// **Several gateways** count together with a `store`: a request then takes one round trip to it, in
/// which all limits are decided upon at once. What counts together is what has the same name in the
/// configuration (a named filter), or the same place in a route of the same name. The store sees a
/// digest of the key, never the key itself. Time is the store's; where it is set back, nothing is
/// forgotten, and nobody waits longer than the limits say from then on.
///
/// A request waits for the store no longer than `deadline`, and not at all while it is known to be
/// unreachable; then `on_store_error` holds. So it does while the store refuses to write, because it is
/// full or a replica. What is decided without it is counted (`wiregate_filter_degraded_total`) and marked
/// in the access log (`degraded`), be it let through or refused. A request that timed out may have been counted in the store. When that
/// is back, its counts hold again. It must not evict keys (`maxmemory-policy noeviction`): what it
/// forgets is granted a second time. So is what a replica had not seen yet when it became the master.
///
/// Its user needs the keys that begin with `prefix` (`~wiregate:*`) and the commands `EVALSHA`, `EVAL`,
/// `GET`, `SET`, `TIME` and `PING`; `SELECT` as well with a database other than 0, `CLUSTER SLOTS` with
/// `kind: cluster`, and `ROLE` with `kind: sentinel`. That of the sentinels needs `SENTINEL MASTERS` and `ROLE`.
/// `CLIENT SETINFO`, which tells a server who calls, may be refused.
///
/// [A whole configuration](../../examples/rate-limit.yaml) is among the examples.
///
/// ```yaml
/// - rate_limit: 100/min
/// ```
///
/// ```yaml
/// - rate_limit:
///     limit: [20/s, 1000/h, 20000/day]
///     by: request.headers["x-api-key"]
///     cost: 'request.method == "GET" ? 1 : 5'
///     headers: both
/// ```
///
/// ```yaml
/// - jwt: { issuer: "https://id.example.com", audience: orders, consumer: client_id, unknown_consumer: allow }
/// - rate_limit:
///     limit:
///       plans: { free: 100/h, pro: [50/s, 10000/h] }
///       otherwise: 10/h
///     by: consumer
///     algorithm: sliding_window
///     store: { redis: "redis://10.0.0.5:6379" }
///     on_store_error: { local: { gateways: 3 } }
/// ```
///
/// ```yaml
/// - rate_limit:
///     limit: 1000/h
///     store:
///       redis:
///         at: ["redis://10.0.0.5:26379", "redis://10.0.0.6:26379"]
///         kind: sentinel
///         master: limits
///         password: ${env:REDIS_PASSWORD}
///         deadline: 20ms
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(ShortOrFull<OneOrMany<Rate>, Options>);

/// The word for a key that shares a limit for want of room.
const CROWDED: &str = "keys_full";

/// The running form of `rate_limit`.
pub struct RateLimit {
    plans: Plans,
    by: By,
    cost: Option<Expression>,
    counts: Counts,
    label: Box<str>,
}

/// Where a request stands, for the response, and with the limits of which plan.
#[derive(Default)]
pub struct State(Option<(usize, Verdict)>);

impl Filter for RateLimit {
    const NAME: &'static str = "rate_limit";
    type Config = Config;
    type State = State;

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let mut options = match config.0 {
            ShortOrFull::Short(limit) => Options::new(limit),
            ShortOrFull::Full(options) => options,
        };
        let plans = options.plans(cx.label)?;
        cx.adds_fields(plans.sets[0].fields.count());
        let by = By::new(options.by.take(), options.ipv6_prefix)?;
        if by.is_consumer() {
            cx.needs_consumer();
        }
        let cost = options.cost.take();
        if let Some(cost) = &cost {
            cost.check_number()
                .and_then(|()| cost.check_early())
                .and_then(|()| check_cost(cost.constant_number()))
                .map_err(|why| Invalid::at("cost", why))?;
        }
        Ok(Self {
            counts: Counts::new(&options, &plans, &by, cx)?,
            plans,
            by,
            cost,
            label: cx.label.into(),
        })
    }

    async fn request(&self, req: &mut Request<'_>, state: &mut State) -> Flow {
        let position = self.plans.of(req.exchange);
        let set = &self.plans.sets[position];
        let (cost, came) = (self.cost(req)?, req.now().instant);
        let key = self.key(req)?;
        let verdict = match &self.counts {
            Counts::Local(local) => local.check(&set.limits, position, &key, cost, came),
            Counts::Shared(shared, otherwise) => {
                // Boxed, which keeps the future of those that count for themselves small.
                let verdict =
                    Box::pin(shared.check(&set.limits, position, &key.text(), cost)).await;
                match verdict {
                    Ok(verdict) => verdict,
                    Err(why) => {
                        let verdict = otherwise.decide(set, position, &key, (cost, came), &why)?;
                        req.degraded(UNREACHABLE);
                        match verdict {
                            Some(verdict) => verdict,
                            None => return Ok(()),
                        }
                    }
                }
            }
        };
        if verdict.crowded {
            req.degraded(CROWDED);
        }
        let admitted = verdict.admitted;
        let (_, verdict) = state.0.insert((position, verdict));
        if admitted {
            return Ok(());
        }
        Err(self.refuse(set, verdict))
    }

    fn response(&self, res: &mut Response<'_>, state: &mut State) {
        if let Some((position, verdict)) = &state.0 {
            self.plans.sets[*position].fields.write(verdict, res);
        }
    }
}

impl RateLimit {
    fn key<'r>(&'r self, req: &'r Request<'_>) -> Result<Key<'r>, Reply> {
        match &self.by {
            By::Address(mask) => Ok(Key::Address(client(req.exchange.client.address, *mask))),
            By::Text(expression) => match expression.text(&req.facts()) {
                Ok(text) => Ok(Key::Text(text)),
                Err(why) => Err(undecided("by", &why)),
            },
        }
    }

    fn cost(&self, req: &Request<'_>) -> Result<u32, Reply> {
        let Some(cost) = &self.cost else {
            return Ok(1);
        };
        let cost = cost.number(&req.facts()).and_then(|number| {
            u32::try_from(number).map_err(|_| "expected a number from 0 to 4294967295".to_owned())
        });
        cost.map_err(|why| undecided("cost", &why))
    }

    fn refuse(&self, set: &Set, verdict: &Verdict) -> Reply {
        let each = set.limits.each.iter().zip(&verdict.standings);
        let refusing: Vec<_> = each.filter(|(_, standing)| standing.refuses).collect();
        let rates: Vec<_> = (refusing.iter())
            .map(|(limit, _)| limit.rate.to_string())
            .collect();
        let rates = rates.join(" and ");
        let names: Vec<_> = (refusing.iter())
            .map(|(limit, _)| name_of(limit, &self.label, &set.limits))
            .collect();
        let reply = Reply::problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            .member("violated-policies", names);
        let waits: Option<Vec<u32>> = refusing.iter().map(|(_, it)| it.wait).collect();
        match waits.and_then(|waits| waits.into_iter().max()) {
            Some(wait) => {
                let wait = wait.max(1);
                reply
                    .header(header::RETRY_AFTER, HeaderValue::from(wait))
                    .detail(format!(
                        "the limit of {rates} is used up, try again in {wait} s"
                    ))
            }
            None => reply.detail(format!(
                "the request costs more than the limit of {rates} grants"
            )),
        }
    }
}

/// Whether a request can cost what it costs for everybody.
fn check_cost(constant: Option<i64>) -> Result<(), String> {
    match constant.filter(|cost| u32::try_from(*cost).is_err()) {
        Some(cost) => Err(format!(
            "expected a number from 0 to 4294967295, found `{cost}`"
        )),
        None => Ok(()),
    }
}

fn undecided(option: &str, why: &str) -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "condition_failed")
        .log(format!("`{option}` has no value: {why}"))
}
