//! Moments of the wall clock, in UTC.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cel::ExecutionError;
use cel::common::traits::Comparer;
use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};

use crate::types::found;

/// A moment, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Since 1970, leap seconds not counted.
    seconds: i64,
    nanos: u32,
}

pub(super) static TIME: Type = Type::new_unspecified_type("google.protobuf.Timestamp");

const DAY: i64 = 86_400;

impl Moment {
    pub(super) fn seconds(self) -> i64 {
        self.seconds
    }

    /// Seconds since midnight.
    pub(super) fn of_day(self) -> i64 {
        self.seconds.rem_euclid(DAY)
    }

    /// Days since Sunday.
    pub(super) fn weekday(self) -> i64 {
        // The first day of 1970 was a Thursday.
        (self.seconds.div_euclid(DAY) + 4).rem_euclid(7)
    }

    /// Year, month and day, the latter two from 1.
    pub(super) fn date(self) -> (i64, i64, i64) {
        // Years begin in March, so that the leap day comes last, and count in eras of 400.
        let days = self.seconds.div_euclid(DAY) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        (era * 400 + year + next, month, day)
    }

    fn from_date(year: i64, month: i64, day: i64) -> Self {
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
        Self {
            seconds: (era * 146_097 + day - 719_468) * DAY,
            nanos: 0,
        }
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        }
    }
}

/// RFC 3339, 5.6.
impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| {
            format!(
                "expected a time such as `2027-01-01T00:00:00Z`, found {}",
                found(text)
            )
        })
    }
}

fn read(text: &str) -> Option<Moment> {
    let (head, rest) = text.split_at_checked(19)?;
    let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !punctuation
        .iter()
        .all(|(at, byte)| head.as_bytes()[*at] == *byte)
    {
        return None;
    }
    let number = |part: &str, most: i64| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|n| digits && *n <= most)
    };
    let day = (
        number(head.get(..4)?, 9999)?,
        number(head.get(5..7)?, 12)?,
        number(head.get(8..10)?, 31)?,
    );
    let moment = Moment::from_date(day.0, day.1, day.2);
    if moment.date() != day {
        return None;
    }
    let hours = number(head.get(11..13)?, 23)?;
    let minutes = number(head.get(14..16)?, 59)?;
    let seconds = number(head.get(17..)?, 59)?;
    let (nanos, zone) = fraction(rest)?;
    Some(Moment {
        seconds: moment.seconds + hours * 3_600 + minutes * 60 + seconds - offset(zone)?,
        nanos,
    })
}

fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let nanos = format!(
        "{:0<9}",
        digits.get(..end).filter(|d| (1..=9).contains(&d.len()))?
    );
    Some((nanos.parse().ok()?, &digits[end..]))
}

/// Seconds ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let number = |part: &str, most: i64| {
        let two = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|n: &i64| two && *n <= most)
    };
    let seconds = number(hours, 23)? * 3_600 + number(minutes, 59)? * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// RFC 3339 in UTC, with milliseconds.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (hours, minutes) = (self.of_day() / 3_600, self.of_day() / 60 % 60);
        let (seconds, millis) = (self.of_day() % 60, self.nanos / 1_000_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"
        )
    }
}

impl Val for Moment {
    fn get_type(&self) -> &Type {
        &TIME
    }

    fn cel_type() -> &'static Type {
        &TIME
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Moment {}

impl Comparer for Moment {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        let other = other.downcast_ref::<Self>();
        other
            .map(|other| self.cmp(other))
            .ok_or_else(|| ExecutionError::no_such_overload("_<_", vec![TIME.name().to_owned()]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(text: &str) -> Moment {
        text.parse().unwrap()
    }

    #[test]
    fn knows_the_calendar() {
        assert_eq!(moment("1970-01-01T00:00:00Z").seconds(), 0);
        assert_eq!(moment("2000-02-29T12:00:00Z").seconds(), 951_825_600);
        assert_eq!(
            moment("2026-11-20T10:04:01.25+01:00").to_string(),
            "2026-11-20T09:04:01.250Z"
        );
        assert_eq!(moment("2026-11-20T00:00:00Z").weekday(), 5);
        assert_eq!(moment("1969-12-31T23:59:59Z").weekday(), 3);
        assert!(moment("2027-01-01T00:00:00Z") < moment("2027-01-01T00:00:00.000000001Z"));
        assert!(moment("2027-01-01T00:00:00-05:00") > moment("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01 00:00:00Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00+1:00",
            "+027-01-01T00:00:00Z",
            "2027-01-01T00:00:00é",
        ] {
            let error = text.parse::<Moment>().unwrap_err();
            assert!(
                error.starts_with("expected a time such as"),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(seconds in -62_135_596_800..253_402_300_800_i64, millis in 0..1000_u32) {
            let moment = Moment { seconds, nanos: millis * 1_000_000 };
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }

        #[test]
        fn never_panics(text in "[0-9TZ:.+é-]{0,30}|.*") {
            let _ = text.parse::<Moment>();
        }
    }
}
