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
    times.age.saturating_add(since(times.received, now))
}

/// How long an entry is fresh still, in seconds; nothing or less where it is stale.
pub fn ttl(entry: &Entry, now: SystemTime) -> i64 {
    time_to_live(&entry.meta().times, entry.purged(), now)
}

fn time_to_live(times: &Times, purged: Option<SystemTime>, now: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let left = seconds(times.lifetime) - seconds(age(times, now));
    purged.map_or(left, |at| left.min(-seconds(since(at, now))))
}

/// For how long it has been stale: since its lifetime is over, or since a soft purge has ended that.
fn staleness(times: &Times, purged: Option<SystemTime>, now: SystemTime) -> Duration {
    let over = age(times, now).saturating_sub(times.lifetime);
    purged.map_or(over, |at| over.max(since(at, now)))
}

fn since(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or_default()
}

/// How this entry may answer a request that asks for this.
pub fn judge(entry: &Entry, wishes: &Wishes, now: SystemTime) -> Reuse {
    judged(entry.meta(), entry.purged(), wishes, now)
}

fn judged(meta: &Stored, purged: Option<SystemTime>, wishes: &Wishes, now: SystemTime) -> Reuse {
    if wishes.no_cache || meta.marks & marks::NO_CACHE != 0 {
        return Reuse::No;
    }
    let age = age(&meta.times, now);
    let left = meta
        .times
        .lifetime
        .checked_sub(age)
        .filter(|left| !left.is_zero());
    if let Some(left) = left.filter(|_| purged.is_none()) {
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
    let staleness = staleness(&meta.times, purged, now);
    if wishes.min_fresh.is_some() {
        return Reuse::No;
    }
    if let Some(most) = wishes.max_stale
        && purged.is_none()
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
    may_stand_in(entry.meta(), entry.purged(), wishes, now)
}

fn may_stand_in(
    meta: &Stored,
    purged: Option<SystemTime>,
    wishes: &Wishes,
    now: SystemTime,
) -> bool {
    if meta.marks & marks::NO_CACHE != 0 {
        return false;
    }
    let asked = wishes.if_error.filter(|_| meta.marks & marks::STRICT == 0);
    let window = meta
        .times
        .if_error
        .max(asked.map(seconds).unwrap_or_default());
    staleness(&meta.times, purged, now) < window
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::cache::Head;

    fn meta(marks: u32) -> Stored {
        Stored {
            head: Head::new(StatusCode::OK, &[]),
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
        judged(&meta(marks), None, &wishes, now)
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
            may_stand_in(&meta(marks), None, &wishes, now)
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
        let purged = Some(now);
        assert_eq!(
            judged(&meta(0), purged, &NONE, now),
            Reuse::WhileRevalidating
        );
        let mut meta = meta(0);
        meta.times.while_revalidate = Duration::ZERO;
        assert_eq!(judged(&meta, purged, &NONE, now), Reuse::No);
        let wishes = Wishes {
            max_stale: Some(50),
            ..NONE
        };
        assert_eq!(judged(&meta, purged, &wishes, now), Reuse::No);
    }

    #[test]
    fn the_windows_of_a_soft_purge_begin_with_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let purged = Some(at(40));
        let judged = |seconds| judged(&meta(0), purged, &NONE, at(seconds));
        let stands_in = |seconds| may_stand_in(&meta(0), purged, &NONE, at(seconds));
        assert_eq!(judged(59), Reuse::WhileRevalidating);
        assert_eq!(judged(60), Reuse::No);
        assert!(stands_in(69) && !stands_in(70));
        // What was stale before is not less so.
        let late = Some(at(100));
        assert_eq!(
            super::judged(&meta(0), late, &NONE, at(109)),
            Reuse::WhileRevalidating
        );
        assert_eq!(super::judged(&meta(0), late, &NONE, at(110)), Reuse::No);
        let ttl = |seconds| time_to_live(&meta(0).times, purged, at(seconds));
        assert_eq!((ttl(40), ttl(50), ttl(140)), (0, -10, -100));
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_younger_than_it_came() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(100);
        assert_eq!(age(&meta(0).times, before), seconds(10));
        assert_eq!(time_to_live(&meta(0).times, None, before), 90);
    }
}
