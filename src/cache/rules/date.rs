//! Dates in fields (RFC 9110, 5.6.7), in seconds since 1970.

use std::time::{Duration, SystemTime};

use super::last::Last;

const DAYS: [&[u8]; 7] = [
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
    b"Sunday",
];
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY: i64 = 86_400;
/// How long a date in the preferred form is.
pub(super) const LENGTH: usize = 29;

/// A date in one of the three forms, in any case; `now` settles the century of a year with two
/// digits.
pub(super) fn parse(text: &[u8], now: i64) -> Option<i64> {
    thread_local! {
        static LAST: Last<Option<i64>> = const { Last::new() };
    }
    match text.len() {
        // No other form is as long, and only in another one `now` matters.
        LENGTH => LAST.with(|last| last.get(text, |text| read(text, now))),
        _ => read(text, now),
    }
}

fn read(text: &[u8], now: i64) -> Option<i64> {
    let comma = text.iter().position(|byte| *byte == b',');
    match comma {
        Some(3) => imf(text),
        Some(end) => rfc850(&text[..end], text.get(end + 2..)?, now),
        None => asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(text: &[u8]) -> Option<i64> {
    let (name, rest) = text.split_first_chunk()?;
    short_day(name)?;
    let written = Written::read::<4>(rest.strip_prefix(b", ")?, b' ')?;
    written.moment(written.year)
}

/// `Sunday`, and `06-Nov-94 08:49:37 GMT`
fn rfc850(day: &[u8], rest: &[u8], now: i64) -> Option<i64> {
    DAYS.iter().find(|name| name.eq_ignore_ascii_case(day))?;
    let written = Written::read::<2>(rest, b'-')?;
    let (this_year, _, _) = civil(now.div_euclid(DAY));
    let mut year = this_year - this_year.rem_euclid(100) + written.year;
    // More than 50 years ahead is the most recent past year with these digits.
    if year > this_year + 50 {
        year -= 100;
    }
    written.moment(year)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<i64> {
    let (name, rest) = text.split_first_chunk()?;
    short_day(name)?;
    let (name, rest) = rest.strip_prefix(b" ")?.split_first_chunk()?;
    let (&[ten, one], rest) = rest.strip_prefix(b" ")?.split_first_chunk()?;
    let (clock, rest) = rest.strip_prefix(b" ")?.split_first_chunk()?;
    let year = rest.strip_prefix(b" ")?;
    let written = Written {
        year: digits::<4>(year.try_into().ok()?)?,
        month: month(name)?,
        day: match ten {
            b' ' => digits(&[one])?,
            ten => digits(&[ten, one])?,
        },
        time: time(clock)?,
    };
    written.moment(written.year)
}

/// What a date says.
struct Written {
    year: i64,
    month: i64,
    day: i64,
    /// Seconds since midnight.
    time: i64,
}

impl Written {
    /// `06 Nov 1994 08:49:37 GMT`, with this between the parts of the day, and so many digits of the
    /// year.
    fn read<const DIGITS_OF_YEAR: usize>(text: &[u8], between: u8) -> Option<Self> {
        let (day, rest) = text.split_first_chunk::<2>()?;
        let (name, rest) = rest.strip_prefix(&[between])?.split_first_chunk()?;
        let rest = rest.strip_prefix(&[between])?;
        let (year, rest) = rest.split_first_chunk::<DIGITS_OF_YEAR>()?;
        let (clock, zone) = rest.strip_prefix(b" ")?.split_first_chunk()?;
        zone.eq_ignore_ascii_case(b" GMT").then_some(())?;
        Some(Self {
            year: digits(year)?,
            month: month(name)?,
            day: digits(day)?,
            time: time(clock)?,
        })
    }

    /// The moment, in that year; none on a day that there is not.
    fn moment(&self, year: i64) -> Option<i64> {
        let exists = (1..=days_of(year, self.month)).contains(&self.day);
        exists.then(|| days_since_1970(year, self.month, self.day) * DAY + self.time)
    }
}

fn short_day(name: &[u8; 3]) -> Option<()> {
    matches!(
        &name.map(|letter| letter.to_ascii_lowercase()),
        b"mon" | b"tue" | b"wed" | b"thu" | b"fri" | b"sat" | b"sun"
    )
    .then_some(())
}

fn month(name: &[u8; 3]) -> Option<i64> {
    Some(match &name.map(|letter| letter.to_ascii_lowercase()) {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    })
}

/// A number of so many digits.
fn digits<const COUNT: usize>(text: &[u8; COUNT]) -> Option<i64> {
    let all = text.iter().all(u8::is_ascii_digit);
    let add = |sum, digit: &u8| 10 * sum + i64::from(digit.wrapping_sub(b'0'));
    all.then(|| text.iter().fold(0, add))
}

/// `08:49:37`, which may be a leap second.
fn time(&[h1, h2, first, n1, n2, second, s1, s2]: &[u8; 8]) -> Option<i64> {
    ([first, second] == [b':'; 2]).then_some(())?;
    let [hour, minute, second] = [digits(&[h1, h2])?, digits(&[n1, n2])?, digits(&[s1, s2])?];
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// How many days a month has.
fn days_of(year: i64, month: i64) -> i64 {
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The proleptic Gregorian calendar, in eras of 400 years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The same moment in whole seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or(Duration::ZERO).as_secs()).unwrap_or(i64::MAX)
}

/// A date in the preferred form.
pub(super) fn format(seconds: i64) -> String {
    let days = seconds.div_euclid(DAY);
    let rest = seconds.rem_euclid(DAY);
    let (year, month, day) = civil(days);
    // The first of January 1970 was a Thursday.
    let name = DAYS[usize::try_from((days + 3).rem_euclid(7)).expect("below 7")];
    let month = MONTHS[usize::try_from(month - 1).expect("1 to 12")];
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        std::str::from_utf8(&name[..3]).expect("ASCII"),
        std::str::from_utf8(month).expect("ASCII"),
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_600_000; // in 2026

    #[test]
    fn rfc9110_5_6_7_all_three_forms_are_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 NOV 1994 08:49:37 gMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(784_111_777), "{text}");
        }
        let far = parse(b"Sun, 21 Nov 2286 04:46:39 GMT", NOW);
        assert_eq!(far, Some(10_000_039_599));
        // Fifty years ahead is no more past than that.
        assert!(parse(b"Thursday, 18-Aug-50 02:01:18 GMT", NOW) > Some(NOW));
        assert!(parse(b"Thursday, 18-Aug-77 02:01:18 GMT", NOW) < Some(NOW));
    }

    #[test]
    fn rfc9111_5_3_what_is_no_date_is_none() {
        for text in [
            "0",
            "-1",
            "",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 00 Feb 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT ",
            "Xyz, 18 Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..253_402_300_799_i64) {
            for _ in 0..2 {
                prop_assert_eq!(parse(format(seconds).as_bytes(), NOW), Some(seconds));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text, NOW);
        }
    }
}
