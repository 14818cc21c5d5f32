//! `daily_quota`: lets each caller make so many requests a day.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wiregate_sdk::header::RETRY_AFTER;
use wiregate_sdk::{
    Build, Clock, Deserialize, Filter, Flow, Invalid, JsonSchema, Reply, Request, StatusCode,
};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
/// Callers that are counted at the same time: what anyone can make more of needs a bound.
const MOST_CALLERS: usize = 100_000;

/// Lets each caller make so many requests a day.
///
/// A caller is who an earlier filter says it is, or else an address. The day begins with a
/// caller's first request. Whoever has used up the quota gets a 429 with the reason
/// `quota_used_up` and a `Retry-After`.
///
/// ```yaml
/// - daily_quota: { limit: 1000 }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// Requests a day.
    limit: NonZeroU64,
}

/// The running form of `daily_quota`.
pub struct DailyQuota {
    limit: u64,
    used: Arc<Used>,
}

impl Filter for DailyQuota {
    const NAME: &'static str = "daily_quota";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let used = cx.keep("used", Used::default);
        cx.background(sweep(used.clone(), cx.clock.clone()));
        Ok(Self {
            limit: config.limit.get(),
            used,
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let caller = match &req.exchange.identity {
            Some(identity) => Caller::Named(identity.name.clone()),
            None => Caller::At(req.exchange.client.address),
        };
        self.used.take(caller, self.limit, req.now().instant)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Caller {
    Named(Arc<str>),
    At(IpAddr),
}

/// What callers have used of their day.
#[derive(Default)]
struct Used(Mutex<HashMap<Caller, Today>>);

struct Today {
    since: Instant,
    requests: u64,
}

impl Used {
    fn take(&self, caller: Caller, limit: u64, now: Instant) -> Flow {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = callers.len() >= MOST_CALLERS;
        let today = match callers.entry(caller) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => {
                return Err(Reply::problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too_many_callers",
                ));
            }
            Entry::Vacant(entry) => entry.insert(Today {
                since: now,
                requests: 0,
            }),
        };
        if now.duration_since(today.since) >= DAY {
            (today.since, today.requests) = (now, 0);
        }
        if today.requests < limit {
            today.requests += 1;
            return Ok(());
        }
        let wait = DAY - now.duration_since(today.since);
        Err(
            Reply::problem(StatusCode::TOO_MANY_REQUESTS, "quota_used_up")
                .detail(format!("{limit} requests a day are allowed"))
                .header(RETRY_AFTER, wait.as_secs().max(1).into()),
        )
    }

    fn forget(&self, now: Instant) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|_, today| now.duration_since(today.since) < DAY);
    }
}

/// Forgets callers whose day is over, for as long as the configuration lives.
async fn sweep(used: Arc<Used>, clock: Clock) {
    loop {
        tokio::time::sleep(HOUR).await;
        used.forget(clock.now().instant);
    }
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::testing::{Probe, probe, refusal};

    use super::*;

    async fn status(filter: &Probe, caller: &str) -> u16 {
        filter.get("/").identity(caller).send().await.status()
    }

    #[tokio::test]
    async fn refuses_the_third_and_recovers_the_next_day() {
        let filter = probe::<DailyQuota>("limit: 2");
        assert_eq!(status(&filter, "ann").await, 200);
        assert_eq!(status(&filter, "ann").await, 200);
        filter.clock().advance(HOUR);
        let seen = filter.get("/").identity("ann").send().await;
        assert_eq!((seen.status(), seen.reason()), (429, Some("quota_used_up")));
        assert_eq!(seen.header("retry-after"), Some("82800"));
        assert_eq!(status(&filter, "bob").await, 200);
        filter.clock().advance(DAY - HOUR);
        assert_eq!(status(&filter, "ann").await, 200);
    }

    #[tokio::test]
    async fn who_is_not_known_counts_by_address() {
        let filter = probe::<DailyQuota>("limit: 1");
        assert_eq!(filter.get("/").from("192.0.2.1").send().await.status(), 200);
        assert_eq!(filter.get("/").from("192.0.2.1").send().await.status(), 429);
        assert_eq!(filter.get("/").from("192.0.2.2").send().await.status(), 200);
    }

    #[tokio::test]
    async fn a_reload_forgets_nothing() {
        let filter = probe::<DailyQuota>("limit: 1");
        assert_eq!(status(&filter, "ann").await, 200);
        let filter = filter.reload::<DailyQuota>("limit: 2");
        assert_eq!(status(&filter, "ann").await, 200);
        assert_eq!(status(&filter, "ann").await, 429);
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_callers_whose_day_is_over() {
        let (used, clock) = (Arc::new(Used::default()), Clock::manual());
        used.take(Caller::Named("ann".into()), 1, clock.now().instant)
            .unwrap();
        clock.advance(HOUR);
        used.take(Caller::Named("bob".into()), 1, clock.now().instant)
            .unwrap();
        clock.advance(DAY - HOUR);
        let task = tokio::spawn(sweep(used.clone(), clock));
        tokio::time::sleep(2 * HOUR).await;
        let callers = used.0.lock().unwrap();
        assert_eq!(
            callers.keys().collect::<Vec<_>>(),
            [&Caller::Named("bob".into())]
        );
        task.abort();
    }

    #[test]
    fn counts_no_more_callers_than_there_is_room_for() {
        let (used, now) = (Used::default(), Instant::now());
        for number in 0..MOST_CALLERS {
            let address = IpAddr::from(u128::try_from(number).unwrap().to_be_bytes());
            used.take(Caller::At(address), 1, now).unwrap();
        }
        let refused = used.take(Caller::Named("ann".into()), 1, now).unwrap_err();
        assert_eq!(refused.reason(), Some("too_many_callers"));
        used.forget(now + DAY);
        used.take(Caller::Named("ann".into()), 1, now + DAY)
            .unwrap();
    }

    #[tokio::test]
    async fn has_one_task_in_the_background() {
        assert_eq!(probe::<DailyQuota>("limit: 1").take_tasks().len(), 1);
    }

    #[test]
    fn a_quota_of_nothing_is_refused() {
        assert!(refusal::<DailyQuota>("limit: 0").contains("1:8"));
    }
}
