//! What is JSON, and where it is not.

use proptest::prelude::*;

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

#[test]
fn the_first_special_byte_of_eight_is_found_whatever_stands_around_it() {
    for special in 0..=u8::MAX {
        for around in [b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
            for at in 0..8 {
                let mut eight = [around; 8];
                eight[at] = special;
                // What stands behind it must not be taken for it, nor what is less by one.
                eight[at + 1..].iter_mut().for_each(|byte| *byte = b'"' + 1);
                let first = eight.iter().position(|byte| is_special(*byte));
                assert_eq!(
                    first_special(u64::from_le_bytes(eight)),
                    first,
                    "{eight:x?}"
                );
            }
        }
    }
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
        let members = outline(text.as_bytes()).unwrap();
        members.map(|members| {
            let shown = |(name, value): (_, _)| format!("{}={}", &text[name], &text[value]);
            members.into_iter().map(shown).collect::<Vec<_>>()
        })
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
        assert_eq!(of(other), None, "{other}");
    }
    let many = |count: usize| format!("{{{}}}", vec!["\"a\":[1]"; count].join(","));
    assert_eq!(of(&many(MOST_MEMBERS)).unwrap().len(), MOST_MEMBERS);
    assert_eq!(of(&many(MOST_MEMBERS + 1)), None);
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
    fn finds_the_end_of_what_is_written(value in super::super::tests::any_json(), rest in "[ ,\\]}]{0,3}") {
        let text = format!("{value}{}{rest}", if rest.is_empty() { "" } else { " " });
        prop_assert_eq!(end_of_value(text.as_bytes(), 0), value.to_string().len());
    }
}
