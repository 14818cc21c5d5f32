use proptest::prelude::*;

use super::*;
use crate::value::MAX_BYTES;

fn parse(text: &str) -> Result<Value, Vec<Problem>> {
    read(&"t.yaml".into(), text)
}

/// `line:column message` of each problem.
fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err(text);
    let show = |p: &Problem| format!("{}:{} {}", p.place.line, p.place.column, p.message);
    problems.iter().map(show).collect()
}

fn at(value: &Value) -> (u32, u32, u32) {
    (value.place.line, value.place.column, value.place.width)
}

#[test]
fn values_know_where_they_were_written() {
    let text = "a: 10\nbé: { cé: [x, 'y z'] }\nd:\n  - e: 1\n    f:\n  - |\n    text\n";
    let value = parse(text).unwrap();
    assert_eq!(at(&value), (1, 1, 1));
    assert_eq!(at(value.at("a")), (1, 4, 2));
    assert_eq!(at(value.at("bé")), (2, 5, 18));
    assert_eq!(at(value.at("bé.cé[0]")), (2, 12, 1));
    assert_eq!(at(value.at("bé.cé[1]")), (2, 15, 5));
    assert_eq!(at(value.at("d[0]")), (4, 5, 1));
    assert_eq!(at(value.at("d[0].f")), (5, 5, 1));
    assert_eq!(at(value.at("d[1]")), (7, 5, 4));
}

#[test]
fn scalars_keep_their_text_and_their_quotes() {
    let value = parse("[1.10, '5', \"a\\n\", yes, ~, !!str 7, !!int '8']").unwrap();
    let Node::List(items) = &value.node else {
        panic!("{value:?}");
    };
    let found: Vec<_> = items
        .iter()
        .map(|item| match &item.node {
            Node::Scalar(scalar) => (scalar.text.as_str(), scalar.quoted),
            _ => ("(nothing)", false),
        })
        .collect();
    let expected = [
        ("1.10", false),
        ("5", true),
        ("a\n", true),
        ("yes", false),
        ("(nothing)", false),
        ("7", true),
        ("8", false),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_empty_text_is_nothing() {
    for text in ["", "\n\n", "# only a comment\n", "---\n"] {
        assert_eq!(parse(text).unwrap().node, Node::Null, "{text:?}");
    }
}

#[test]
fn aliases_and_merge_keys_are_expanded() {
    let text = "base: &b { x: 1, y: 2 }\nmore: &m { y: 3, z: 4 }\n\
                use: { <<: [*b, *m], x: 9 }\ncopy: *b\n";
    let value = parse(text).unwrap();
    let text = |path| match &value.at(path).node {
        Node::Scalar(scalar) => scalar.text.clone(),
        node => panic!("{node:?}"),
    };
    assert_eq!(text("use.x"), "9");
    assert_eq!(text("use.y"), "2");
    assert_eq!(text("use.z"), "4");
    assert_eq!(value.at("copy"), value.at("base"));
}

#[test]
fn a_duplicate_key_shows_both_places() {
    let problems = parse("a: 1\nb: 2\na: 3\nb: 4\n").unwrap_err();
    let found: Vec<_> = problems
        .iter()
        .map(|p| (p.message.as_str(), p.place.line, p.related[0].0.line))
        .collect();
    let expected = [
        ("the key `a` is written twice", 3, 1),
        ("the key `b` is written twice", 4, 2),
    ];
    assert_eq!(found, expected);
}

#[test]
fn broken_texts_are_told_with_their_place() {
    for (text, expected) in [
        (
            "a:\n\tb: 1\n",
            "2:1 expected spaces, found a tab in the indentation",
        ),
        (
            "a:\n  b: 1\n\tc: 2\n",
            "3:1 expected spaces, found a tab in the indentation",
        ),
        (
            "- a\n\t- b: 2\n",
            "2:1 expected spaces, found a tab in the indentation",
        ),
        ("a: [1, 2\n", "1:4 `[` is never closed"),
        ("a: {b: 1]\n", "1:4 `{` is closed by `]`"),
        (
            "a: 'x\n",
            "1:6 a quote is open, and the next line is not indented",
        ),
        ("a: b: c\n", "1:5 a second key cannot begin here"),
        ("a: 1\n b: 2\n", "2:3 a second key cannot begin here"),
        ("a: *nope\n", "1:4 this alias refers to no anchor before it"),
        ("a: @x\n", "1:4 unexpected `@`"),
        ("a: !env X\n", "1:4 the tag `!env` is not possible here"),
        (
            "a: !!binary X\n",
            "1:4 the tag `!!binary` is not possible here",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "2:1 expected one document, found a second",
        ),
        (
            "a: &x [1, *x]\n",
            "1:11 `*x` stands inside of what it refers to",
        ),
        (
            "a: \0\n",
            "1:4 expected text, found the control character U+0000",
        ),
        ("? [a]\n: 1\n", "1:3 expected a key, found a list"),
        ("a: {{ x }}\n", "1:5 expected a key, found a map"),
        (": 1\n", "1:1 expected a key, found nothing"),
        (
            "a: \"\\q\"\n",
            "1:4 unknown escape in a double-quoted value",
        ),
        ("<<: 5\n", "1:1 expected a map, or a list of maps, to merge"),
        ("{ port: ${env:PORT} }\n", "1:10 expected `,` or `}`"),
    ] {
        assert_eq!(problems(text), [expected], "{text:?}");
    }
}

#[test]
fn an_open_bracket_is_shown_where_the_text_breaks() {
    let comma = |open| {
        format!("close the `{open}` that is not closed yet, or put a comma in front of this")
    };
    let (dollar, colon) = (
        "`${…}` inside of `{ }` or `[ ]` needs quotes",
        "put a comma in front of the next key, or quote a value that has `: ` in it",
    );
    for (text, told, open, help) in [
        (
            "a: [1, 2\nb: 3\n",
            "2:1 expected `,` or `]`",
            (1, 4),
            comma('['),
        ),
        (
            "a: { b: 1\nc: 3\n",
            "2:1 expected `,` or `}`",
            (1, 4),
            comma('{'),
        ),
        (
            "a: { b: { c: 1 }\n\n# }\nd: 3\n",
            "4:1 expected `,` or `}`",
            (1, 4),
            comma('{'),
        ),
        (
            "- { a: { b: [1], c: 2 }\n- { d: 1 }\n",
            "2:1 expected `,` or `}`",
            (1, 3),
            comma('{'),
        ),
        (
            "a:\n  - b: [{ c: 1 }\n    d: 1\n",
            "3:5 expected `,` or `]`",
            (2, 8),
            comma('['),
        ),
        (
            "- { a: \"}\", b: it's # }\n- c\n",
            "2:1 expected `,` or `}`",
            (1, 3),
            comma('{'),
        ),
        (
            "{\n  a: 1\n  b: 2\n}\n",
            "3:3 expected `,` or `}`",
            (1, 1),
            comma('{'),
        ),
        (
            "a: { b: ${env:X} }\n",
            "1:10 expected `,` or `}`",
            (1, 4),
            dollar.into(),
        ),
        (
            "a: [${env:X}]\n",
            "1:6 expected `,` or `]`",
            (1, 4),
            dollar.into(),
        ),
        (
            "a: { b: c: d }\n",
            "1:10 expected `,` or `}`",
            (1, 4),
            colon.into(),
        ),
        (
            "a: {\n  b: 1,\n  c: ${env:X}\n}\n",
            "3:7 expected `,` or `}`",
            (1, 4),
            dollar.into(),
        ),
        (
            "{\n  a: b: c\n}\n",
            "2:7 expected `,` or `}`",
            (1, 1),
            colon.into(),
        ),
        (
            "- { a: \"x\\\"}\"\n- c\n",
            "2:1 expected `,` or `}`",
            (1, 3),
            comma('{'),
        ),
    ] {
        let [problem] = &parse(text).unwrap_err()[..] else {
            panic!("one problem: {text}");
        };
        assert_eq!(problems(text), [told], "{text}");
        let [(place, why)] = &problem.related[..] else {
            panic!("one bracket: {text}: {problem:?}");
        };
        assert_eq!((place.line, place.column), open, "{text}");
        assert_eq!(why, "not closed yet");
        assert_eq!(problem.help, Some(help), "{text}");
    }
    // Nothing of that helps here.
    let [problem] = &parse("a: [\"b\" \"c\"]\n").unwrap_err()[..] else {
        panic!("one problem");
    };
    assert_eq!(problem.help, None);
}

#[test]
fn several_problems_of_one_text_come_together() {
    let found = problems("a: !x 1\na: 2\nb: { c: 1, c: 2 }\n");
    assert_eq!(
        found,
        [
            "1:4 the tag `!x` is not possible here",
            "3:12 the key `c` is written twice",
            "2:1 the key `a` is written twice",
        ]
    );
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let found = problems(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("expected at most 2,000,000 values in a file, found more"));
}

#[test]
fn long_texts_cannot_be_multiplied_either() {
    let aliases = vec!["*t"; 100_000].join(", ");
    let text = format!("t: &t {}\nuse: [{aliases}]\n", "x".repeat(1 << 20));
    let found = problems(&text);
    assert!(
        found[0].ends_with("expected at most 20 MiB of text in the values of a file, found more")
    );
}

#[test]
fn a_hundred_thousand_consumers_fit_into_a_file() {
    let mut text = String::from("consumers:\n");
    for number in 0..100_000 {
        text += &format!(
            "  c{number}: {{ plan: pro, credentials: {{ jwt: {{ issuer: \"https://id.example.com\", \
             subject: u{number} }} }} }}\n"
        );
    }
    assert!(parse(&text).is_ok());
}

#[test]
fn ten_megabytes_of_aliases_are_refused() {
    let mut text = String::from("a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\nuse:\n");
    while text.len() < MAX_BYTES - 8 {
        text.push_str("- *a\n");
    }
    let found = problems(&text);
    assert!(found[0].ends_with("expected at most 2,000,000 values in a file, found more"));
    text.push_str("- *a\n- *a\n- *a\n");
    assert!(problems(&text)[0].starts_with("1:1 expected at most 10 MiB"));
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "a: {".repeat(1000),
    ] {
        let found = problems(&text);
        assert!(
            found[0].ends_with("expected values at most 64 levels deep, found more"),
            "{found:?}"
        );
    }
    let mut text = String::from("a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n");
    for level in 1..10 {
        text += &format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1);
    }
    assert!(problems(&text)[0].contains("64 levels"));
}

#[test]
fn byte_order_marks_and_carriage_returns_shift_nothing() {
    let value = parse("\u{FEFF}a: 1\r\nb: [x,\r\n  'y']\r\n").unwrap();
    assert_eq!(at(value.at("a")), (1, 4, 1));
    assert_eq!(at(value.at("b[1]")), (3, 3, 3));
    assert_eq!(at(value.at("b")), (2, 4, 1));
}

const SAMPLE: &str = r#"# yaml-language-server: $schema=./schema.json
version: 1
defaults: &d { every: 5s, "quoted key": 'it''s' }
upstreams:
  app:
    endpoints: ["10.0.0.1:8080", { address: "10.0.0.2:8080", weight: 2 }]
    health: { <<: *d, http: /healthz }
routes:
  - name: orders
    when: |
      request.method == "GET"
    filters:
      - user
      - respond: >-
          hello ${client.address}
"#;

proptest! {
    #[test]
    fn never_panics_on_damaged_yaml(
        from in 0..SAMPLE.len(), length in 0..40_usize, to in 0..SAMPLE.len(),
        extra in "[\\[\\]{}:,&*!|>'\"%@`#\t\n -]{0,4}",
    ) {
        // The sample is ASCII, so any index is a boundary.
        let piece = &SAMPLE[from..(from + length).min(SAMPLE.len())];
        let moved = format!("{}{piece}{extra}{}", &SAMPLE[..to], &SAMPLE[to..]);
        let cut = format!("{}{extra}{}", &SAMPLE[..from], &SAMPLE[(from + length).min(SAMPLE.len())..]);
        for text in [moved, cut] {
            if let Err(problems) = parse(&text) {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    let lines = text.lines().count() + 1;
                    prop_assert!((1..=lines).contains(&(problem.place.line as usize)));
                }
            }
        }
    }

    #[test]
    fn never_panics_on_any_text(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn never_panics_on_yaml_like_text(
        text in "([a-c]|: |- |\n|  |\t|[\\[\\]{},]|&a|\\*a|<<|\\||>|'|\"|!!str|#|---|\\?|\\$\\{|é){0,60}"
    ) {
        if let Err(problems) = parse(&text) {
            for problem in problems {
                prop_assert!(problem.place.line >= 1 && problem.place.column >= 1);
                prop_assert!(problem.message != "this is no YAML", "{text:?}");
            }
        }
    }
}
