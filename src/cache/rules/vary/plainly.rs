//! Which requests a stored response is for, told from their lines as they came.

use http::{HeaderName, header};

use super::{LONGEST, is_open};
use crate::cache::Selector;

/// Whether a response that was stored with these is for a request of which nobody has made a map: `line` gives its
/// first value under a name, and whether there are more. Nothing where what is stored is another form of what a request
/// has, which takes a closer look.
pub fn fits_plainly<'r>(
    selectors: &[Selector],
    line: impl Fn(&HeaderName) -> Option<(&'r [u8], bool)>,
) -> Option<bool> {
    let mut plain = true;
    for (name, stored) in selectors {
        match (line(name), stored) {
            (None, None) => {}
            (None, Some(_)) | (Some(_), None) => return Some(false),
            (Some((line, more)), Some(stored)) => {
                let is_as_it_is = is_open(name) && line.len() <= LONGEST && !more;
                match line == stored.as_bytes() {
                    true if is_as_it_is => {}
                    false if is_as_it_is && *name != header::ACCEPT_ENCODING => return Some(false),
                    _ => plain = false,
                }
            }
        }
    }
    plain.then_some(true)
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderMap;

    use super::super::selectors;
    use super::*;

    pub(in super::super) fn plainly(stored: &[Selector], asked: &HeaderMap) -> Option<bool> {
        fits_plainly(stored, |name| {
            let mut lines = asked.get_all(name).iter();
            Some((lines.next()?.as_bytes(), lines.next().is_some()))
        })
    }

    #[test]
    fn what_is_plain_takes_no_map_of_fields() {
        let long = "x".repeat(LONGEST + 1);
        for (name, stored, asked, expected) in [
            ("accept", "a", "a", Some(true)),
            ("accept", "a", "b", Some(false)),
            ("origin", "a", "A", Some(false)),
            ("accept-encoding", "gzip", "gzip", Some(true)),
            ("accept-encoding", "gzip, br", "gzip, br", None), // kept in another order
            ("accept-encoding", "gzip", "br", None),
            ("cookie", "a=1", "a=1", None),
            ("cookie", "a=1", "a=2", None),
            ("accept", &*long, &*long, None),
        ] {
            let name = HeaderName::from_static(name);
            let map = |value: &str| HeaderMap::from_iter([(name.clone(), value.parse().unwrap())]);
            let kept = selectors(vec![name.clone()], &map(stored));
            assert_eq!(
                plainly(&kept, &map(asked)),
                expected,
                "{name} {stored} {asked}"
            );
            assert_eq!(plainly(&kept, &HeaderMap::new()), Some(false), "{name}");
            let none = selectors(vec![name.clone()], &HeaderMap::new());
            assert_eq!(plainly(&none, &map(asked)), Some(false), "{name}");
            assert_eq!(plainly(&none, &HeaderMap::new()), Some(true), "{name}");
        }
        // What surely is another one is not looked at more closely.
        let both = [
            (header::COOKIE, Some("sha256:".parse().unwrap())),
            (header::ACCEPT, Some("a".parse().unwrap())),
        ];
        let headers = |lines: &[(HeaderName, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(name, value.parse().unwrap());
            }
            map
        };
        let asked = headers(&[(header::COOKIE, "a"), (header::ACCEPT, "b")]);
        assert_eq!(plainly(&both, &asked), Some(false));
        let (accept, cookie) = ((header::ACCEPT, "a"), (header::COOKIE, "a"));
        let twice = headers(&[accept.clone(), accept, cookie]);
        assert_eq!(plainly(&both, &twice), None);
    }
}
