//! Whether a stored response may answer a request (RFC 9111, 4; RFC 5861).

use std::time::{Duration, SystemTime};

use super::marks;
use super::request::Wishes;
use crate::cache::store::Entry;
use crate::cache::{Stored, Times};

/// How a stored response may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// As it is.
    Fresh,
    /// As it is, although it is stale: the request allows it.
    Stale,
    /// As it is, while it is validated for others.
    WhileRevalidating,
    /// After it was validated.
    No,
}

/// `current_age` (4.2.3).
pub fn age(times: &Times, now: SystemTime) -> Duration {
    let here = now.duration_since(times.received).unwrap_or_default();
    times.age.saturating_add(here)
}

/// How long it is fresh still, in seconds; less than nothing where it is stale.
pub fn ttl(times: &Times, now: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(times.lifetime) - seconds(age(times, now))
}

/// How this entry may answer a request that asks for this.
pub fn judge(entry: &Entry, wishes: &Wishes, now: SystemTime) -> Reuse {
    judged(entry.meta(), entry.is_purged(), wishes, now)
}

fn judged(meta: &Stored, purged: bool, wishes: &Wishes, now: SystemTime) -> Reuse {
    if wishes.no_cache || meta.marks & marks::NO_CACHE != 0 {
        return Reuse::No;
    }
    let age = age(&meta.times, now);
    let left = meta
        .times
        .lifetime
        .checked_sub(age)
        .filter(|left| !left.is_zero());
    if let Some(left) = left.filter(|_| !purged) {
        let spared = meta.marks & marks::IMMUTABLE != 0;
        let young = spared || wishes.max_age.is_none_or(|most| age <= seconds(most));
        let lasting = wishes.min_fresh.is_none_or(|least| left >= seconds(least));
        // What is older than wished for is all right where it may be stale (5.2.1.1).
        let old_enough = wishes.max_stale.is_some() && meta.marks & marks::STRICT == 0;
        return if (young || old_enough) && lasting {
            Reuse::Fresh
        } else {
            Reuse::No
        };
    }
    let staleness = age.saturating_sub(meta.times.lifetime);
    if wishes.min_fresh.is_some() {
        return Reuse::No;
    }
    if let Some(most) = wishes.max_stale
        && !purged
        && meta.marks & marks::STRICT == 0
        && staleness <= seconds(most)
    {
        return Reuse::Stale;
    }
    if wishes.max_age.is_none() && staleness < meta.times.while_revalidate {
        return Reuse::WhileRevalidating;
    }
    Reuse::No
}

/// Whether this entry may answer where the upstream fails (4.2.4; RFC 5861, 4).
pub fn stands_in(entry: &Entry, wishes: &Wishes, now: SystemTime) -> bool {
    may_stand_in(entry.meta(), wishes, now)
}

fn may_stand_in(meta: &Stored, wishes: &Wishes, now: SystemTime) -> bool {
    if meta.marks & marks::NO_CACHE != 0 {
        return false;
    }
    let asked = wishes.if_error.filter(|_| meta.marks & marks::STRICT == 0);
    let window = meta
        .times
        .if_error
        .max(asked.map(seconds).unwrap_or_default());
    let staleness = age(&meta.times, now).saturating_sub(meta.times.lifetime);
    staleness < window
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use pingora_http::ResponseHeader;

    use super::*;

    fn meta(marks: u32) -> Stored {
        Stored {
            head: ResponseHeader::build(200, None).unwrap(),
            vary: Vec::new(),
            tags: Vec::new(),
            times: Times {
                received: SystemTime::UNIX_EPOCH,
                age: seconds(10),
                lifetime: seconds(100),
                while_revalidate: seconds(20),
                if_error: seconds(30),
            },
            marks,
        }
    }

    fn at(since: u64, marks: u32, wishes: Wishes) -> Reuse {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
        judged(&meta(marks), false, &wishes, now)
    }

    const NONE: Wishes = Wishes {
        no_cache: false,
        no_store: false,
        only_if_cached: false,
        max_age: None,
        min_fresh: None,
        max_stale: None,
        if_error: None,
    };

    #[test]
    fn rfc9111_4_2_fresh_until_the_lifetime_is_over() {
        assert_eq!(at(0, 0, NONE), Reuse::Fresh);
        assert_eq!(at(89, 0, NONE), Reuse::Fresh);
        assert_eq!(at(90, 0, NONE), Reuse::WhileRevalidating);
    }

    #[test]
    fn rfc5861_3_and_4_stale_within_the_windows() {
        assert_eq!(at(109, 0, NONE), Reuse::WhileRevalidating);
        assert_eq!(at(110, 0, NONE), Reuse::No);
        let stands_in = |since, marks, wishes: Wishes| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
            may_stand_in(&meta(marks), &wishes, now)
        };
        assert!(stands_in(119, 0, NONE));
        assert!(!stands_in(120, 0, NONE));
        assert!(!stands_in(95, marks::NO_CACHE, NONE));
        let wishes = Wishes {
            if_error: Some(40),
            ..NONE
        };
        assert!(stands_in(129, 0, wishes));
        assert!(!stands_in(129, marks::STRICT, wishes));
    }

    #[test]
    fn rfc9111_5_2_1_1_max_age() {
        let wishes = Wishes {
            max_age: Some(15),
            ..NONE
        };
        assert_eq!(at(5, 0, wishes), Reuse::Fresh);
        assert_eq!(at(6, 0, wishes), Reuse::No);
        assert_eq!(at(95, 0, wishes), Reuse::No);
        let wishes = Wishes {
            max_stale: Some(0),
            ..wishes
        };
        assert_eq!(at(6, 0, wishes), Reuse::Fresh);
    }

    #[test]
    fn rfc8246_2_what_is_immutable_is_not_validated_by_a_reload() {
        let wishes = Wishes {
            max_age: Some(0),
            ..NONE
        };
        assert_eq!(at(5, marks::IMMUTABLE, wishes), Reuse::Fresh);
        assert_eq!(at(95, marks::IMMUTABLE, wishes), Reuse::No);
        let wishes = Wishes {
            no_cache: true,
            ..NONE
        };
        assert_eq!(at(5, marks::IMMUTABLE, wishes), Reuse::No);
    }

    #[test]
    fn rfc9111_5_2_1_2_max_stale() {
        let wishes = Wishes {
            max_stale: Some(50),
            ..NONE
        };
        assert_eq!(at(140, 0, wishes), Reuse::Stale);
        assert_eq!(at(141, 0, wishes), Reuse::No);
        assert_eq!(at(140, marks::STRICT, wishes), Reuse::No);
    }

    #[test]
    fn rfc9111_5_2_1_3_min_fresh() {
        let wishes = Wishes {
            min_fresh: Some(50),
            ..NONE
        };
        assert_eq!(at(40, 0, wishes), Reuse::Fresh);
        assert_eq!(at(41, 0, wishes), Reuse::No);
        assert_eq!(at(95, 0, wishes), Reuse::No);
    }

    #[test]
    fn rfc9111_5_2_2_4_and_5_2_1_4_no_cache() {
        assert_eq!(at(0, marks::NO_CACHE, NONE), Reuse::No);
        assert_eq!(
            at(
                0,
                0,
                Wishes {
                    no_cache: true,
                    ..NONE
                }
            ),
            Reuse::No
        );
    }

    #[test]
    fn a_soft_purge_makes_stale() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(judged(&meta(0), true, &NONE, now), Reuse::WhileRevalidating);
        let mut meta = meta(0);
        meta.times.while_revalidate = Duration::ZERO;
        assert_eq!(judged(&meta, true, &NONE, now), Reuse::No);
        let wishes = Wishes {
            max_stale: Some(50),
            ..NONE
        };
        assert_eq!(judged(&meta, true, &wishes, now), Reuse::No);
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_younger_than_it_came() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(100);
        assert_eq!(age(&meta(0).times, before), seconds(10));
        assert_eq!(ttl(&meta(0).times, before), 90);
    }
}
