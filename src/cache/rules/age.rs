//! How old a response is, and how long it is fresh (RFC 9111, 4.2).

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::date;
use super::fields::{Field, Fields};
use super::list;
use super::response::Terms;

/// When a response came.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// `response_time`.
    pub at: SystemTime,
    /// The same, in seconds since 1970.
    pub(super) seconds: i64,
    /// `response_delay`: how long it was awaited.
    delay: Duration,
}

impl Came {
    /// At this moment, after so long.
    pub fn new(at: SystemTime, delay: Duration) -> Self {
        let seconds = date::seconds(at);
        Self { at, seconds, delay }
    }
}

/// How long a response without a date of its own for it may be fresh: a share of the time since it
/// was modified, within bounds (4.2.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// That share, of 1.
    pub share: f64,
    /// At most so long.
    pub most: Duration,
}

/// `corrected_initial_age` (4.2.3) of a response with this `Date`.
pub(super) fn initial_age(fields: &Fields<'_>, date: Option<i64>, came: Came) -> Duration {
    let apparent = date.map_or(0, |date| came.seconds.saturating_sub(date).max(0));
    let corrected = Duration::from_secs(age_value(fields).into()) + came.delay;
    corrected.max(Duration::from_secs(apparent.unsigned_abs()))
}

/// `Age` (5.1): the first value; none where it is no number.
fn age_value(fields: &Fields<'_>) -> u32 {
    let first = fields.first(Field::Age);
    let first = first.and_then(|line| line.split(|byte| *byte == b',').next());
    first
        .and_then(|text| list::seconds(text.trim_ascii()))
        .unwrap_or(0)
}

/// `Date`, where it is one.
pub(super) fn date_of(fields: &Fields<'_>, now: i64) -> Option<i64> {
    date::parse(fields.first(Field::Date)?, now)
}

/// `freshness_lifetime` (4.2.1), as far as the response says so itself; what it says twice, or not
/// as it should, is none at all.
pub(super) fn explicit(terms: &Terms, fields: &Fields<'_>, came: Came) -> Option<Duration> {
    if let Some(seconds) = terms.lifetime {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut lines = fields.all(Field::Expires);
    let expires = lines.next().filter(|_| !terms.targeted)?;
    let until = (lines.next().is_none()).then(|| date::parse(expires, came.seconds));
    let from = date_of(fields, came.seconds).unwrap_or(came.seconds);
    let seconds = until
        .flatten()
        .map_or(0, |until| until.saturating_sub(from));
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The lifetime of a response that says nothing of it (4.2.2).
pub(super) fn guessed(
    terms: &Terms,
    status: StatusCode,
    fields: &Fields<'_>,
    came: Came,
    guess: Guess,
) -> Option<Duration> {
    if !terms.public && !is_guessable(status) {
        return None;
    }
    let modified = date::parse(fields.first(Field::LastModified)?, came.seconds)?;
    let from = date_of(fields, came.seconds).unwrap_or(came.seconds);
    let since = Duration::from_secs(u64::try_from(from.saturating_sub(modified)).ok()?);
    Some(since.mul_f64(guess.share).min(guess.most))
}

/// Statuses that are cacheable by default (RFC 9110, 15.1), but for 206, which is never stored.
pub(super) fn is_guessable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const CAME: u64 = 1_795_600_000;

    fn came(delay: u64) -> Came {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(CAME);
        Came::new(at, Duration::from_secs(delay))
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn at(offset: i64) -> String {
        date::format(i64::try_from(CAME).unwrap() + offset)
    }

    fn age(lines: &[(&'static str, &str)], delay: u64) -> u64 {
        let headers = headers(lines);
        let fields = Fields::of(&headers);
        let date = date_of(&fields, i64::try_from(CAME).unwrap());
        initial_age(&fields, date, came(delay)).as_secs()
    }

    #[test]
    fn rfc9111_4_2_3_age_date_and_delay_count() {
        assert_eq!(age(&[], 0), 0);
        assert_eq!(age(&[], 7), 7);
        assert_eq!(age(&[("age", "30")], 7), 37);
        assert_eq!(age(&[("date", &at(-100))], 0), 100);
        assert_eq!(age(&[("date", &at(-100)), ("age", "30")], 7), 100);
        assert_eq!(age(&[("date", &at(100)), ("age", "30")], 0), 30);
    }

    #[test]
    fn rfc9111_5_1_the_first_age_counts_where_it_is_a_number() {
        for (value, expected) in [
            ("7200, 0", 7200),
            ("0, 7200", 0),
            ("abc", 0),
            ("-7200", 0),
            ("7200.0", 0),
            ("2147483649", 1 << 31),
        ] {
            assert_eq!(age(&[("age", value)], 0), expected, "{value}");
        }
        assert_eq!(age(&[("age", "7200"), ("age", "0")], 0), 7200);
    }

    fn lifetime(lines: &[(&'static str, &str)]) -> Option<u64> {
        let headers = headers(lines);
        let fields = Fields::of(&headers);
        explicit(&Terms::of(&fields), &fields, came(0)).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn rfc9111_4_2_1_max_age_then_expires_less_date() {
        let later = at(100);
        assert_eq!(lifetime(&[("expires", &later)]), Some(100));
        assert_eq!(
            lifetime(&[("expires", &later), ("date", &at(-50))]),
            Some(150)
        );
        let both = [("expires", &*later), ("cache-control", "max-age=7")];
        assert_eq!(lifetime(&both), Some(7));
        assert_eq!(lifetime(&[]), None);
    }

    #[test]
    fn rfc9111_5_3_expires_that_is_no_date_or_twice_is_past() {
        assert_eq!(lifetime(&[("expires", "0")]), Some(0));
        assert_eq!(lifetime(&[("expires", &at(-100))]), Some(0));
        assert_eq!(
            lifetime(&[("expires", &at(100)), ("expires", &at(100))]),
            Some(0)
        );
    }

    #[test]
    fn rfc9213_2_2_expires_says_nothing_beside_a_targeted_field() {
        let lines = [("expires", &*at(100)), ("cdn-cache-control", "public")];
        assert_eq!(lifetime(&lines), None);
    }

    fn guess(status: u16, lines: &[(&'static str, &str)]) -> Option<u64> {
        let headers = headers(lines);
        let fields = Fields::of(&headers);
        let rule = Guess {
            share: 0.1,
            most: Duration::from_secs(1000),
        };
        let status = StatusCode::from_u16(status).unwrap();
        let lifetime = guessed(&Terms::of(&fields), status, &fields, came(0), rule);
        lifetime.map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn rfc9111_4_2_2_a_guess_needs_last_modified_and_a_status_that_allows_it() {
        let modified = at(-500);
        assert_eq!(guess(200, &[("last-modified", &modified)]), Some(50));
        assert_eq!(guess(200, &[("last-modified", &at(-500_000))]), Some(1000));
        assert_eq!(guess(200, &[("last-modified", &at(500))]), None);
        assert_eq!(guess(200, &[]), None);
        for status in [201, 202, 403, 502, 503, 504, 599] {
            assert_eq!(
                guess(status, &[("last-modified", &modified)]),
                None,
                "{status}"
            );
        }
        let public = [("last-modified", &*modified), ("cache-control", "public")];
        assert_eq!(guess(599, &public), Some(50));
    }
}
