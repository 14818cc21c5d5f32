//! How often something may happen.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::Period;
use super::scalar::{Scalar, expected, scalar};

/// How often something may happen: a count per time, e.g. `100/min` or `5/10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In what time.
    pub per: Period,
}

/// Names for one of a unit, in seconds; of two that fit, the first is written.
const NAMES: [(&str, u64); 9] = [
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("min", 60),
    ("minute", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("day", 86_400),
    ("d", 86_400),
];

impl Rate {
    /// A rate, for constants.
    pub const fn new(count: NonZeroU32, per: Period) -> Self {
        Self { count, per }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Self::wrong(text);
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u32 = count
            .parse()
            .map_err(|_| expected("a count of at most 4294967295", count))?;
        let count = NonZeroU32::new(number).ok_or_else(|| expected("at least 1", count))?;
        let named = NAMES.iter().find(|(name, _)| *name == per);
        let per = match named {
            Some((_, seconds)) => Period::seconds(*seconds),
            None if per.starts_with(|c: char| c.is_ascii_digit()) => per.parse()?,
            None => return Err(wrong()),
        };
        Ok(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES
            .iter()
            .find(|(_, seconds)| Period::seconds(*seconds) == self.per);
        match named {
            Some((name, _)) => write!(f, "{}/{name}", self.count),
            None => write!(f, "{}/{}", self.count, self.per),
        }
    }
}

scalar!(Rate, expected: "a rate such as `100/min`, `10/s` or `5/10s`", numbers: false, schema: {
    "type": "string",
    "description": "How often: a count per `s`, `min`, `h`, `day` or a duration such as `10s`.",
    "pattern": "^0*[1-9][0-9]*/(s|sec|second|min|minute|h|hour|d|day|[0-9]+(ms|s|m|h|d))$",
    "examples": ["100/min", "10/s", "5/10s", "20000/day"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(count: u32, per: Period) -> Rate {
        Rate::new(NonZeroU32::new(count).unwrap(), per)
    }

    #[test]
    fn reads_names_and_durations() {
        let parse = |text: &str| text.parse::<Rate>().unwrap();
        assert_eq!(parse("100/min"), rate(100, Period::seconds(60)));
        assert_eq!(parse("10/s"), rate(10, Period::seconds(1)));
        assert_eq!(parse("5/10s"), rate(5, Period::seconds(10)));
        assert_eq!(parse("1000/h"), rate(1000, Period::seconds(3600)));
        assert_eq!(parse("20000/day"), rate(20000, Period::seconds(86400)));
        assert_eq!(parse("60/1m").to_string(), "60/min");
    }

    #[test]
    fn says_what_it_expects() {
        let wrong = |text: &str| text.parse::<Rate>().unwrap_err();
        assert_eq!(
            wrong("100"),
            "expected a rate such as `100/min`, `10/s` or `5/10s`, found `100`"
        );
        assert_eq!(wrong("0/s"), "expected at least 1, found `0`");
        assert_eq!(
            wrong("1/0s"),
            "expected a duration longer than zero, found `0s`"
        );
        assert!(wrong("4294967296/s").starts_with("expected a count of at most"));
        for text in ["", "/", "/s", "1/", "-1/s", "1/s/s", "1/fortnight", "1 / s"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
        assert!(serde_json::from_str::<Rate>("100").is_err());
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(count in 1..=u32::MAX, ms in 1..=10_000_000_u64) {
            let rate = rate(count, Period::millis(ms));
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn never_panics(text in "[0-9a-z/ ]*|.*") {
            let _ = text.parse::<Rate>();
        }
    }
}
