//! Moments as lines have them, in UTC.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::IN_MEMORY;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment, taken apart.
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u32,
}

impl Moment {
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86400, since.as_secs() % 86400);
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            millisecond: since.subsec_millis(),
        }
    }

    fn month(&self) -> &'static str {
        MONTHS[self.month as usize - 1]
    }
}

/// `2026-11-26T00:55:01.042Z` (RFC 3339).
pub(super) fn rfc3339(line: &mut Vec<u8>, time: SystemTime) {
    let Moment {
        year,
        month,
        day,
        hour,
        minute,
        second,
        millisecond,
    } = Moment::of(time);
    write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
    )
    .expect(IN_MEMORY);
}

/// `26/Nov/2026:00:55:01 +0000`, as the Common Log Format has it.
pub(super) fn common(line: &mut Vec<u8>, time: SystemTime) {
    let moment = Moment::of(time);
    let (name, Moment { year, day, .. }) = (moment.month(), &moment);
    let (hour, minute, second) = (moment.hour, moment.minute, moment.second);
    write!(
        line,
        "{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"
    )
    .expect(IN_MEMORY);
}

/// `Nov 26 00:55:01` (RFC 3164, 4.1.2), in UTC.
pub(super) fn bsd(line: &mut Vec<u8>, time: SystemTime) {
    let moment = Moment::of(time);
    let (name, day) = (moment.month(), moment.day);
    let (hour, minute, second) = (moment.hour, moment.minute, moment.second);
    write!(line, "{name} {day:>2} {hour:02}:{minute:02}:{second:02}").expect(IN_MEMORY);
}

/// `20261126T005501Z`, for the name of a file.
pub(super) fn compact(time: SystemTime) -> String {
    let Moment {
        year,
        month,
        day,
        hour,
        minute,
        second,
        ..
    } = Moment::of(time);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Milliseconds with the microseconds as decimals: `1.5`.
pub(super) fn milliseconds(line: &mut Vec<u8>, time: Duration) {
    let micros = time.as_micros();
    let (whole, part) = (micros / 1000, micros % 1000);
    let decimals = format!("{part:03}");
    let decimals = decimals.trim_end_matches('0');
    let decimals = if decimals.is_empty() { "0" } else { decimals };
    write!(line, "{whole}.{decimals}").expect(IN_MEMORY);
}

/// The date that is `days` after 1970-01-01: Howard Hinnant's `civil_from_days`, whose years
/// begin in March so that the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = [
            0, 58, 59, 364, 365, 789, 11_016, 11_017, 19_782, 19_783, 47_540, 47_541,
        ];
        let input = days.map(|day: u64| format!("@{}\n", day * 86400)).concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), input).unwrap();
        let date = Command::new("date")
            .args(["-u", "+%Y-%m-%d", "-f"])
            .arg(file.path())
            .output()
            .unwrap();
        let ours = days.map(|day| {
            let (year, month, day) = civil(day);
            format!("{year:04}-{month:02}-{day:02}\n")
        });
        assert_eq!(ours.concat(), String::from_utf8(date.stdout).unwrap());
    }

    #[test]
    fn each_form_is_that_of_its_format() {
        let time = UNIX_EPOCH + Duration::from_millis(1_775_005_261_042);
        let written = |write: fn(&mut Vec<u8>, SystemTime)| {
            let mut line = Vec::new();
            write(&mut line, time);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(written(rfc3339), "2026-04-01T01:01:01.042Z");
        assert_eq!(written(common), "01/Apr/2026:01:01:01 +0000");
        assert_eq!(written(bsd), "Apr  1 01:01:01");
        assert_eq!(compact(time), "20260401T010101Z");
    }

    #[test]
    fn milliseconds_keep_microseconds() {
        for (micros, expected) in [
            (0, "0.0"),
            (1500, "1.5"),
            (1_000_001, "1000.001"),
            (86_400_000_000, "86400000.0"),
        ] {
            let mut line = Vec::new();
            milliseconds(&mut line, Duration::from_micros(micros));
            assert_eq!(line, expected.as_bytes());
        }
    }
}
