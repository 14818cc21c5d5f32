//! Which coding a client takes (RFC 9110, 12.5.3).

use wiregate_sdk::HeaderMap;
use wiregate_sdk::header::ACCEPT_ENCODING;

use super::encoder::Coding;

/// A weight in thousandths.
type Weight = u16;

/// The coding that a client gives the greatest weight to; of those with equal weight, the first
/// of `codings`. None where it would rather have no coding, or does not say.
///
/// `*` stands for all codings that it does not name. Where it refuses to have no coding
/// (`identity;q=0`) and takes none of these, it still gets none: a response that it may not
/// understand is better than an error (12.5.3).
pub(in crate::transform) fn choose(asked: &HeaderMap, codings: &[Coding]) -> Option<Coding> {
    let mut weights: [Option<Weight>; 3] = [None; 3];
    let (mut any, mut identity) = (None, None);
    for line in asked.get_all(ACCEPT_ENCODING) {
        let items = line.to_str().unwrap_or_default().split(',');
        for (name, weight) in items.filter_map(read) {
            let slot = match Coding::named(name) {
                Some(coding) => &mut weights[coding as usize],
                None if name == "*" => &mut any,
                None if name.eq_ignore_ascii_case("identity") => &mut identity,
                None => continue,
            };
            *slot = (*slot).max(Some(weight));
        }
    }
    let mut best = (0, None);
    for coding in codings {
        let weight = weights[*coding as usize].or(any).unwrap_or(0);
        if weight > best.0 {
            best = (weight, Some(*coding));
        }
    }
    best.1
        .filter(|_| identity.is_none_or(|identity| identity <= best.0))
}

/// An item: the coding's name and its weight, 1 where none is written. `None` for what is no
/// item.
fn read(item: &str) -> Option<(&str, Weight)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        if key.eq_ignore_ascii_case("q") {
            weight = thousandths(value)?;
        }
    }
    Some((name, weight))
}

/// `0`, `1`, or either with up to three digits after the point, 1 being the most (12.4.2).
fn thousandths(text: &str) -> Option<Weight> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: Weight = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::HeaderValue;

    use super::*;
    use Coding::{Br, Gzip, Zstd};

    fn chosen(lines: &[&'static str]) -> Option<Coding> {
        let mut asked = HeaderMap::new();
        for line in lines {
            asked.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
        }
        choose(&asked, &[Zstd, Br, Gzip])
    }

    #[test]
    fn the_greatest_weight_wins_and_then_the_order() {
        for (line, coding) in [
            ("gzip", Some(Gzip)),
            ("gzip, deflate, br", Some(Br)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("GZIP;Q=0.5, Br ; q=0.4", Some(Gzip)),
            ("gzip;q=1.000, br;q=0.999", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("br;q=0.001", Some(Br)),
            ("gzip;a=b;q=0.2, br;q=0.1", Some(Gzip)),
        ] {
            assert_eq!(chosen(&[line]), coding, "{line}");
        }
    }

    #[test]
    fn a_weight_of_zero_refuses() {
        for (line, coding) in [
            ("gzip;q=0", None),
            ("gzip;q=0.000, br;q=0.0", None),
            ("zstd;q=0, *", Some(Br)),
            ("*;q=0", None),
            ("gzip, *;q=0", Some(Gzip)),
        ] {
            assert_eq!(chosen(&[line]), coding, "{line}");
        }
    }

    #[test]
    fn a_star_is_all_that_is_not_named() {
        assert_eq!(chosen(&["*"]), Some(Zstd));
        assert_eq!(chosen(&["zstd;q=0.1, *;q=0.5"]), Some(Br));
        assert_eq!(chosen(&["gzip, *;q=0.5"]), Some(Gzip));
    }

    #[test]
    fn no_coding_may_be_what_is_wanted() {
        assert_eq!(chosen(&["identity"]), None);
        assert_eq!(chosen(&["identity, gzip;q=0.5"]), None);
        assert_eq!(chosen(&["identity;q=0.5, gzip"]), Some(Gzip));
        assert_eq!(chosen(&["identity, gzip"]), Some(Gzip));
        assert_eq!(chosen(&["identity;q=0, gzip;q=0.1"]), Some(Gzip));
        assert_eq!(chosen(&["identity;q=0, deflate"]), None);
    }

    #[test]
    fn who_does_not_say_gets_none() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[""]), None);
        assert_eq!(chosen(&["deflate, compress"]), None);
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(chosen(&["deflate", "gzip;q=0.5", "br"]), Some(Br));
    }

    #[test]
    fn what_is_no_item_is_passed_over() {
        for line in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=",
            "gzip;q=-1",
            "gzip;q",
            "gzip;q=a",
            ";q=1",
            ",,",
        ] {
            assert_eq!(chosen(&[line]), None, "{line}");
        }
        assert_eq!(chosen(&[";q=1, , gzip;q=x, br;q=0.1"]), Some(Br));
    }

    #[test]
    fn only_configured_codings_are_chosen() {
        let mut asked = HeaderMap::new();
        asked.insert(
            ACCEPT_ENCODING,
            HeaderValue::from_static("zstd, br;q=0.9, gzip;q=0.8"),
        );
        assert_eq!(choose(&asked, &[Gzip, Br]), Some(Br));
        assert_eq!(choose(&asked, &[Gzip]), Some(Gzip));
    }
}
