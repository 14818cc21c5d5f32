//! Amounts of bytes.

use std::fmt;
use std::str::FromStr;

use super::scalar::{Scalar, expected, number_and_unit, scalar};

/// An amount of bytes: a whole number, and `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or `KB`,
/// `MB`, `GB`, `TB` (powers of 1000), or nothing for bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Units in bytes; of two that fit, the first is written.
const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("", 1),
    ("B", 1),
];

impl Size {
    /// This many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// This many times 1024 bytes; saturating.
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// This many times 1024 × 1024 bytes; saturating.
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// The bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bytes as a length in memory; saturating.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether there is room for nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, unit) = number_and_unit(text).ok_or_else(|| Self::wrong(text))?;
        let (_, bytes) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| Self::wrong(text))?;
        count
            .checked_mul(*bytes)
            .map(Self)
            .ok_or_else(|| expected("less than `16777216TiB`", text))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = UNITS
            .iter()
            .find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes))
            .unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

scalar!(Size, expected: "a size such as `64KiB`, `10MB` or a number of bytes", numbers: true, schema: {
    "type": ["string", "integer"],
    "description": "An amount of bytes: a whole number and `KiB`, `MiB`, `GiB`, `TiB`, `KB`, `MB`, `GB`, `TB` or nothing.",
    "pattern": "^[0-9]+([KMGT]i?B|B)?$",
    "minimum": 0,
    "examples": ["64KiB", "10MiB", 4096]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_both_families_of_units() {
        let parse = |text: &str| text.parse::<Size>().unwrap().get();
        assert_eq!(parse("64KiB"), 65_536);
        assert_eq!(parse("10MiB"), 10_485_760);
        assert_eq!(parse("1GB"), 1_000_000_000);
        assert_eq!(parse("0"), 0);
        assert_eq!(parse("12B"), 12);
        assert_eq!(serde_json::from_str::<Size>("1024").unwrap(), Size::kib(1));
        assert_eq!(
            serde_json::from_str::<Size>(r#""1KiB""#).unwrap(),
            Size::kib(1)
        );
    }

    #[test]
    fn says_what_it_expects() {
        assert_eq!(
            "10 MB".parse::<Size>().unwrap_err(),
            "expected a size such as `64KiB`, `10MB` or a number of bytes, found `10 MB`"
        );
        let error = serde_json::from_str::<Size>("-1").unwrap_err().to_string();
        assert!(error.contains("found `-1`"), "{error}");
        assert!(
            "16777216TiB"
                .parse::<Size>()
                .unwrap_err()
                .contains("less than")
        );
        for text in ["", "KiB", "1kb", "1.5MiB", "1PiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn writes_the_largest_unit_that_divides() {
        for text in ["10MiB", "1GB", "1000001", "0", "1TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(bytes: u64, shift in 0..64_u32) {
            let size = Size::bytes(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = text.parse::<Size>();
        }
    }
}
