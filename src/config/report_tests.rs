use wiregate_sdk::value::{Value, decode, read};

use super::*;

fn sources(texts: &[(&str, &str)]) -> Sources {
    Sources {
        texts: texts
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).to_owned()))
            .collect(),
        ..Sources::default()
    }
}

fn place(file: &str, line: u32, column: u32, width: u32) -> Place {
    Place {
        file: file.into(),
        line,
        column,
        width,
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the problems are looked at")]
struct Filter {
    rate_limit: Limit,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the problems are looked at")]
struct Limit {
    limit: String,
    burst: Option<u16>,
}

fn problems(text: &str) -> Vec<Problem> {
    let value: Value = read(&"conf/a.yaml".into(), text).unwrap();
    decode::<Vec<Filter>>(&value).unwrap_err()
}

#[test]
fn shows_the_line_and_what_helps() {
    let source = "# limits\n\n\n\n\n\n\n\n\n- rate_limit: { limt: 100/min }\n\
                  - rate_limit: { limit: 5/s, burst: 70000 }\n";
    let shown = text(
        &problems(source),
        &sources(&[("conf/a.yaml", source)]),
        false,
    );
    let expected = "\
error: unknown key `limt`
  --> conf/a.yaml:10:17
   |
10 | - rate_limit: { limt: 100/min }
   |                 ^^^^
   = help: did you mean `limit`?

error: expected a whole number from 0 to 65535, found `70000`
  --> conf/a.yaml:11:34
   |
11 | - rate_limit: { limit: 5/s, burst: 70000 }
   |                                    ^^^^^

2 problems in 1 file
";
    // The columns in the arrows count from 1, those of the marks follow from them.
    assert_eq!(shown, expected.replace("11:34", "11:36"));
}

#[test]
fn shows_related_places_and_sorts_and_counts() {
    let sources = sources(&[("a.yaml", "x: 1\ny: 2\n"), ("b.yaml", "x: 3\n")]);
    let twice = Problem::new(place("b.yaml", 1, 1, 1), "`x` is defined twice")
        .related(place("a.yaml", 1, 1, 1), "first here");
    let first = Problem::new(place("a.yaml", 0, 0, 1), "the configuration is empty");
    let gone = Problem::new(place("c.yaml", 4, 2, 3), "its text is not at hand");
    let shown = text(&[gone, twice.clone(), first, twice], &sources, false);
    let expected = "\
error: the configuration is empty
 --> a.yaml

error: `x` is defined twice
 --> b.yaml:1:1
  |
1 | x: 3
  | ^
 ::: a.yaml:1:1
  |
1 | x: 1
  | - first here

error: its text is not at hand
 --> c.yaml:4:2

3 problems in 3 files
";
    assert_eq!(shown, expected);
}

#[test]
fn long_lines_are_cut_around_the_column() {
    let source = format!("{}here{}\n", "a".repeat(500), "b".repeat(500));
    let problem = Problem::new(place("a.yaml", 1, 501, 4), "no");
    let shown = text(&[problem], &sources(&[("a.yaml", &source)]), false);
    let lines: Vec<_> = shown.lines().collect();
    let line = lines[3].strip_prefix("1 | ").unwrap();
    let marks = lines[4].strip_prefix("  | ").unwrap();
    assert_eq!(line.chars().count(), SHOWN + 2);
    let at = line.chars().position(|c| c == 'h').unwrap();
    assert_eq!(marks, format!("{:at$}^^^^", ""));
    assert!(line.starts_with("…a") && line.ends_with("b…"));
}

#[test]
fn nothing_in_a_file_or_message_reaches_the_terminal_as_a_command() {
    let source = "a: \u{1b}[2J\u{202E}x\n\tb\n";
    let problem = Problem::new(place("a.yaml", 1, 4, 99), "found \u{1b}[2J").help("\u{7}");
    let tab = Problem::new(place("a.yaml", 2, 1, 1), "tab");
    let shown = text(&[problem, tab], &sources(&[("a.yaml", source)]), false);
    assert!(shown.chars().all(|c| c == '\n' || !hidden(c)), "{shown:?}");
    assert!(shown.contains("found \\u{1b}[2J"));
    assert!(shown.contains("2 | →b\n"));
}

#[test]
fn places_outside_of_the_text_do_no_harm() {
    let sources = sources(&[("a.yaml", "é\n")]);
    for (line, column, width) in [
        (1, 9, 9),
        (9, 1, 1),
        (1, 0, 0),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        let problem = Problem::new(place("a.yaml", line, column, width), "no");
        assert!(text(&[problem], &sources, false).contains("error: no"));
    }
}

#[test]
fn colours_only_wrap_the_text() {
    let source = "- rate_limit: { limt: 1 }\n";
    let sources = sources(&[("conf/a.yaml", source)]);
    let (plain, coloured) = (
        text(&problems(source), &sources, false),
        text(&problems(source), &sources, true),
    );
    assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'));
    let mut stripped = String::new();
    for (i, part) in coloured.split('\u{1b}').enumerate() {
        stripped += if i == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        };
    }
    assert_eq!(stripped, plain);
}

#[test]
fn programs_get_every_part() {
    let problem = Problem::new(place("b.yaml", 1, 2, 3), "no")
        .help("yes")
        .related(place("a.yaml", 4, 5, 6), "why");
    let shown = json(&[problem.clone(), problem]);
    let expected = object!([{
        "file": "b.yaml", "line": 1, "column": 2, "width": 3, "message": "no", "help": "yes",
        "related": [
            { "file": "a.yaml", "line": 4, "column": 5, "width": 6, "message": "why" },
        ],
    }]);
    assert_eq!(shown, expected);
}

#[test]
fn the_other_places_of_a_problem_are_shown_up_to_three_and_counted() {
    let source = "a: x\nb: x\nc: x\nd: x\ne: x\nf: x\n";
    let at = |line| place("a.yaml", line, 4, 1);
    let shown = |count: u32| {
        let mut problem = Problem::new(at(1), "`x` is not set").help("set it");
        (2..count + 2).for_each(|line| problem.repeat(at(line)));
        let sources = sources(&[("a.yaml", source)]);
        (text(&[problem.clone()], &sources, false), json(&[problem]))
    };
    let (all, data) = shown(3);
    assert!(!all.contains("more place"), "{all}");
    for line in 2..5 {
        assert!(all.contains(&format!(" ::: a.yaml:{line}:4\n")), "{all}");
    }
    assert_eq!(all.matches("- here as well").count(), 3);
    assert_eq!(data[0]["related"].as_array().unwrap().len(), 3);
    let end = |text: &str| text.split("4 | d: x\n").nth(1).unwrap().to_owned();
    let expected =
        "  |    - here as well\n  = and at 1 more place\n  = help: set it\n\n1 problem in 1 file\n";
    assert_eq!(end(&shown(4).0), expected);
    let (all, data) = shown(5);
    assert_eq!(end(&all), expected.replace("1 more place", "2 more places"));
    assert_eq!(data[0]["related"][4]["line"], 6);
    assert_eq!(data[0]["related"][4]["message"], "here as well");
}
