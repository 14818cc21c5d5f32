//! What looks like the hash of a password or of a key.
//!
//! Where a file can be decoded, it is known where such values stand. What is broken, or stands under a
//! name that nothing knows, is told by its shape.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A value of bcrypt's or Argon2's, a SHA-256 in hexadecimal, and whatever follows the names of such
/// values: to the end of the line, where a quote or a bracket is not closed.
static HASH: LazyLock<Regex> = LazyLock::new(|| {
    let crypt = r#"\$(?:2[abxy]?\$|argon2)[^\s"'}\]]*"#;
    let named = format!(
        r#"\b(?:password_hash|sha256)["']?\s*:\s*({crypt}|"[^"]*"?|'[^']*'?|\[[^\]]*\]?|[^\s,}}\]]+)"#
    );
    let tail = r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"; // where commas have cut it up
    let sha256 = r"\b[0-9a-fA-F]{64}\b";
    let shapes = [named.as_str(), crypt, tail, sha256].join("|");
    Regex::new(&shapes).expect("it is the same each time")
});

/// A line with stars in place of what looks like a hash; references are shown.
pub(super) fn masked(line: Cow<'_, str>) -> Cow<'_, str> {
    let found: Vec<Range<usize>> = (HASH.captures_iter(&line))
        .filter_map(|found| found.get(1).or_else(|| found.get(0)))
        .filter(|found| {
            !found
                .as_str()
                .trim_start_matches(['"', '\''])
                .starts_with("${")
        })
        .map(|found| found.range())
        .collect();
    if found.is_empty() {
        return line;
    }
    let hides = |at: usize| found.iter().any(|range| range.contains(&at));
    let stars = line.char_indices();
    stars
        .map(|(at, c)| if hides(at) { '*' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$10$abcdefghijklmnopqrstuuv1uPsmDSDoBmnHzpfFQ6Smfn7GwYk1i";
    const ARGON2: &str =
        "$argon2id$v=19$m=32,t=1,p=1$c29tZXNhbHQ$5zx/jyoRMtGMqnHPNG4/zX0ga7sQc3SBqZsrhnbLP3Y";
    const SHA256: &str = "bbdf631a00750a8d62cd7ffb016df9f58cf2cc4e31928005978769ee0adbb74f";

    fn shown(line: &str) -> String {
        masked(Cow::Borrowed(line)).into_owned()
    }

    #[test]
    fn hashes_are_hidden_wherever_they_stand_and_columns_stay() {
        for hash in [BCRYPT, ARGON2, SHA256] {
            for (before, after) in [
                ("ä: { hash: ", " }"),
                ("{ name: ann, password_hash: \"", "\", groups: [a] }"),
                ("- { name: ann, password_hash: \"", " }"),
                ("- { name: ann, password_hash: ", " }"),
                ("- '", "'"),
                ("", ""),
            ] {
                let line = format!("{before}{hash}{after}");
                let shown = shown(&line);
                assert!(!shown.contains(&hash[hash.len() - 8..]), "{shown}");
                assert_eq!(shown.chars().count(), line.chars().count());
                assert!(shown.starts_with(before.trim_end_matches('"')), "{shown}");
            }
        }
    }

    #[test]
    fn what_stands_under_the_name_of_a_hash_need_not_look_like_one() {
        for (line, expected) in [
            ("password_hash: abc, x: 1", "password_hash: ***, x: 1"),
            (r#""sha256" : "ab c" }"#, r#""sha256" : ****** }"#),
            ("sha256: [ab, cd], x: 1", "sha256: ********, x: 1"),
            ("password_hash: 'ab", "password_hash: ***"),
        ] {
            assert_eq!(shown(line), expected);
        }
    }

    #[test]
    fn nor_need_it_be_whole() {
        let tail = &ARGON2[ARGON2.len() - 59..];
        let expected = format!("unknown key `p=1{}`", "*".repeat(56));
        assert!(tail.starts_with("p=1$"), "{tail}");
        assert_eq!(shown(&format!("unknown key `{tail}`")), expected);
    }

    #[test]
    fn other_lines_are_shown_as_they_are() {
        for line in [
            "password_hash: ${env:HASH}",
            "sha256: \"${file:/run/key}\"",
            "sha256:",
            "path: /$2/argon2, my_sha256sum: x",
            "etag: bbdf631a00750a8d62cd7ffb016df9f5",
        ] {
            assert_eq!(shown(line), line);
        }
    }
}
