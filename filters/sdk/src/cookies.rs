//! The cookies of a request: one reader for all who look at them.
//!
//! White space around a name and a value is no part of them. Quotes around a value are: clients keep them and send
//! them back (RFC 6265, 5.2), and the grammar has them within the value (4.1.1). Names differ by case. Of several cookies with one name,
//! the first counts. What has no `=` has no name, and is found by none. A request may have several fields (RFC 9113, 8.2.3).

use http::{HeaderMap, HeaderValue, header};

/// A cookie of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value, as it was sent.
    pub value: &'a [u8],
}

impl<'a> Cookie<'a> {
    /// Reads one pair of a field.
    fn of(pair: &'a [u8]) -> Option<Self> {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some(Self {
            name: pair[..equals].trim_ascii(),
            value: pair[equals + 1..].trim_ascii(),
        })
    }
}

/// All cookies of a request, in their order.
pub fn all(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let fields = headers.get_all(header::COOKIE).iter();
    fields.flat_map(pairs).filter_map(Cookie::of)
}

/// The value of the cookie with this name.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut all = all(headers);
    let found = all.find(|cookie| cookie.name == name.as_bytes())?;
    Some(found.value)
}

/// Takes all cookies with this name out. All others stay as they are; a field that has none left goes.
pub fn remove(headers: &mut HeaderMap, name: &str) {
    let is_ours = |pair: &[u8]| Cookie::of(pair).is_some_and(|it| it.name == name.as_bytes());
    let mut fields = headers.get_all(header::COOKIE).iter();
    if !fields.any(|field| pairs(field).any(is_ours)) {
        return;
    }
    let left: Vec<HeaderValue> = (headers.get_all(header::COOKIE).iter())
        .filter_map(|field| {
            if !pairs(field).any(is_ours) {
                return Some(field.clone());
            }
            let others = pairs(field).filter(|pair| !is_ours(pair));
            let others: Vec<&[u8]> = others.map(<[u8]>::trim_ascii).collect();
            let others = others.join(&b"; "[..]);
            let value = HeaderValue::from_bytes(&others).expect("parts of a good value are good");
            (!value.is_empty()).then_some(value)
        })
        .collect();
    headers.remove(header::COOKIE);
    for value in left {
        headers.append(header::COOKIE, value);
    }
}

fn pairs(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field.as_bytes().split(|byte| *byte == b';')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, field.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_first_of_a_name_is_found_in_any_of_the_fields() {
        let headers = headers(&["a=1; bb=2", "b=\"3\";c=; a=4; d = x=y ", "e"]);
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("\"3\"")),
            ("c", Some("")),
            ("d", Some("x=y")),
            ("e", None),
            ("A", None),
        ] {
            let found = find(&headers, name);
            assert_eq!(found, value.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn all_of_a_name_are_removed_and_nothing_else() {
        for (fields, left) in [
            (&["a=1"][..], &[][..]),
            (&["b=2;  c; a=1;a =3"], &["b=2; c"]),
            (
                &["b=2;c=3", "x; a=1", "A=1; aa=2"],
                &["b=2;c=3", "x", "A=1; aa=2"],
            ),
            (&["a", "b=1"], &["a", "b=1"]),
        ] {
            let mut headers = headers(fields);
            remove(&mut headers, "a");
            let found: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
            assert_eq!(found, left, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_removed_is_not_found(field in "[ab=; \"]{0,12}", name in "[ab]{1,2}") {
            let mut headers = headers(&[&field]);
            let others = |headers: &HeaderMap| -> Vec<_> {
                let others = all(headers).filter(|it| it.name != name.as_bytes());
                others.map(|it| (it.name.to_vec(), it.value.to_vec())).collect()
            };
            let before = others(&headers);
            remove(&mut headers, &name);
            prop_assert_eq!(find(&headers, &name), None);
            prop_assert_eq!(others(&headers), before);
        }
    }
}
