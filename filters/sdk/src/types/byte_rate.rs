//! How fast bytes come.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Size;
use super::scalar::{Scalar, scalar};

/// How fast bytes come: an amount per second, e.g. `500B/s` or `1KiB/s`. `0B/s` asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRate(Size);

impl ByteRate {
    /// This amount per second.
    pub const fn per_second(size: Size) -> Self {
        Self(size)
    }

    /// How long this many bytes take at this rate; nothing where the rate asks for nothing, or
    /// beyond 584 years.
    pub fn time_of(self, bytes: u64) -> Option<Duration> {
        let nanos = u128::from(bytes) * 1_000_000_000;
        let nanos = nanos.checked_div(u128::from(self.0.get()))?;
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.strip_suffix("/s").ok_or_else(|| Self::wrong(text))?;
        if !size.ends_with('B') {
            return Err(Self::wrong(text));
        }
        size.parse().map(Self).map_err(|_| Self::wrong(text))
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.to_string();
        let unit = if size.ends_with('B') { "" } else { "B" };
        write!(f, "{size}{unit}/s")
    }
}

scalar!(ByteRate, expected: "bytes per second such as `500B/s` or `1KiB/s`", numbers: false, schema: {
    "type": "string",
    "description": "Bytes per second: an amount such as `500B` or `1KiB`, and `/s`. `0B/s` asks for nothing.",
    "pattern": "^[0-9]+([KMGT]i?B|B)/s$",
    "examples": ["500B/s", "1KiB/s"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_an_amount_per_second() {
        for (text, written) in [
            ("500B/s", "500B/s"),
            ("1024B/s", "1KiB/s"),
            ("10MB/s", "10MB/s"),
            ("0B/s", "0B/s"),
        ] {
            let rate: ByteRate = text.parse().unwrap();
            assert_eq!(rate.to_string(), written);
        }
    }

    #[test]
    fn says_what_it_expects() {
        for text in [
            "", "500", "500/s", "500B", "500B/min", "B/s", "-1B/s", "500b/s",
        ] {
            let found = crate::types::found(text);
            assert_eq!(
                text.parse::<ByteRate>().unwrap_err(),
                format!("expected bytes per second such as `500B/s` or `1KiB/s`, found {found}")
            );
        }
    }

    #[test]
    fn bytes_take_their_time() {
        let rate = |bytes| ByteRate::per_second(Size::bytes(bytes));
        assert_eq!(rate(500).time_of(250), Some(Duration::from_millis(500)));
        assert_eq!(rate(500).time_of(0), Some(Duration::ZERO));
        assert_eq!(rate(0).time_of(10), None);
        assert_eq!(rate(1).time_of(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(bytes: u64) {
            let rate = ByteRate::per_second(Size::bytes(bytes));
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
