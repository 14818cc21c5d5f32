//! Shares of a whole.

use std::fmt;
use std::str::FromStr;

use super::scalar::{Scalar, expected, scalar};

/// A share of a whole, from `0%` to `100%`, with up to four decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    /// In millionths of the whole.
    millionths: u32,
}

const WHOLE: u32 = 1_000_000;
const PER_PERCENT: u32 = WHOLE / 100;

impl Percent {
    /// This many percent, for constants.
    ///
    /// # Panics
    /// Beyond 100.
    pub const fn new(percent: u32) -> Self {
        assert!(percent <= 100, "a share is at most the whole");
        Self {
            millionths: percent * PER_PERCENT,
        }
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.millionths) / f64::from(WHOLE)
    }

    /// In millionths of the whole: from 0 to 1 000 000.
    pub const fn millionths(self) -> u32 {
        self.millionths
    }

    /// This share of a number, rounded down.
    pub fn of(self, number: u64) -> u64 {
        let share = u128::from(number) * u128::from(self.millionths) / u128::from(WHOLE);
        u64::try_from(share).expect("a share is at most the whole")
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Self::wrong(text);
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(wrong());
        }
        if decimals.len() > 4 {
            return Err(expected("at most four decimals", text));
        }
        let too_much = || expected("at most `100%`", text);
        let whole: u32 = whole.parse().map_err(|_| too_much())?;
        let decimals: u32 = format!("{decimals:0<4}").parse().map_err(|_| wrong())?;
        whole
            .checked_mul(PER_PERCENT)
            .and_then(|whole| whole.checked_add(decimals))
            .filter(|millionths| *millionths <= WHOLE)
            .map(|millionths| Self { millionths })
            .ok_or_else(too_much)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:04}", self.millionths % PER_PERCENT);
        let decimals = decimals.trim_end_matches('0');
        let point = if decimals.is_empty() { "" } else { "." };
        write!(f, "{}{point}{decimals}%", self.millionths / PER_PERCENT)
    }
}

scalar!(Percent, expected: "a percentage such as `20%` or `0.5%`", numbers: false, schema: {
    "type": "string",
    "description": "A share from `0%` to `100%`, with up to four decimals.",
    "pattern": "^0*(100(\\.0{1,4})?|[0-9]{1,2}(\\.[0-9]{1,4})?)%$",
    "examples": ["20%", "0.5%"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_whole_and_decimal() {
        let parse = |text: &str| text.parse::<Percent>().unwrap();
        assert_eq!(parse("20%"), Percent::new(20));
        assert_eq!(parse("0.5%").millionths(), 5_000);
        assert_eq!(parse("0.0001%").millionths(), 1);
        assert_eq!(parse("100%").fraction(), 1.0);
        assert_eq!(parse("20%").of(99), 19);
        assert_eq!(parse("100%").of(u64::MAX), u64::MAX);
    }

    #[test]
    fn says_what_it_expects() {
        let wrong = |text: &str| text.parse::<Percent>().unwrap_err();
        assert_eq!(
            wrong("20"),
            "expected a percentage such as `20%` or `0.5%`, found `20`"
        );
        assert_eq!(wrong("101%"), "expected at most `100%`, found `101%`");
        assert_eq!(
            wrong("100.0001%"),
            "expected at most `100%`, found `100.0001%`"
        );
        assert_eq!(
            wrong("0.00001%"),
            "expected at most four decimals, found `0.00001%`"
        );
        for text in ["", "%", "-1%", "1.%", ".5%", "1e1%", "99999999999%", "1 %"] {
            assert!(text.parse::<Percent>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(millionths in 0..=WHOLE) {
            let percent = Percent { millionths };
            prop_assert_eq!(percent.to_string().parse(), Ok(percent));
        }

        #[test]
        fn never_panics(text in "[0-9.%]*|.*") {
            let _ = text.parse::<Percent>();
        }
    }
}
