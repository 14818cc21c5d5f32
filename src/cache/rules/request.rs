//! What a request asks of caches (RFC 9111, 5.2.1 and 5.4).

use http::{HeaderMap, header};

use super::list::{self, FOREVER};

/// The directives of a request that mean something to a shared cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Not without validation (5.2.1.4, and `Pragma`, 5.4).
    pub no_cache: bool,
    /// Nothing of this exchange may be stored (5.2.1.5).
    pub no_store: bool,
    /// Not from the upstream (5.2.1.7).
    pub only_if_cached: bool,
    /// No older than this, in seconds (5.2.1.1).
    pub max_age: Option<u32>,
    /// Fresh for this long still (5.2.1.3).
    pub min_fresh: Option<u32>,
    /// Stale for no longer than this (5.2.1.2).
    pub max_stale: Option<u32>,
    /// Stale for no longer than this where the upstream fails (RFC 5861, 4).
    pub if_error: Option<u32>,
}

impl Wishes {
    /// What this request asks for. Of directives that come twice the first counts; an argument that
    /// is no number is taken for the strictest one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        // One look at the names is cheaper than a search for each of these, which few requests have.
        let mut names = headers.keys().map(|name| name.as_str());
        if !names.any(|name| matches!(name, "cache-control" | "pragma")) {
            return wishes;
        }
        let mut lines = headers.get_all(header::CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            wishes.no_cache = has_pragma(headers);
            return wishes;
        }
        for member in list::members(lines.map(|line| line.as_bytes())) {
            let strictest = || member.seconds().or(Some(0));
            if member.is("no-cache") {
                wishes.no_cache = true;
            } else if member.is("no-store") {
                wishes.no_store = true;
            } else if member.is("only-if-cached") {
                wishes.only_if_cached = true;
            } else if member.is("max-age") {
                wishes.max_age = wishes.max_age.or_else(strictest);
            } else if member.is("min-fresh") {
                let strictest = member.seconds().or(Some(FOREVER));
                wishes.min_fresh = wishes.min_fresh.or(strictest);
            } else if member.is("max-stale") {
                let any = matches!(member.argument, list::Argument::None).then_some(FOREVER);
                wishes.max_stale = wishes.max_stale.or(any).or_else(strictest);
            } else if member.is("stale-if-error") {
                wishes.if_error = wishes.if_error.or_else(strictest);
            }
        }
        wishes
    }
}

fn has_pragma(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::PRAGMA).iter();
    list::members(lines.map(|line| line.as_bytes())).any(|member| member.is("no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Wishes {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Wishes::of(&headers)
    }

    #[test]
    fn rfc9111_5_2_1_all_directives_are_read() {
        let wishes = of(&[
            ("cache-control", "No-Cache, no-store, only-if-cached"),
            (
                "cache-control",
                "max-age=1, min-fresh=\"2\", max-stale=3, stale-if-error=4",
            ),
        ]);
        assert!(wishes.no_cache && wishes.no_store && wishes.only_if_cached);
        assert_eq!((wishes.max_age, wishes.min_fresh), (Some(1), Some(2)));
        assert_eq!((wishes.max_stale, wishes.if_error), (Some(3), Some(4)));
    }

    #[test]
    fn rfc9111_5_2_1_2_max_stale_without_an_argument_is_any() {
        assert_eq!(
            of(&[("cache-control", "max-stale")]).max_stale,
            Some(FOREVER)
        );
        assert_eq!(of(&[("cache-control", "max-stale=x")]).max_stale, Some(0));
    }

    #[test]
    fn what_is_no_number_is_the_strictest_one() {
        let wishes = of(&[("cache-control", "max-age=x, min-fresh=x")]);
        assert_eq!((wishes.max_age, wishes.min_fresh), (Some(0), Some(FOREVER)));
    }

    #[test]
    fn rfc9111_5_4_pragma_counts_where_there_is_no_cache_control() {
        assert!(of(&[("pragma", "x, no-cache")]).no_cache);
        assert!(!of(&[("pragma", "no-cache"), ("cache-control", "max-age=9")]).no_cache);
        assert!(!of(&[("pragma", "x")]).no_cache);
    }
}
