//! Lines of every format, with hostile values in every place.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use wiregate_sdk::Method;

use super::super::tests::entry;
use super::super::{Output, Redaction};
use super::*;

fn written(plan: &Plan, entry: &Entry) -> String {
    let mut bytes = Vec::new();
    line(plan, entry, &mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn of(format: Format) -> Plan {
    Plan {
        format,
        ..Plan::plain(Output::Stdout)
    }
}

fn own(name: &str, position: usize, mask: Option<Mask>) -> Column {
    Column {
        name: name.to_owned(),
        source: Source::Expression(position, mask),
    }
}

#[test]
fn fields_are_as_chosen_in_their_order() {
    let plan = Plan {
        columns: vec![
            Column::fact(Fact::Status),
            own("agent", 0, None),
            own("auth", 1, Some(Mask::Credentials)),
            own("none", 2, None),
            own("beyond", 3, None),
            Column::fact(Fact::Host),
        ],
        ..of(Format::Json)
    };
    let extra = ["curl", "Bearer abc", ""].map(Box::from).into();
    let entry = Entry {
        extra,
        ..entry("/")
    };
    assert_eq!(
        written(&plan, &entry),
        r#"{"status":200,"agent":"curl","auth":"Bearer ***"}"#
    );
    let text = Plan {
        format: Format::Text,
        ..plan
    };
    assert_eq!(
        written(&text, &entry),
        r#"status=200 agent=curl auth="Bearer ***""#
    );
}

#[test]
fn the_target_has_no_secret_in_any_format() {
    for format in [Format::Json, Format::Text, Format::Combined] {
        let line = written(&of(format), &entry("/a?access_token=SECRET&b=1"));
        assert!(!line.contains("SECRET"), "{line}");
        assert!(line.contains("access_token=***&b=1"), "{line}");
    }
    let shown = Plan {
        redaction: Redaction {
            shown_query: vec!["accesstoken".to_owned()],
            ..Redaction::default()
        },
        ..of(Format::Json)
    };
    assert!(written(&shown, &entry("/a?access_token=1")).contains("access_token=1"));
}

#[test]
fn text_is_made_of_names_and_values() {
    let entry = Entry {
        observed: vec![("ip".into(), "denied"), ("b".into(), "why")],
        upstream_time: Some(Duration::from_millis(2)),
        detail: Some("two words".into()),
        ..entry("/a?b=c")
    };
    assert_eq!(
        written(&of(Format::Text), &entry),
        "time=2023-11-14T22:13:20.042Z request_id=id-1 client=192.0.2.7 method=GET \
         target=\"/a?b=c\" protocol=HTTP/1.1 status=200 bytes_in=0 bytes_out=5 duration_ms=1.5 \
         upstream_ms=2.0 attempts=1 observed=ip:denied,b:why detail=\"two words\""
    );
}

#[test]
fn combined_is_that_of_apache_and_nginx() {
    let combined = Plan {
        columns: vec![
            own("referer", 0, Some(Mask::Url)),
            own("user-agent", 1, None),
        ],
        ..of(Format::Combined)
    };
    let known = Entry {
        identity: Some("kim doe".into()),
        extra: vec!["https://a/?token=1".into(), "a \"b\"\t\\".into()],
        ..entry("/a?b=c")
    };
    assert_eq!(
        written(&combined, &known),
        "192.0.2.7 - kim\\x20doe [14/Nov/2023:22:13:20 +0000] \"GET /a?b=c HTTP/1.1\" 200 5 \
         \"https://a/?token=***\" \"a \\x22b\\x22\\x09\\x5C\""
    );
    let unknown = Entry {
        status: None,
        ..entry("/")
    };
    assert_eq!(
        written(&combined, &unknown),
        "192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] \"GET / HTTP/1.1\" - 5 \"-\" \"-\""
    );
}

/// An entry with this text wherever a stranger's text can be.
fn hostile(text: &str) -> Entry {
    let boxed = || Some(Box::from(text));
    Entry {
        request_id: text.into(),
        target: Target::new(text),
        host: boxed(),
        route: Some(text.into()),
        upstream: Some(text.into()),
        endpoint: Some(text.into()),
        identity: Some(text.into()),
        consumer: Some(text.into()),
        refused_by: boxed(),
        observed: vec![(text.into(), "word"); 20],
        degraded: vec![(text.into(), "word"); 20],
        detail: boxed(),
        extra: vec![text.into(); 64],
        ..entry("/")
    }
}

fn with_own_fields(format: Format) -> Plan {
    let name = |n: usize| format!("{n:0>64}");
    let own_fields = (0..40).map(|n| own(&name(n), n, None));
    let mut plan = of(format);
    plan.columns.extend(own_fields);
    plan
}

#[test]
fn no_line_is_longer_than_it_may_be() {
    for text in ["a", "\"", "\u{1}", "é", "\u{10ffff}", "=", " ", "\u{202e}"] {
        let mut entry = hostile(&text.repeat(4096));
        entry.method = Method::from_bytes(&[b'M'; 4096]).unwrap();
        for format in [Format::Json, Format::Text, Format::Combined] {
            let line = written(&with_own_fields(format), &entry);
            assert!(line.len() <= LONGEST, "{text:?} {format:?}: {}", line.len());
            if format == Format::Json {
                serde_json::from_str::<Json>(&line).unwrap();
            }
        }
    }
}

/// Reads `name=value` as anybody would.
fn read_text(line: &str) -> Vec<(String, String)> {
    let (mut rest, mut pairs) = (line, Vec::new());
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').unwrap();
        let value = if value.starts_with('"') {
            let mut json = serde_json::Deserializer::from_str(value).into_iter::<String>();
            let text = json.next().unwrap().unwrap();
            rest = &value[json.byte_offset()..];
            text
        } else {
            let end = value.find(' ').unwrap_or(value.len());
            rest = &value[end..];
            value[..end].to_owned()
        };
        pairs.push((name.to_owned(), value));
        assert!(rest.is_empty() || rest.starts_with(' '), "{rest}");
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    pairs
}

proptest! {
    #[test]
    fn no_text_leaves_its_place(text in ".{0,60}|[\\x00-\\x9f\"\\\\ =,:{}\u{2028}]{0,60}") {
        let entry = hostile(&text);
        let json = written(&with_own_fields(Format::Json), &entry);
        let object: Json = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&object["host"], &json!(text));
        prop_assert_eq!(&object["identity"], &json!(text));
        prop_assert_eq!(&object["status"], &json!(200));

        let line = written(&with_own_fields(Format::Text), &entry);
        let pairs = read_text(&line);
        let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, v)| &**v);
        prop_assert_eq!(value("host"), Some(&*text));
        prop_assert_eq!(value("status"), Some("200"));
        prop_assert!(pairs.len() >= 20);

        let combined = Plan {
            columns: vec![own("referer", 0, None), own("user-agent", 1, None)],
            ..of(Format::Combined)
        };
        let combined = written(&combined, &entry);
        prop_assert_eq!(combined.matches('"').count(), 6, "{}", combined);
        for line in [&json, &line, &combined] {
            prop_assert!(!line.contains(char::is_control), "{:?}", line);
        }
    }
}
