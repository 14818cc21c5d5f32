//! The day that manual pages tell.

use std::time::{Duration, SystemTime};

use crate::observe::access_log::day;

/// What has changed in each version, the latest first.
const CHANGELOG: &str = include_str!("../../../conf/debian/changelog");
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// The last second that has a year of four digits.
const LAST: u64 = 253_402_300_799;

/// A day as it is written on a command line, such as `2026-11-26`.
///
/// # Errors
/// It is none.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let within = |range: std::ops::Range<usize>, most: u32| {
        let number = text.get(range).and_then(|part| part.parse().ok());
        number.is_some_and(|number: u32| (1..=most).contains(&number))
    };
    match shape && within(5..7, 12) && within(8..10, 31) {
        true => Ok(text.to_owned()),
        false => Err("expected a day such as `2026-11-26`".to_owned()),
    }
}

/// The day of the sources (`SOURCE_DATE_EPOCH`, in seconds since 1970), or else of the release.
///
/// # Errors
/// The variable is no number of seconds.
pub(super) fn usual(epoch: Option<&str>) -> Result<String, String> {
    let Some(epoch) = epoch else {
        return Ok(released());
    };
    let seconds = epoch.parse::<u64>().ok().filter(|at| *at <= LAST);
    let seconds = seconds.ok_or_else(|| {
        format!("SOURCE_DATE_EPOCH: expected seconds since 1970, found `{epoch}`")
    })?;
    Ok(day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// The day of this version in the changelog: ` -- WHO  Wed, 25 Nov 2026 12:00:00 +0000`.
fn released() -> String {
    let mut lines = CHANGELOG.lines().filter(|line| line.starts_with(" -- "));
    let words = lines.next().and_then(|line| {
        let mut words = line.rsplit_once(", ")?.1.split(' ');
        let (day, month, year) = (words.next()?, words.next()?, words.next()?);
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        Some(format!("{year}-{month:02}-{day:0>2}"))
    });
    words.expect("the changelog tells when each version was released")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_that_of_the_sources_or_of_the_release() {
        assert_eq!(usual(Some("0")).unwrap(), "1970-01-01");
        assert_eq!(usual(Some("1795694399")).unwrap(), "2026-11-26");
        assert!(parse(&usual(None).unwrap()).is_ok());
        assert!(usual(None).unwrap().as_str() >= "2026-11-25");
        for wrong in ["", "now", "-1", "1.5", "253402300800"] {
            let message =
                format!("SOURCE_DATE_EPOCH: expected seconds since 1970, found `{wrong}`");
            assert_eq!(usual(Some(wrong)), Err(message));
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        assert_eq!(parse("2026-11-26").as_deref(), Ok("2026-11-26"));
        for wrong in [
            "",
            "today",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "26-11-2026",
            "2026-11-2é",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
