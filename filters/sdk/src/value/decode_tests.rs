use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use indexmap::IndexMap;
use proptest::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, Visitor};
use serde::{Deserialize, de};

use super::*;
use crate::value::{At, Key, ONE_OR_MANY, Raw, Scalar, ShortOrFull, TEMPLATE, read, somewhere};

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Cors {
    origins: Vec<String>,
    age: Option<u32>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Rate,
    #[serde(default)]
    by: By,
    burst: Option<NonZeroU32>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Address,
    Header(String),
    Hash {
        seed: u8,
    },
    Cors(Cors),
}

/// `100/min`, with an error in its own words.
#[derive(Debug, PartialEq)]
struct Rate(u32);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let error =
            || de::Error::custom(format!("expected a rate such as `5/min`, found `{text}`"));
        let count = text.strip_suffix("/min").ok_or_else(error)?;
        count.parse().map(Rate).map_err(|_| error())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listener {
    bind: SocketAddr,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    tls: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the listeners are looked at")]
struct Gateway {
    version: String,
    #[serde(default)]
    listeners: IndexMap<At<String>, Listener>,
    #[serde(default)]
    limits: Vec<At<Limit>>,
}

fn value(text: &str) -> Value {
    read(&"t.yaml".into(), text).unwrap()
}

fn ok<T: DeserializeOwned>(text: &str) -> T {
    decode(&value(text)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// `line:column message (help)` of each problem.
fn problems<T: DeserializeOwned>(text: &str) -> Vec<String> {
    told::<T>(&value(text))
}

fn told<T: DeserializeOwned>(value: &Value) -> Vec<String> {
    let Err(problems) = decode::<T>(value) else {
        panic!("it was decoded: {value:?}");
    };
    let show = |p: Problem| match p.help {
        Some(help) => format!("{}:{} {} ({help})", p.place.line, p.place.column, p.message),
        None => format!("{}:{} {}", p.place.line, p.place.column, p.message),
    };
    problems.into_iter().map(show).collect()
}

#[test]
fn texts_stay_as_they_were_written() {
    assert_eq!(ok::<String>("1.10"), "1.10");
    assert_eq!(ok::<String>("yes"), "yes");
    assert_eq!(
        ok::<Vec<String>>("[no, 0x1F, 'true']"),
        ["no", "0x1F", "true"]
    );
    assert_eq!(ok::<char>("x"), 'x');
}

#[test]
fn numbers_and_booleans_follow_the_target() {
    assert_eq!(
        ok::<(u8, i64, f64, bool)>("[5, -7, 1e3, true]"),
        (5, -7, 1000.0, true)
    );
    assert_eq!(ok::<f64>("5"), 5.0);
    assert_eq!(
        ok::<serde_json::Value>("[1, '1', yes, ~]").to_string(),
        r#"[1,"1","yes",null]"#
    );
    let long = u64::MAX.to_string();
    assert_eq!(ok::<u64>(&long), u64::MAX);
}

#[test]
fn nothing_is_none_and_an_empty_map_but_no_list() {
    assert_eq!(ok::<Option<u8>>("~"), None);
    assert_eq!(ok::<Cors>(""), Cors::default());
    assert_eq!(ok::<BTreeMap<String, u8>>(""), BTreeMap::new());
    assert_eq!(
        problems::<Cors>("origins:\n"),
        ["1:1 expected a list, found nothing"]
    );
}

/// A list whose items are comments now must not read as no list at all.
#[test]
fn a_key_with_nothing_behind_it_is_told() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding counts")]
    struct Options {
        count: Option<u8>,
        some: Option<Vec<u8>>,
        #[serde(default)]
        map: BTreeMap<String, u8>,
        #[serde(default)]
        cors: Cors,
        at: Option<At<String>>,
        one: Option<crate::types::OneOrMany<u8>>,
        short: Option<ShortOrFull<u8, Cors>>,
    }
    for key in ["count", "some", "map", "cors", "at", "one", "short"] {
        for nothing in ["", " ~", " null", "  # - 1"] {
            let said = problems::<Options>(&format!("{key}:{nothing}\n"));
            let start = format!("1:1 expected a value of `{key}`, found nothing (remove the key");
            assert!(said.len() == 1 && said[0].starts_with(&start), "{said:?}");
        }
    }
    ok::<Options>("{ map: {}, cors: {}, some: [] }");
    let nested = problems::<BTreeMap<String, Cors>>("a: { age: }");
    assert!(
        nested[0].starts_with("1:6 expected a value of `age`"),
        "{nested:?}"
    );
}

#[test]
fn every_problem_is_told_at_its_place() {
    let text = "\
version: 1
listeners:
  public: { bind: 0.0.0.0:8080, prot: 80 }
  second: { bind: nowhere, port: 70000, tls: yes }
  third: { port: '80' }
limits:
  - limt: 5/min
  - { limit: 5, burst: 0, by: adress }
  - { limit: 5/min, by: { hash: { seed: 300, speed: 1 } } }
  - [1]
  - limit: 7/min
upstream: x
";
    assert_eq!(
        problems::<Gateway>(text),
        [
            "3:33 unknown key `prot` (did you mean `port`?)",
            "4:19 expected an address and a port such as `10.0.0.1:8080`, found `nowhere`",
            "4:34 expected a whole number from 0 to 65535, found `70000`",
            "4:46 expected `true` or `false`, found `yes`",
            "5:18 expected a whole number from 0 to 65535, found the text `80` (remove the quotes)",
            "5:10 missing `bind`",
            "7:5 unknown key `limt` (did you mean `limit`?)",
            "8:14 expected a rate such as `5/min`, found `5`",
            "8:24 expected a whole number from 1 to 4294967295, found `0`",
            "8:31 unknown value `adress`, expected one of `address`, `header`, `hash`, `cors` \
             (did you mean `address`?)",
            "9:41 expected a whole number from 0 to 255, found `300`",
            "9:46 unknown key `speed` (did you mean `seed`?)",
            "10:5 expected a map, found a list",
            "12:1 unknown key `upstream` (the keys here are `version`, `listeners`, `limits`)",
        ]
    );
}

#[test]
fn everything_that_is_missing_is_told() {
    #[derive(Debug, Deserialize)]
    struct Three {
        #[expect(dead_code)]
        one: u16,
        #[expect(dead_code)]
        two: Vec<String>,
        #[expect(dead_code)]
        three: String,
    }
    let found = problems::<Vec<Three>>("- two: []\n- {}\n- one: x\n");
    assert_eq!(
        found,
        [
            "1:3 missing `one`",
            "1:3 missing `three`",
            "2:3 missing `one`",
            "2:3 missing `two`",
            "2:3 missing `three`",
            "3:8 expected a whole number from 0 to 65535, found `x`",
            "3:3 missing `two`",
            "3:3 missing `three`",
        ]
    );
}

#[test]
fn a_key_that_would_be_skipped_is_a_problem() {
    #[derive(Debug, Deserialize)]
    struct Lenient {
        #[serde(default)]
        #[expect(dead_code)]
        limit: u8,
    }
    let found = problems::<Lenient>("{ limt: 5, limit: 1, other: {} }");
    assert_eq!(
        found,
        [
            "1:3 unknown key `limt` (did you mean `limit`?)",
            "1:22 unknown key `other` (the keys here are `limit`)",
        ]
    );
}

#[test]
fn untagged_flattened_and_tagged_targets_work() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Endpoint {
        Address(String),
        Full { address: String, weight: u8 },
    }
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Tagged {
        A { n: u8 },
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    let full = Endpoint::Full {
        address: "b".into(),
        weight: 2,
    };
    let found: Vec<Endpoint> = ok("[a, { address: b, weight: 2 }]");
    assert_eq!(found, [Endpoint::Address("a".into()), full]);
    assert_eq!(ok::<Tagged>("{ kind: a, n: 5 }"), Tagged::A { n: 5 });
    assert_eq!(ok::<Flat>("{ a: 1, b: 2 }").rest["b"], 2);
    assert_eq!(
        problems::<Vec<Endpoint>>("[a, [b], { address: c }]"),
        [
            "1:5 expected one of the forms that are possible here, found a list",
            "1:10 expected one of the forms that are possible here, found a map",
        ]
    );
    assert_eq!(
        problems::<Tagged>("{ kind: a, n: 500 }"),
        ["1:1 expected a whole number from 0 to 255, found `500`"]
    );
}

#[test]
fn targets_may_ask_for_places_and_for_the_value_itself() {
    let found: At<Vec<At<u8>>> = ok("\n- 1\n- 2\n");
    assert_eq!(
        (found.place.line, found[1].place.line, *found[1]),
        (2, 3, 2)
    );
    let found: Option<Raw> = ok("{ a: [1] }");
    assert_eq!(found.unwrap().0.at("a[0]").place.column, 7);
    let gateway: Gateway = ok("version: 1\nlisteners:\n  public: { bind: 0.0.0.0:80 }\n");
    let (name, listener) = gateway.listeners.get_key_value("public").unwrap();
    assert_eq!((name.place.line, name.place.column), (3, 3));
    assert_eq!(
        (listener.bind.port(), listener.port, listener.tls),
        (80, 0, false)
    );
    assert_eq!(problems::<At<u8>>("x").len(), 1);
}

#[test]
fn short_and_full_forms_keep_their_places() {
    type Choice = ShortOrFull<Vec<Rate>, Limit>;
    assert_eq!(ok::<Choice>("[5/min]"), ShortOrFull::Short(vec![Rate(5)]));
    assert!(matches!(ok::<Choice>("limit: 5/min"), ShortOrFull::Full(_)));
    assert_eq!(
        problems::<Choice>("[5/min, 6]"),
        ["1:9 expected a rate such as `5/min`, found `6`"]
    );
    assert_eq!(
        problems::<Choice>("limit: 6"),
        ["1:8 expected a rate such as `5/min`, found `6`"]
    );
}

#[path = "decode_hook_tests.rs"]
mod hooks;

#[path = "decode_kind_tests.rs"]
mod kinds;
