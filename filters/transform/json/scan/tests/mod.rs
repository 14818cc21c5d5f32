//! What is JSON, and where it is not.

mod plain;

use proptest::prelude::*;
use proptest::sample::Index;

use super::runs::{behind_blanks, behind_digits, behind_plain, behind_short};
use super::*;

#[test]
fn takes_what_is_json() {
    for text in [
        "0",
        "-0",
        "1e400",
        "-1.5E-7",
        "null",
        " true ",
        "\"\"",
        "[]",
        "{}",
        "[1 , 2]",
        r#"{"a":[{"b":"\u00e9\\\/"}], "a": 1}"#,
        "\"\u{7f}é\"",
        "12345678901234567890",
    ] {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn says_where_it_is_not() {
    for (text, error) in [
        ("", "expected a value at byte 0"),
        ("01", "expected the end at byte 1"),
        ("1.", "expected a digit at byte 2"),
        ("+1", "expected a value at byte 0"),
        ("NaN", "expected a value at byte 0"),
        ("nul", "expected a value at byte 0"),
        ("[1,]", "expected a value at byte 3"),
        ("[1 2]", "expected `,` or the end of a list at byte 3"),
        ("{a:1}", "expected a value at byte 1"),
        ("{\"a\" 1}", "expected `:` at byte 5"),
        ("\"a\nb\"", "expected the end of a text at byte 2"),
        ("\"\\x\"", "expected an escape of JSON at byte 1"),
        ("\"\\u12\"", "expected four hexadecimal digits at byte 1"),
        ("1 1", "expected the end at byte 2"),
        ("\u{feff}1", "expected a value at byte 0"),
    ] {
        assert_eq!(check(text.as_bytes()), Err(error.to_owned()), "{text}");
    }
    assert_eq!(
        check(b"\"\xff\""),
        Err("expected UTF-8 at byte 1".to_owned())
    );
}

/// Each byte at each place among others: those that end no run, and those that are nearly it.
fn each_among(around: &[u8], mut with: impl FnMut(&[u8])) {
    for around in around {
        for length in 0..40 {
            with(&vec![*around; length]);
            for at in [
                length.saturating_sub(9),
                length / 2,
                length.saturating_sub(1),
            ] {
                let mut text = vec![*around; length];
                for byte in (0..=u8::MAX).filter(|_| at < length) {
                    text[at] = byte;
                    // What stands behind it must not be taken for it, nor what is less by one.
                    text[at + 1..].fill(byte.wrapping_add(1));
                    with(&text);
                }
            }
        }
    }
}

fn from(text: &[u8], is_end: impl Fn(&u8) -> bool) -> &[u8] {
    let at = text.iter().position(is_end).unwrap_or(text.len());
    &text[at..]
}

#[test]
fn runs_end_where_they_do_whatever_stands_around() {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let letters = [b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff];
    each_among(&letters, |text| {
        let rest = from(text, is_special);
        assert_eq!(behind_plain(text), rest, "{text:x?}");
        let is_short = text.len() >= 8 && text.len() - rest.len() < 8;
        let short = rest.strip_prefix(b"\"").filter(|_| is_short);
        assert_eq!(behind_short(text), short, "{text:x?}");
    });
    each_among(b"0359", |text| {
        let rest = from(text, |byte| !byte.is_ascii_digit());
        assert_eq!(behind_digits(text), rest, "{text:x?}");
    });
    each_among(b" \t\n\r", |text| {
        let rest = from(text, |byte| !b" \t\n\r".contains(byte));
        assert_eq!(behind_blanks(text), rest, "{text:x?}");
        let behind = rest.strip_prefix(b",").ok_or(rest);
        assert_eq!(behind_byte(text, b','), behind, "{text:x?}");
    });
}

#[test]
fn texts_of_every_length_end_where_they_do() {
    for length in 0..40 {
        for end in ["\"", "\\n\"", "\\\\\"", "\\\"\""] {
            let text = format!(
                "\"{}{end}",
                "é".repeat(length / 2) + &"a".repeat(length % 2)
            );
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
            assert_eq!(end_of_value(text.as_bytes(), 0), text.len(), "{text}");
            let cut = &text[..text.len() - 1];
            let error = format!("expected the end of a text at byte {}", cut.len());
            assert_eq!(check(cut.as_bytes()), Err(error), "{cut}");
            let wrong = format!("{cut}\u{1}\"");
            let error = format!("expected the end of a text at byte {}", cut.len());
            assert_eq!(check(wrong.as_bytes()), Err(error), "{wrong:?}");
        }
    }
}

#[test]
fn brackets_close_what_they_open() {
    for (text, error) in [
        ("[}", "expected a value at byte 1"),
        ("{]", "expected a value at byte 1"),
        ("[1}", "expected `,` or the end of a list at byte 2"),
        ("{\"a\":1]", "expected `,` or the end of a list at byte 6"),
        ("[[1}]", "expected `,` or the end of a list at byte 3"),
        ("{\"a\":[1]", "expected `,` or the end of a list at byte 8"),
        ("[", "expected a value at byte 1"),
        ("{", "expected a value at byte 1"),
        ("{\"a\"", "expected `:` at byte 4"),
        ("{\"a\":", "expected a value at byte 5"),
        ("{\"a\":1,}", "expected a value at byte 7"),
        ("[]]", "expected the end at byte 2"),
        ("\0", "expected a value at byte 0"),
        ("[1,\0]", "expected a value at byte 3"),
    ] {
        assert_eq!(check(text.as_bytes()), Err(error.to_owned()), "{text}");
    }
    let mixed = "[{\"a\":".repeat(DEEPEST / 2) + "1" + &"}]".repeat(DEEPEST / 2);
    assert_eq!(check(mixed.as_bytes()), Ok(()));
}

#[test]
fn the_members_of_an_object_are_where_they_stand() {
    let of = |text: &str| {
        let mut members = Vec::new();
        let told = check_members(text.as_bytes(), |member| {
            let [name, value] = [member.name(), member.value()].map(String::from_utf8_lossy);
            members.push(format!("{name}={value}"));
        });
        told.map(|()| members)
    };
    let all =
        r#" { "a" : 1 , "b":{"a":[{"c":{}}] } ,"c" : [ 1, {"d":2}, [] ] , "\"":"}" , "a":null } "#;
    let members = [
        r#""a"=1"#,
        r#""b"={"a":[{"c":{}}] }"#,
        r#""c"=[ 1, {"d":2}, [] ]"#,
        r#""\""="}""#,
        r#""a"=null"#,
    ];
    assert_eq!(of(all).unwrap(), members);
    for other in ["{}", "[]", "[{\"a\":1}]", "1", "\"{}\""] {
        assert_eq!(of(other), Ok(Vec::new()), "{other}");
    }
}

#[test]
fn depth_has_an_end() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(check(nested(DEEPEST).as_bytes()).is_ok());
    let error = format!("expected at most {DEEPEST} levels, found more at byte {DEEPEST}");
    assert_eq!(check(nested(DEEPEST + 1).as_bytes()), Err(error));
    assert!(check("[".repeat(10_000_000).as_bytes()).is_err());
    assert!(check("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn agrees_with_another_reader(text in "[\\[\\]{},:\"0-9eE.+\\- a\\\\utrfnsl]{0,12}") {
        let other = serde_json::from_str::<wiregate_sdk::serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(check(text.as_bytes()).is_ok(), other, "{}", text);
    }

    #[test]
    fn says_what_a_plain_reader_says(
        value in super::super::tests::any_json(),
        pretty in any::<bool>(),
        changes in prop::collection::vec((any::<Index>(), "[\\[\\]{},:\"0-9eE.+\\- a\\\\u\n\u{1}\u{80}]"), 0..3),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut text = match pretty {
            true => serde_json::to_vec_pretty(&value).unwrap(),
            false => value.to_string().into_bytes(),
        };
        for (at, change) in changes {
            let at = at.index(text.len());
            text.splice(at..=at, change.bytes());
        }
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len() + 1));
        }
        prop_assert_eq!(check(&text), plain::check(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn says_of_anything_what_a_plain_reader_says(text in "[\\[\\]{},:\"0-9eE.+\\- a\\\\utrfnsl]{0,24}") {
        prop_assert_eq!(check(text.as_bytes()), plain::check(text.as_bytes()), "{}", text);
    }

    #[test]
    fn finds_the_end_of_what_is_written(value in super::super::tests::any_json(), rest in "[ ,\\]}]{0,3}") {
        let text = format!("{value}{}{rest}", if rest.is_empty() { "" } else { " " });
        prop_assert_eq!(end_of_value(text.as_bytes(), 0), value.to_string().len());
    }
}

#[test]
fn the_deepest_text_needs_little_of_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[1,{\"b\" : ", "}]")] {
        let levels = DEEPEST / open.matches(['[', '{']).count();
        let text = format!("{}0{}", open.repeat(levels), close.repeat(levels));
        // Half of what a thread of the gateway has, and not optimised here.
        let small = std::thread::Builder::new().stack_size(1 << 20);
        let checked = small.spawn(move || check(text.as_bytes())).unwrap();
        assert_eq!(checked.join().unwrap(), Ok(()));
    }
}
