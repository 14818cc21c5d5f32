//! What a response allows caches (RFC 9111, 5.2.2; RFC 9213; RFC 5861; RFC 8246).

use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::fields::{Field, Fields};
use super::last::Last;
use super::list::{self, FOREVER, Member};

/// The fields that are for caches like this one, the most exact first (RFC 9213, 2.1).
const TARGETED: [Field; 2] = [Field::WiregateCacheControl, Field::CdnCacheControl];

/// The directives of a response that mean something to a shared cache.
///
/// `no-cache` and `private` that name fields count as if they named none (5.2.2.4, 5.2.2.7): a
/// cache may do so, and no field of one caller can reach another through a name that was
/// misspelt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Not to be stored (5.2.2.5).
    pub no_store: bool,
    /// Not to be used without validation (5.2.2.4).
    pub no_cache: bool,
    /// For one caller only (5.2.2.7).
    pub private: bool,
    /// For all callers (5.2.2.9).
    pub public: bool,
    /// Never stale (5.2.2.2).
    pub must_revalidate: bool,
    /// Never stale from a shared cache (5.2.2.8).
    pub proxy_revalidate: bool,
    /// Not to be validated while it is fresh, unless a caller insists (RFC 8246).
    pub immutable: bool,
    /// To be stored where its status is understood only (5.2.2.3).
    pub must_understand: bool,
    /// How old it may become, in seconds (5.2.2.1, 5.2.2.10). What is no number is 0: such a
    /// response is stale (4.2.1).
    pub lifetime: Option<u32>,
    /// RFC 5861, 3.
    pub while_revalidate: Option<u32>,
    /// RFC 5861, 4.
    pub if_error: Option<u32>,
    /// Whether they come from a field that is for caches like this one: `Expires` says nothing
    /// then (RFC 9213, 2.2).
    pub targeted: bool,
    /// Whether `s-maxage` was there (5.2.2.10): it allows to store what was asked for with
    /// credentials (3.5), and forbids to use it stale where nothing in the response allows that.
    pub shared_lifetime: bool,
}

impl Terms {
    /// What this response allows.
    pub fn of(fields: &Fields<'_>) -> Self {
        thread_local! {
            static LAST: Last<Terms> = const { Last::new() };
        }
        let targeted = TARGETED.iter().find_map(|field| targeted(fields, *field));
        targeted.unwrap_or_else(|| {
            let mut lines = fields.all(Field::CacheControl);
            match (lines.next(), lines.next()) {
                (None, _) => Self::default(),
                (Some(line), None) => LAST.with(|last| last.get(line, |line| Self::read([line]))),
                _ => Self::read(fields.all(Field::CacheControl)),
            }
        })
    }

    fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut terms, mut max_age, mut shared) = (Self::default(), None, None);
        list::members(lines).for_each(|member| {
            let seconds = |member: &Member<'_>| member.seconds().or(Some(0));
            if member.is("max-age") {
                max_age = max_age.or_else(|| seconds(&member));
            } else if member.is("s-maxage") {
                shared = shared.or_else(|| seconds(&member));
            } else if member.is("stale-while-revalidate") {
                terms.while_revalidate = terms.while_revalidate.or_else(|| seconds(&member));
            } else if member.is("stale-if-error") {
                terms.if_error = terms.if_error.or_else(|| seconds(&member));
            } else {
                terms.flag(member.name);
            }
        });
        terms.lasting(max_age, shared)
    }

    fn lasting(mut self, max_age: Option<u32>, shared: Option<u32>) -> Self {
        self.shared_lifetime = shared.is_some();
        self.lifetime = shared.or(max_age);
        self
    }

    fn flag(&mut self, name: &[u8]) {
        let flags = [
            ("no-store", &mut self.no_store),
            ("no-cache", &mut self.no_cache),
            ("private", &mut self.private),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("proxy-revalidate", &mut self.proxy_revalidate),
            ("must-understand", &mut self.must_understand),
            ("immutable", &mut self.immutable),
        ];
        for (word, flag) in flags {
            *flag |= name.eq_ignore_ascii_case(word.as_bytes());
        }
    }

    /// Whether it may be used stale only where it allows that itself.
    pub fn is_strict(&self) -> bool {
        self.is_never_stale() || self.shared_lifetime
    }

    /// Whether it may never be used stale.
    pub fn is_never_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }
}

/// A field for caches like this one: a dictionary (RFC 9213, 2.1). One that is empty or cannot be
/// read is as good as absent, and so is one whose numbers are none.
fn targeted(fields: &Fields<'_>, field: Field) -> Option<Terms> {
    if !fields.has(field) {
        return None;
    }
    let lines: Vec<_> = fields.all(field).collect();
    let joined = lines.join(&b", "[..]);
    let dictionary: Dictionary = Parser::new(&joined).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut terms = Terms {
        targeted: true,
        ..Terms::default()
    };
    let (mut max_age, mut shared) = (None, None);
    for (key, entry) in &dictionary {
        match key.as_str() {
            "max-age" => max_age = Some(number(entry)?),
            "s-maxage" => shared = Some(number(entry)?),
            "stale-while-revalidate" => terms.while_revalidate = Some(number(entry)?),
            "stale-if-error" => terms.if_error = Some(number(entry)?),
            word if !is_false(entry) => terms.flag(word.as_bytes()),
            _ => {}
        }
    }
    Some(terms.lasting(max_age, shared))
}

fn number(entry: &ListEntry) -> Option<u32> {
    let ListEntry::Item(item) = entry else {
        return None;
    };
    let seconds = i64::from(item.bare_item.as_integer()?);
    // Less than nothing is no freshness at all (RFC 9111, 4.2.1).
    Some(u32::try_from(seconds.max(0)).map_or(FOREVER, |seconds| seconds.min(FOREVER)))
}

fn is_false(entry: &ListEntry) -> bool {
    matches!(entry, ListEntry::Item(item) if item.bare_item == BareItem::Boolean(false))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Terms {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Terms::of(&Fields::of(&headers))
    }

    fn lifetime(line: &'static str) -> Option<u32> {
        of(&[("cache-control", line)]).lifetime
    }

    #[test]
    fn rfc9111_5_2_2_all_directives_are_read() {
        let terms = of(&[
            ("cache-control", "No-Store, no-cache, private, public"),
            (
                "cache-control",
                "must-revalidate, proxy-revalidate, must-understand",
            ),
            (
                "cache-control",
                "stale-while-revalidate=1, stale-if-error=2, max-age=3",
            ),
        ]);
        assert!(terms.no_store && terms.no_cache && terms.private && terms.public);
        assert!(terms.must_revalidate && terms.proxy_revalidate && terms.must_understand);
        assert_eq!(terms.while_revalidate, Some(1));
        assert_eq!((terms.if_error, terms.lifetime), (Some(2), Some(3)));
    }

    #[test]
    fn rfc9111_5_2_2_10_s_maxage_comes_first_and_forbids_stale() {
        let terms = of(&[("cache-control", "max-age=1, s-maxage=2")]);
        assert_eq!(terms.lifetime, Some(2));
        assert!(terms.is_strict() && !terms.is_never_stale());
    }

    #[test]
    fn rfc9111_4_2_1_the_first_of_two_counts_and_nonsense_is_stale() {
        assert_eq!(lifetime("max-age=1800, max-age=1"), Some(1800));
        assert_eq!(lifetime("max-age=1, max-age=1800"), Some(1));
        for wrong in [
            "max-age=a1",
            "max-age=1.5",
            "max-age='9'",
            "max-age = 9",
            "max-age",
        ] {
            assert_eq!(lifetime(wrong), Some(0), "{wrong}");
        }
        assert_eq!(lifetime(r#"x="max-age=3600", max-age=1"#), Some(1));
        assert_eq!(lifetime("x"), None);
    }

    #[test]
    fn rfc9111_5_2_2_4_and_7_what_names_fields_counts_for_all() {
        let terms = of(&[("cache-control", r#"no-cache="a, b", private="c""#)]);
        assert!(terms.no_cache && terms.private);
        let terms = of(&[("cache-control", r#"no-cache ="a", private="#)]);
        assert!(terms.no_cache && terms.private);
    }

    #[test]
    fn rfc9213_2_2_the_most_exact_field_that_is_there_counts_alone() {
        let terms = of(&[
            ("cache-control", "no-store"),
            ("cdn-cache-control", "max-age=10"),
        ]);
        assert!(terms.targeted && !terms.no_store);
        assert_eq!(terms.lifetime, Some(10));
        let terms = of(&[
            ("cdn-cache-control", "max-age=10"),
            ("wiregate-cache-control", "max-age=20, private=?0, public"),
        ]);
        assert_eq!(terms.lifetime, Some(20));
        assert!(!terms.private && terms.public);
    }

    #[test]
    fn rfc9213_2_1_what_is_no_dictionary_or_empty_is_ignored() {
        for wrong in [
            "max-age=10000, &&&",
            "max-age=\"10000\"",
            "max-age =100",
            "max-age= 100",
            "",
        ] {
            let terms = of(&[("cache-control", "no-store"), ("cdn-cache-control", wrong)]);
            assert!(terms.no_store && !terms.targeted, "{wrong}");
        }
        let terms = of(&[("cdn-cache-control", "max-age=99999999999")]);
        assert_eq!(terms.lifetime, Some(FOREVER));
    }
}
