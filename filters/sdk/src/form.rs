//! Queries as forms encode them (URL Standard, 5.1).

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The names and values of a query, in their order and as they are written; what has no `=` is a name
/// with an empty value, and where nothing is between two `&` there is nothing.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
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
        let all: Vec<_> = pairs("a=1&b=c=d&&bare&=x&=&").collect();
        let expected = [("a", "1"), ("b", "c=d"), ("bare", ""), ("", "x"), ("", "")];
        assert_eq!(all, expected);
        assert_eq!(pairs("").count(), 0);
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
