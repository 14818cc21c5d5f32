//! A part of a stored response (RFC 9110, 14).

use http::{HeaderMap, header};

use super::list;

/// The part of a body that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: no part is asked for, or several are, or what is asked for is none that is known.
    Whole,
    /// From the first byte to the one before the second.
    Bytes(u64, u64),
    /// Nothing that is there: a 416.
    Nowhere,
}

/// The part of a body of this length that a request asks for.
pub fn of(request: &HeaderMap, length: u64) -> Part {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Part::Whole;
    };
    let text = line.as_bytes();
    let Some((unit, ranges)) = text
        .iter()
        .position(|b| *b == b'=')
        .map(|at| text.split_at(at))
    else {
        return Part::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Part::Whole;
    }
    let mut ranges = list::split(&ranges[1..]).filter(|range| !range.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Part::Whole;
    };
    one(range, length)
}

fn one(range: &[u8], length: u64) -> Part {
    let Some(dash) = range.iter().position(|byte| *byte == b'-') else {
        return Part::Whole;
    };
    let (first, last) = (&range[..dash], &range[dash + 1..]);
    match (position(first), position(last)) {
        (Some(first), Some(last)) if first > last => Part::Whole, // not valid (14.1.1)
        (Some(first), _) if first >= length && (last.is_empty() || position(last).is_some()) => {
            Part::Nowhere
        }
        (Some(first), Some(last)) => Part::Bytes(first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => Part::Bytes(first, length),
        (None, Some(suffix)) if first.is_empty() => match suffix.min(length) {
            0 => Part::Nowhere,
            suffix => Part::Bytes(length - suffix, length),
        },
        _ => Part::Whole,
    }
}

/// Digits; what is beyond all bodies is the end of all.
fn position(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(range: &str) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert("range", range.parse().unwrap());
        of(&headers, 10)
    }

    #[test]
    fn rfc9110_14_1_2_parts_of_ten_bytes() {
        for (range, expected) in [
            ("bytes=0-1", Part::Bytes(0, 2)),
            ("Bytes=0-1", Part::Bytes(0, 2)),
            ("bytes=1-", Part::Bytes(1, 10)),
            ("bytes=-1", Part::Bytes(9, 10)),
            ("bytes=-99", Part::Bytes(0, 10)),
            ("bytes=8-99999999999999999999999", Part::Bytes(8, 10)),
            ("bytes=10-", Part::Nowhere),
            ("bytes=10-11", Part::Nowhere),
            ("bytes=-0", Part::Nowhere),
        ] {
            assert_eq!(part(range), expected, "{range}");
        }
    }

    #[test]
    fn rfc9110_14_2_what_is_not_understood_is_ignored() {
        for range in [
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=1-x",
            "bytes=x-1",
            "bytes= -",
            "bytes=10-x",
        ] {
            assert_eq!(part(range), Part::Whole, "{range}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within(first in any::<u64>(), last in any::<u64>(), length in any::<u64>()) {
            let mut headers = HeaderMap::new();
            for range in [format!("bytes={first}-{last}"), format!("bytes={first}-"), format!("bytes=-{last}")] {
                headers.insert("range", range.parse().unwrap());
                if let Part::Bytes(from, to) = of(&headers, length) {
                    prop_assert!(from < to && to <= length);
                }
            }
        }
    }
}
