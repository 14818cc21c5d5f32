//! Queries as forms encode them (URL Standard, 5.1).

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// A parameter of a query, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Name, `=` and value.
    pub whole: &'a str,
    /// All before the first `=`.
    pub name: &'a str,
    /// All behind it; empty where there is none.
    pub value: &'a str,
}

impl Pair<'_> {
    /// Whether this is its name, decoded, byte for byte.
    pub fn is(&self, name: &str) -> bool {
        *decoded(self.name) == *name.as_bytes()
    }
}

/// The parameters of a query, in their order; where nothing is between two `&` there is none.
pub fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    let written = query.split('&').filter(|whole| !whole.is_empty());
    written.map(|whole| {
        let (name, value) = whole.split_once('=').unwrap_or((whole, ""));
        Pair { whole, name, value }
    })
}

/// A name or a value as it is meant: `%XX` decoded, and `+` for a space.
pub fn decoded(written: &str) -> Cow<'_, [u8]> {
    if !written.contains('+') {
        return percent_decode(written.as_bytes()).into();
    }
    let spaced = written.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).collect())
}

/// The same as text, with `\u{fffd}` in the place of what is no UTF-8.
pub fn text(written: &str) -> Cow<'_, str> {
    match decoded(written) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_names_and_values() {
        let all = pairs("a=1&b=c=d&&bare&=x&=&").map(|it| (it.whole, it.name, it.value));
        let expected = [
            ("a=1", "a", "1"),
            ("b=c=d", "b", "c=d"),
            ("bare", "bare", ""),
            ("=x", "", "x"),
            ("=", "", ""),
        ];
        assert_eq!(all.collect::<Vec<_>>(), expected);
        assert_eq!(pairs("").count(), 0);
        let is = |query, name| pairs(query).all(|pair| pair.is(name));
        assert!(is("%c3%a9+=1", "é ") && !is("%FF=1", "\u{fffd}"));
    }

    #[test]
    fn what_is_written_is_decoded() {
        for (written, meant) in [
            ("plain", "plain"),
            ("a+b%2Bc", "a b+c"),
            ("%c3%a9", "é"),
            ("%FF+%", "\u{fffd} %"),
            ("", ""),
        ] {
            assert_eq!(text(written), meant, "{written}");
        }
        assert_eq!(*decoded("%FF+"), b"\xff "[..]);
        assert!(matches!(decoded("plain"), Cow::Borrowed(b"plain")));
    }
}
