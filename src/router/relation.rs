//! How the sets of requests that two matches take relate to each other: what they share, and
//! whether one holds the other.

use ipnet::IpNet;

use super::condition::{Condition, Test};
use super::matching::Match;
use super::path::PathPattern;
use wiregate_sdk::types::{Cidr, OneOrMany};

/// What two sets have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shared<T> {
    /// Nothing; this is certain.
    Nothing,
    /// This one, among others.
    Item(T),
    /// That cannot be told: two regular expressions, or one without a known example.
    Unknown,
}

/// A value that meets both conditions; `None` in it stands for a value that is not there.
pub(super) fn shared_value(a: &Condition, b: &Condition) -> Shared<Option<String>> {
    let both = |value: Option<&str>| {
        let value = value.map(str::as_bytes);
        a.holds(value) && b.holds(value)
    };
    if let Some(texts) = a.texts().or_else(|| b.texts()) {
        let found = texts.iter().find(|text| both(Some(text)));
        return found.map_or(Shared::Nothing, |text| Shared::Item(Some(text.to_string())));
    }
    if both(None) {
        return Shared::Item(None);
    }
    if absent(a) || absent(b) || !starts_fit(a.start(), b.start()) {
        return Shared::Nothing;
    }
    let samples = [sample(a), sample(b)];
    match samples.into_iter().flatten().find(|text| both(Some(text))) {
        Some(text) => Shared::Item(Some(text)),
        None => Shared::Unknown,
    }
}

fn absent(condition: &Condition) -> bool {
    *condition == Condition::Test(Test::Present(false))
}

/// A value that meets a condition, where one is known.
fn sample(condition: &Condition) -> Option<String> {
    match condition {
        Condition::Exact(text) => Some(text.to_string()),
        Condition::Test(Test::AnyOf(texts)) => Some(texts[0].to_string()),
        Condition::Test(Test::Prefix(start)) => Some(format!("{start}1")),
        Condition::Test(Test::Regex(regex)) => regex.sample().map(str::to_owned),
        Condition::Test(Test::Present(_)) => Some("1".into()),
    }
}

fn starts_fit(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// A path that two regular expressions match.
pub(super) fn shared_path(a: &PathPattern, b: &PathPattern) -> Shared<String> {
    let (PathPattern::Regex(first), PathPattern::Regex(second)) = (a, b) else {
        return Shared::Unknown;
    };
    if !starts_fit(first.start(), second.start()) {
        return Shared::Nothing;
    }
    let samples = [first.sample(), second.sample()].into_iter().flatten();
    match samples
        .into_iter()
        .find(|path| a.matches(path) && b.matches(path))
    {
        Some(path) => Shared::Item(path.to_owned()),
        None => Shared::Unknown,
    }
}

/// Methods that both take; `None` for any.
pub(super) fn shared_methods(a: &Match, b: &Match) -> Shared<Option<Vec<http::Method>>> {
    let (first, second) = match (&a.methods, &b.methods) {
        (None, None) => return Shared::Item(None),
        (Some(only), None) | (None, Some(only)) => (only, only),
        (Some(first), Some(second)) => (first, second),
    };
    let both = first.iter().filter(|method| second.contains(method));
    let both: Vec<_> = both.map(|method| method.0.clone()).collect();
    if both.is_empty() {
        Shared::Nothing
    } else {
        Shared::Item(Some(both))
    }
}

/// A network that both take; `None` for any.
pub(super) fn shared_client(a: &Match, b: &Match) -> Shared<Option<IpNet>> {
    let (first, second) = match (&a.client, &b.client) {
        (None, None) => return Shared::Item(None),
        (Some(only), None) | (None, Some(only)) => (only, only),
        (Some(first), Some(second)) => (first, second),
    };
    let narrower = first.iter().find_map(|one| {
        second
            .iter()
            .find_map(|other| match (holds(one, other), holds(other, one)) {
                (true, _) => Some(other.get()),
                (_, true) => Some(one.get()),
                _ => None,
            })
    });
    narrower.map_or(Shared::Nothing, |net| Shared::Item(Some(net)))
}

fn holds(wide: &Cidr, narrow: &Cidr) -> bool {
    wide.get().contains(&narrow.get())
}

/// Whether a match takes, host and path aside, every request that another takes. `false` where
/// that cannot be told.
pub(super) fn covers(wide: &Match, narrow: &Match) -> bool {
    let all = |wide: Option<&OneOrMany<_>>, narrow: Option<&OneOrMany<_>>| {
        wide.is_none_or(|wide| narrow.is_some_and(|it| it.iter().all(|it| wide.contains(it))))
    };
    let nets = |wide: &OneOrMany<Cidr>, narrow: &OneOrMany<Cidr>| {
        narrow
            .iter()
            .all(|net| wide.iter().any(|wide| holds(wide, net)))
    };
    all(wide.methods.as_ref(), narrow.methods.as_ref())
        && wide.fields().all(|(field, condition)| {
            let narrow = narrow.field(field);
            narrow.is_some_and(|narrow| implies(narrow, condition))
        })
        && wide.client.as_ref().is_none_or(|wide| {
            let narrow = narrow.client.as_ref();
            narrow.is_some_and(|narrow| nets(wide, narrow))
        })
        && wide
            .when
            .as_ref()
            .is_none_or(|wide| narrow.when.as_ref().map(|it| it.source()) == Some(wide.source()))
}

/// Whether every value that meets one condition meets another.
fn implies(narrow: &Condition, wide: &Condition) -> bool {
    if let Some(texts) = narrow.texts() {
        return texts.iter().all(|text| wide.holds(Some(text.as_bytes())));
    }
    match wide {
        Condition::Test(Test::Present(present)) => *present != absent(narrow),
        Condition::Test(Test::Prefix(start)) => {
            !absent(narrow) && narrow.start().starts_with(&**start)
        }
        _ => narrow == wide,
    }
}

/// Whether every path that `narrow` matches is matched by `wide`, for patterns of different
/// kinds. `false` where that cannot be told.
pub(super) fn covers_path(wide: &PathPattern, narrow: &PathPattern) -> bool {
    let PathPattern::Segments {
        segments,
        open: true,
        ..
    } = wide
    else {
        return false;
    };
    match narrow {
        PathPattern::Any => segments.is_empty(),
        PathPattern::Regex(regex) => match regex.start().rfind('/') {
            // What comes after the last slash may go on, and decides nothing.
            Some(end) => wide.matches(&regex.start()[..=end]),
            None => segments.is_empty(),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(json: &str) -> Condition {
        serde_json::from_str(json).unwrap()
    }

    fn matching(json: &str) -> Match {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_two_conditions_share_meets_both() {
        let forms = [
            r#""a""#,
            r#""ab""#,
            r#"{"any_of": ["a", "b"]}"#,
            r#"{"prefix": "a"}"#,
            r#"{"prefix": "ab"}"#,
            r#"{"prefix": "b"}"#,
            r#"{"regex": "a+"}"#,
            r#"{"regex": "b[0-9]"}"#,
            r#"{"present": true}"#,
            r#"{"present": false}"#,
        ]
        .map(condition);
        let values = [
            None,
            Some(""),
            Some("a"),
            Some("ab"),
            Some("b"),
            Some("b1"),
            Some("abc"),
            Some("x"),
        ]
        .map(|value| value.map(str::as_bytes));
        for a in &forms {
            for b in &forms {
                let naive = values
                    .iter()
                    .any(|value| a.holds(*value) && b.holds(*value));
                match shared_value(a, b) {
                    Shared::Item(value) => {
                        let value = value.as_deref().map(str::as_bytes);
                        assert!(a.holds(value) && b.holds(value), "{a} {b}");
                    }
                    Shared::Nothing => assert!(!naive, "{a} {b}"),
                    Shared::Unknown => assert!(!naive, "{a} {b}"),
                }
                let within = values
                    .iter()
                    .all(|value| !a.holds(*value) || b.holds(*value));
                assert!(!implies(a, b) || within, "{a} in {b}");
            }
        }
    }

    #[test]
    fn regular_expressions_with_different_starts_share_nothing() {
        let path = |text: &str| text.parse::<PathPattern>().unwrap();
        let shared = |a, b| shared_path(&path(a), &path(b));
        assert_eq!(shared("~ /a/[0-9]+", "~ /b/.*"), Shared::Nothing);
        assert_eq!(
            shared("~ /a/[0-9]+", "~ /a/.*"),
            Shared::Item("/a/1".into())
        );
        assert_eq!(shared("~ /a/x[0-9]*7", "~ /a/x[0-9]*8"), Shared::Unknown);
    }

    #[test]
    fn covers_is_never_wrong() {
        let table = [
            ("{}", r#"{"methods": ["GET"]}"#, true),
            (r#"{"methods": ["GET"]}"#, "{}", false),
            (
                r#"{"methods": ["GET", "PUT"]}"#,
                r#"{"methods": ["PUT"]}"#,
                true,
            ),
            (
                r#"{"client": "10.0.0.0/8"}"#,
                r#"{"client": ["10.1.0.0/16", "10.0.0.1"]}"#,
                true,
            ),
            (
                r#"{"client": "10.0.0.0/8"}"#,
                r#"{"client": ["10.1.0.0/16", "11.0.0.1"]}"#,
                false,
            ),
            (
                r#"{"headers": {"a": {"present": true}}}"#,
                r#"{"headers": {"a": "1", "b": "1"}}"#,
                true,
            ),
            (r#"{"headers": {"a": {"present": false}}}"#, "{}", false),
            (
                r#"{"query": {"a": {"prefix": "x"}}}"#,
                r#"{"query": {"a": {"regex": "xy+"}}}"#,
                true,
            ),
            (
                r#"{"query": {"a": "1"}}"#,
                r#"{"cookies": {"a": "1"}}"#,
                false,
            ),
        ];
        for (wide, narrow, expected) in table {
            assert_eq!(
                covers(&matching(wide), &matching(narrow)),
                expected,
                "{wide} {narrow}"
            );
        }
        let path = |text: &str| text.parse::<PathPattern>().unwrap();
        assert!(covers_path(&path("/**"), &PathPattern::Any));
        assert!(covers_path(&path("/**"), &path("~ .*")));
        assert!(covers_path(&path("/a/**"), &path("~ /a/b[0-9]")));
        assert!(covers_path(&path("/{x}/**"), &path("~ /a/b[0-9]")));
        assert!(!covers_path(&path("/a/**"), &path("~ /a[0-9]")));
        assert!(!covers_path(&path("/a/{x}/**"), &path("~ /a/b[0-9]")));
        assert!(!covers_path(&path("/a/**"), &PathPattern::Any));
        assert!(!covers_path(&path("/a/**"), &path("/a/b")));
    }
}
