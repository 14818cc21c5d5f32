//! Durations.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use super::scalar::{Scalar, expected, number_and_unit, scalar};

/// A duration: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`; never zero, and at most
/// 36500 days, so that adding it to the present moment cannot overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// Units in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const MOST_MS: u64 = 36_500 * 86_400_000;

impl Period {
    /// This many milliseconds, for constants.
    ///
    /// # Panics
    /// On zero, and beyond 36500 days.
    pub const fn millis(count: u64) -> Self {
        assert!(0 < count && count <= MOST_MS, "a period has bounds");
        Self(Duration::from_millis(count))
    }

    /// This many seconds, for constants.
    ///
    /// # Panics
    /// On zero, and beyond 36500 days.
    pub const fn seconds(count: u64) -> Self {
        assert!(count <= MOST_MS / 1_000, "a period has bounds");
        Self::millis(count * 1_000)
    }

    /// The same as a plain duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, unit) = number_and_unit(text).ok_or_else(|| Self::wrong(text))?;
        let (_, ms) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| Self::wrong(text))?;
        match count.checked_mul(*ms) {
            Some(0) => Err(expected("a duration longer than zero", text)),
            Some(ms) if ms <= MOST_MS => Ok(Self::millis(ms)),
            _ => Err(expected("a duration of at most `36500d`", text)),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = u64::try_from(self.0.as_millis()).expect("a period has bounds");
        let (unit, ms) = UNITS
            .iter()
            .find(|(_, ms)| total.is_multiple_of(*ms))
            .expect("every period is whole milliseconds");
        write!(f, "{}{unit}", total / ms)
    }
}

scalar!(Period, expected: "a duration such as `5s` or `250ms`", numbers: false, schema: {
    "type": "string",
    "description": "A duration: a whole number and `ms`, `s`, `m`, `h` or `d`; not zero.",
    "pattern": "^0*[1-9][0-9]*(ms|s|m|h|d)$",
    "examples": ["5s", "250ms", "15m"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_unit() {
        let parse = |text: &str| text.parse::<Period>().unwrap().get();
        assert_eq!(parse("250ms"), Duration::from_millis(250));
        assert_eq!(parse("5s"), Duration::from_secs(5));
        assert_eq!(parse("15m"), Duration::from_secs(900));
        assert_eq!(parse("2h"), Duration::from_secs(7200));
        assert_eq!(parse("1d"), Duration::from_secs(86400));
    }

    #[test]
    fn says_what_it_expects() {
        let wrong = |text: &str| text.parse::<Period>().unwrap_err();
        assert_eq!(
            wrong("5 sec"),
            "expected a duration such as `5s` or `250ms`, found `5 sec`"
        );
        assert_eq!(
            wrong("0s"),
            "expected a duration longer than zero, found `0s`"
        );
        assert!(wrong("40000d").starts_with("expected a duration of at most `36500d`"));
        assert!(wrong("18446744073709551615d").contains("at most"));
        for text in ["", "5", "s", "-5s", "1.5s", "1m30s", "5S", " 5s"] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn reads_from_json_and_names_itself_for_other_types() {
        assert_eq!(
            serde_json::from_str::<Period>(r#""5s""#).unwrap(),
            Period::seconds(5)
        );
        let error = serde_json::from_str::<Period>("[5]")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected a duration such as `5s`"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(ms in 1..=MOST_MS) {
            let period = Period::millis(ms);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = text.parse::<Period>();
        }
    }
}
