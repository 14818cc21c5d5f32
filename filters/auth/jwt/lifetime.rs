//! How much longer a response is good (RFC 9111, 4.2).

use std::time::{Duration, SystemTime};

use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName};

/// How much longer a response is good that has come now; `None` where it does not say. What it says in words
/// that cannot be read is no time at all (RFC 9111, 4.2.1).
pub(super) fn left(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let whole = told(headers).or_else(|| until_it_expires(headers, now))?;
    // It may have waited in a cache on the way (RFC 9111, 5.1).
    let age = first(headers, &AGE).and_then(seconds).unwrap_or_default();
    Some(whole.saturating_sub(age))
}

/// What `Cache-Control` says: no time at all where it is not to be used again before the sender was asked, whatever
/// else is said (RFC 9111, 5.2.2.4 and 5.2.2.5).
fn told(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(CACHE_CONTROL).iter();
    let directives = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(|one| one.split_once('=').unwrap_or((one, "")))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')));
    let is = |name: &str, other| name.eq_ignore_ascii_case(other);
    let mut max_age = None;
    for (name, value) in directives {
        // With names behind it, `no-cache` is about these fields alone.
        if is(name, "no-store") || is(name, "no-cache") && value.is_empty() {
            return Some(Duration::ZERO);
        }
        if is(name, "max-age") {
            max_age.get_or_insert(value);
        }
    }
    max_age.map(|value| seconds(value).unwrap_or_default())
}

/// From its date, which is now where it has none, to when it expires (RFC 9111, 4.2.1 and 5.3).
fn until_it_expires(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?.to_str().ok().and_then(date);
    let sent = first(headers, &DATE).and_then(date).unwrap_or(now);
    let left = expires.and_then(|expires| expires.duration_since(sent).ok());
    Some(left.unwrap_or_default())
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whole seconds; what is too large for a number is as good as for ever (RFC 9111, 1.2.2).
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a response with these fields that comes at half past.
    fn left_of(fields: &str) -> Option<u64> {
        let fields = fields.split(" | ").filter_map(|line| line.split_once(": "));
        let headers = fields
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let now = date("Thu, 01 Jan 2026 10:30:00 GMT").unwrap();
        left(&headers, now).map(|left| left.as_secs())
    }

    #[test]
    fn rfc9111_5_2_2_1_max_age_goes_before_expires() {
        for (field, expected) in [
            ("x: y", None),
            ("cache-control: public", None),
            ("cache-control: public, Max-Age=60", Some(60)),
            (
                "cache-control: public | cache-control: max-age=60",
                Some(60),
            ),
            ("cache-control: max-age=\"60\"", Some(60)),
            ("cache-control: max-age=60, max-age=900", Some(60)),
            ("cache-control: s-maxage=60", None),
            (
                "expires: Thu, 01 Jan 2026 11:00:00 GMT | cache-control: max-age=60",
                Some(60),
            ),
            (
                "cache-control: max-age=99999999999999999999999",
                Some(u64::MAX),
            ),
        ] {
            assert_eq!(left_of(field), expected, "{field}");
        }
    }

    #[test]
    fn rfc9111_5_2_2_what_is_not_to_be_kept_is_good_for_no_time() {
        for (field, expected) in [
            ("cache-control: no-store", Some(0)),
            ("cache-control: No-Cache", Some(0)),
            ("cache-control: max-age=600, no-store", Some(0)),
            (
                "cache-control: no-cache | cache-control: max-age=600",
                Some(0),
            ),
            (
                "cache-control: private, no-cache | expires: Thu, 01 Jan 2026 11:00:00 GMT",
                Some(0),
            ),
            (
                "cache-control: no-cache=\"set-cookie, age\", max-age=600",
                Some(600),
            ),
            ("cache-control: no-transform, must-revalidate", None),
            ("cache-control: max-age=0", Some(0)),
        ] {
            assert_eq!(left_of(field), expected, "{field}");
        }
    }

    #[test]
    fn rfc9111_5_1_what_it_has_waited_elsewhere_is_over() {
        for (fields, expected) in [
            ("cache-control: max-age=600 | age: 590", Some(10)),
            ("cache-control: max-age=600 | age: 600", Some(0)),
            (
                "cache-control: max-age=600 | age: 99999999999999999999999",
                Some(0),
            ),
            ("cache-control: max-age=600 | age: x", Some(600)),
            ("cache-control: max-age=600 | age: -1", Some(600)),
            ("cache-control: max-age=600 | age: 5 | age: 500", Some(595)),
            ("age: 5", None),
        ] {
            assert_eq!(left_of(fields), expected, "{fields}");
        }
    }

    #[test]
    fn rfc9111_5_3_it_is_good_from_its_date_until_it_expires() {
        let expires = "expires: Thu, 01 Jan 2026 11:00:00 GMT";
        for (more, expected) in [
            ("", 1800),
            // The clocks need not agree.
            (" | date: Thu, 01 Jan 2026 10:59:00 GMT", 60),
            (" | date: Thursday, 01-Jan-26 10:59:00 GMT", 60),
            (" | date: Thu Jan  1 10:59:00 2026", 60),
            (" | date: Thu, 01 Jan 2026 11:00:01 GMT", 0),
            (" | date: today", 1800),
            (" | date: Thu, 01 Jan 2026 10:59:00 GMT | age: 45", 15),
        ] {
            assert_eq!(
                left_of(&format!("{expires}{more}")),
                Some(expected),
                "{more}"
            );
        }
    }

    #[test]
    fn rfc9111_4_2_1_what_cannot_be_read_is_over() {
        for field in [
            "expires: 0",
            "expires: -1",
            "cache-control: max-age=soon",
            "cache-control: max-age=-1",
            "cache-control: max-age",
            "cache-control: max-age= | expires: Thu, 01 Jan 2026 11:00:00 GMT",
        ] {
            assert_eq!(left_of(field), Some(0), "{field}");
        }
    }
}
