//! What jaq does in one go, and what is here in the place of it.

use super::*;

#[test]
fn what_takes_the_place_of_filters_of_jaq_gives_the_same() {
    for (source, text, expected) in [
        (r#"contains("bc")"#, r#""abcd""#, "true"),
        (r#"contains(["b", "a"])"#, r#"["xa","b"]"#, "true"),
        (r#"contains(["b", "c"])"#, r#"["xa","b"]"#, "false"),
        (
            r#"contains({a: {b: [1]}})"#,
            r#"{"a":{"b":[2,1],"c":0},"d":1}"#,
            "true",
        ),
        (r#"contains({a: 1})"#, r#"{"b":1}"#, "false"),
        ("contains(1.0)", "1", "true"),
        (r#"inside({"a": 1, "b": 2})"#, r#"{"a":1}"#, "true"),
        (r#"indices(", ")"#, r#""a,b, cd, efg""#, "[3,7]"),
        (r#"indices("aa")"#, r#""aaaa""#, "[0,1,2]"),
        (r#"indices("ö")"#, r#""äöö→ö""#, "[1,2,4]"),
        (r#"indices("")"#, r#""a""#, "[]"),
        ("indices(1)", "[0,1,2,1]", "[1,3]"),
        ("indices([1,2])", "[0,1,2,1,3,1,2]", "[1,5]"),
        ("indices([])", "[1]", "[]"),
        (r#"[index("b"), rindex("b")]"#, r#""abcb""#, "[1,3]"),
        (r#"[splits("a+")]"#, r#""xaayaz""#, r#"["x","y","z"]"#),
        (r#"split("")"#, r#""äb""#, r#"["ä","b"]"#),
        (r#". /= ",""#, r#""a,b""#, r#"["a","b"]"#),
        (".a -= [1]", r#"{"a":[1,2]}"#, r#"{"a":[2]}"#),
        (".a /= 2", r#"{"a":5}"#, r#"{"a":2.5}"#),
        (
            r#"[.[] | sub("(?<l>[a-z])"; "<\(.l)>")]"#,
            r#"["ab"]"#,
            r#"["<a>b"]"#,
        ),
        (r#"gsub("";"-")"#, r#""ab""#, r#""-a-b-""#),
        (r#"gsub("[^a-z]";"";"i")"#, r#""aB1""#, r#""aB""#),
        (r#"[scan("[0-9]+")]"#, r#""a1b23""#, r#"["1","23"]"#),
        (r#"test("^A";"i")"#, r#""ab""#, "true"),
        (
            r#"capture("(?<y>[0-9]+)-(?<m>[0-9]+)")"#,
            r#""2026-11""#,
            r#"{"y":"2026","m":"11"}"#,
        ),
        (
            r#"[match("(?<x>ä)|b"; "g")]"#,
            r#""bäb""#,
            r#"[{"offset":0,"length":1,"string":"b","captures":[]},{"offset":1,"length":1,"string":"ä","captures":[{"offset":1,"length":1,"string":"ä","name":"x"}]},{"offset":2,"length":1,"string":"b","captures":[]}]"#,
        ),
        // A group that stands before the one before it.
        (
            r#"[match("(?:(b)|(a))*").captures[] | [.offset, .string]]"#,
            r#""ab""#,
            r#"[[1,"b"],[0,"a"]]"#,
        ),
        (r#"{"a\(1)"}"#, r#"{"a1":7}"#, r#"{"a1":7}"#),
        (". as {$a} | $a", r#"{"a":1}"#, "1"),
        (
            "[.a[1:], .b[:1], .c[0][1:]]",
            r#"{"a":[1,2],"b":"xy","c":["yz"]}"#,
            r#"[[2],"x","z"]"#,
        ),
        (".a[1:] = [9]", r#"{"a":[1,2,3]}"#, r#"{"a":[1,9]}"#),
        (
            "[paths(type == \"number\")]",
            r#"{"a":[1]}"#,
            r#"[["a",0]]"#,
        ),
        (
            "unique_by(.a) | map(.a)",
            r#"[{"a":2},{"a":1},{"a":2}]"#,
            "[1,2]",
        ),
        (
            "[min_by(.a), max_by(.a)] | map(.a)",
            r#"[{"a":2},{"a":1}]"#,
            "[1,2]",
        ),
        ("bsearch(2)", "[1,2,3]", "1"),
        ("[has(0), has(5)]", "[1]", "[true,false]"),
        (". - [1]", "[1,2,1]", "[2]"),
        (
            "[.[] | . == {}, . != [1]]",
            "[{},[1]]",
            "[true,true,false,false]",
        ),
        (
            "[limit(2; .[] | ascii_downcase | explode | implode)]",
            r#"["A","B"]"#,
            r#"["a","b"]"#,
        ),
    ] {
        assert_eq!(made(source, text), expected, "{source}");
    }
}

/// A text of so many letters.
fn letters(count: usize) -> String {
    format!("\"{}\"", "a".repeat(count))
}

/// Each of these programs ends, on its document, because it would take too long.
fn take_too_long(programs: &[(&str, &str)]) {
    for (source, document) in programs {
        is_exhausted(source, "time: 100ms", document, Duration::from_secs(10));
    }
}

#[test]
fn searches_that_would_take_long_are_not_begun() {
    let large = letters(2_000_000);
    let small = letters(200_000);
    take_too_long(&[
        ("indices(.[0:1000000])", &large),
        ("[range(20000)] | contains([range(20000)])", &small),
        ("[range(20000)] | inside([range(20000)])", &small),
        ("test(\"(a|b|c|d|e|f|a|b|c)*x\")", &large),
        ("[match(\"a.*b|a\"; \"g\")] | length", &small),
        ("gsub(\"a.*b|a\"; \"\")", &small),
        ("[splits(\"a.*b|a\")] | length", &small),
    ]);
}

#[test]
fn sorting_and_comparing_that_would_take_long_is_not_begun() {
    let large = letters(2_000_000);
    take_too_long(&[
        (". as $t | [range(300000)] | map($t) | sort", &large),
        (". as $t | [range(300000)] | group_by($t)", &large),
        (". as $t | [range(300000)] | unique_by($t)", &large),
        (". as $t | [range(300000)] | min_by($t)", &large),
        (". as $t | [range(300000)] | map($t) | max", &large),
        (". as $t | [range(300000)] | map($t) | . - [$t]", &large),
        (
            ". as $t | [range(300000)] | map($t) | .[0] = 1 | . -= [$t]",
            &large,
        ),
        (
            ". as $t | [range(300000)] | map($t) as $a | $a == ($a | reverse)",
            &large,
        ),
        (
            ". as $t | [range(300000)] | map($t) | {a: .} | {} * {(tojson): 1}",
            &large,
        ),
        (
            ". as $t | [range(300000)] | map($t) as $k | {} | .[\"a\", ($k | tobytes)]",
            &large,
        ),
    ]);
}

#[test]
fn what_else_cannot_be_interrupted_is_not_begun_or_takes_steps() {
    // More letters than a value may have items.
    let large = letters(4_100_000);
    let small = letters(200_000);
    take_too_long(&[
        ("explode", &large),
        ("split(\"\")", &large),
        (". /= \"\"", &large),
        (
            ". as $t | reduce range(1000000) as $i (0; . + ($t[$i:$i + 1] | length))",
            &large,
        ),
        (
            ". as $t | reduce range(1000000) as $i (0; . + ($t | ascii_upcase | length))",
            &large,
        ),
        ("reduce range(60) as $i (10; . * .)", &small),
        (". as {(def f: f; f): $x} | 1", &small),
        ("{\"\\(def f: f; f)\"}", &small),
        ("{(def f: f; f): 1}", &small),
    ]);
}

#[test]
fn what_would_take_long_and_is_of_no_use_is_refused() {
    for (source, document) in [
        ("[range(1000)] | .[[1, 2]]", "null".to_owned()),
        ("[range(1000)] | has([1, 2])", "null".to_owned()),
        ("test(\"((a{100}){100}){100}\")", "\"a\"".to_owned()),
        (".", format!("[{}]", "7".repeat(1001))),
        ("fromjson", format!("\"{}\"", "7".repeat(1001))),
    ] {
        let options = serde_json::to_string(source).unwrap();
        let failure = ends(&options, &document);
        assert!(
            matches!(failure, Failure::Failed(_)),
            "{source}: {failure:?}"
        );
    }
    let digits = "7".repeat(1000);
    assert_eq!(made(".", &digits), digits);
    let text = format!("[\"a\\\"{digits}{digits}\\\\\",1]");
    assert_eq!(made(".", &text), text);
    let unknown = program("'jn(1; 2)'").err().unwrap();
    assert_eq!(unknown, "jq: unknown filter `jn`");
}
