//! What targets may ask for, what references do to values, and any tree at all.

use super::*;

/// Takes the hooks that templates and lists of one take.
struct Hook(&'static str);

impl<'de> DeserializeSeed<'de> for Hook {
    type Value = Vec<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_newtype_struct(self.0, self)
    }
}

impl<'de> Visitor<'de> for Hook {
    type Value = Vec<String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hook")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

#[derive(Debug)]
struct Template(String);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Hook(TEMPLATE).deserialize(deserializer)?;
        match text.remove(0) {
            text if text.contains("oops") => Err(de::Error::custom(format!("bad: {text}"))),
            text => Ok(Self(text)),
        }
    }
}

#[derive(Debug)]
struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Hook(ONE_OR_MANY).deserialize(deserializer).map(Self)
    }
}

#[test]
fn one_value_may_stand_for_a_list() {
    assert_eq!(ok::<OneOrMany>("a").0, ["a"]);
    assert_eq!(ok::<OneOrMany>("[a, b]").0, ["a", "b"]);
    assert_eq!(problems::<OneOrMany>("").len(), 1);
    assert_eq!(
        problems::<OneOrMany>("[a, [b]]"),
        ["1:5 expected text, found a list"]
    );
}

fn secret(written: &str, resolved: &str) -> Value {
    Value {
        place: somewhere(),
        node: Node::Scalar(Scalar {
            text: written.replace("${env:S}", resolved),
            written: Some(written.into()),
            resolved: vec![resolved.into()],
            quoted: true,
        }),
    }
}

#[test]
fn references_take_the_type_of_their_value() {
    assert_eq!(decode::<u16>(&secret("${env:S}", "8080")).unwrap(), 8080);
    assert_eq!(
        decode::<String>(&secret("${env:S}", "8080")).unwrap(),
        "8080"
    );
    assert_eq!(
        decode::<String>(&secret("a ${env:S} $${b}", "${c}")).unwrap(),
        "a ${c} ${b}"
    );
    assert_eq!(
        decode::<Template>(&secret("${x} ${env:S}", "${c}$"))
            .unwrap()
            .0,
        "${x} $${c}$$"
    );
}

#[test]
fn expressions_are_only_possible_in_templates() {
    let expected = "1:1 `${client.address}` is only possible in templates \
                    (`$${` stands for a literal `${`)";
    assert_eq!(problems::<String>("${client.address}"), [expected]);
    assert_eq!(
        problems::<serde_json::Value>("${client.address}"),
        [expected]
    );
    assert_eq!(problems::<By>("${client.address}"), [expected]);
    assert_eq!(ok::<Template>("${client.address}").0, "${client.address}");
    assert_eq!(
        ok::<String>("$${client.address} costs $5"),
        "${client.address} costs $5"
    );
    assert_eq!(
        told::<String>(&value("${env:X}"))[0]
            .split(" (")
            .next()
            .unwrap(),
        "1:1 the reference `${env:X}` is not resolved"
    );
}

#[test]
fn what_a_reference_resolved_to_is_never_told() {
    let resolved = "tops3cret oops";
    for found in [
        told::<u16>(&secret("${env:S}", resolved)),
        told::<bool>(&secret("${env:S}", resolved)),
        told::<Rate>(&secret("${env:S}", resolved)),
        told::<Rate>(&secret("x${env:S}", resolved)),
        told::<Vec<u8>>(&secret("${env:S}", resolved)),
        told::<By>(&secret("${env:S}", resolved)),
        told::<IpAddr>(&secret("${env:S}", resolved)),
        told::<Template>(&secret("${env:S}", resolved)),
        told::<serde_json::Value>(&secret("${env:S}", "tops3cret ${x}")),
    ] {
        assert_eq!(found.len(), 1);
        assert!(!found[0].contains("tops3cret"), "{found:?}");
        assert!(found[0].contains("${env:S}"), "{found:?}");
    }
}

#[test]
fn places_survive_type_erasure() {
    let value = value("bind: 0.0.0.0:80\nport: 70000\ntls: maybe\n");
    let decoded: Result<Erased, _> = decode(&value);
    let found: Vec<_> = decoded
        .unwrap_err()
        .into_iter()
        .map(|p| (p.place.line, p.message))
        .collect();
    assert_eq!(
        found,
        [
            (
                2,
                "expected a whole number from 0 to 65535, found `70000`".to_owned()
            ),
            (3, "expected `true` or `false`, found `maybe`".to_owned()),
        ]
    );
}

#[derive(Debug)]
struct Erased;

impl<'de> Deserialize<'de> for Erased {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        match erased_serde::deserialize::<Listener>(&mut erased) {
            Ok(_) => Ok(Self),
            Err(error) => Err(de::Error::custom(error)),
        }
    }
}

#[test]
fn the_number_of_problems_is_bounded() {
    let items = vec!["x"; 1000].join(", ");
    assert_eq!(
        problems::<Vec<u8>>(&format!("[{items}]")).len(),
        MAX_PROBLEMS
    );
}

/// Any tree of values, also such as no file can hold.
fn any_value() -> impl Strategy<Value = Value> {
    let place = somewhere();
    let names = "(version|listeners|limits|limit|by|burst|hash|seed|bind|port|tls|x)";
    let texts = "(address|header|cors|5|70000|-1|1.5|true|~|5/min|\\$\\{x\\}|\\$\\$\\{|0.0.0.0:80|\\PC{0,4})";
    let to_value = {
        let place = place.clone();
        move |node| Value {
            place: place.clone(),
            node,
        }
    };
    let wrap = to_value.clone();
    let leaf = prop_oneof![
        Just(Node::Null),
        (texts, any::<bool>(), proptest::option::of("\\PC{0,8}")).prop_map(
            |(text, quoted, resolved)| Node::Scalar(Scalar {
                written: resolved.as_ref().map(|_| format!("{text}${{env:S}}")),
                text,
                resolved: resolved.into_iter().collect(),
                quoted,
            })
        ),
    ];
    leaf.prop_map(to_value)
        .prop_recursive(5, 60, 6, move |inner| {
            let (place, wrap) = (place.clone(), wrap.clone());
            let key = move |name| Key {
                place: place.clone(),
                name,
            };
            let entry = (names.prop_map(key), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Node::List),
                proptest::collection::vec(entry, 0..6).prop_map(Node::Map),
            ]
            .prop_map(wrap)
        })
}

proptest! {
    #[test]
    fn never_panics_and_always_says_why(value in any_value()) {
        fn check<T: DeserializeOwned>(value: &Value) {
            if let Err(problems) = decode::<T>(value) {
                assert!(!problems.is_empty());
                for problem in problems {
                    for word in ["struct", "enum", "newtype", "u16", "invalid type", "field"] {
                        assert!(!problem.message.contains(word), "{}", problem.message);
                    }
                }
            }
        }
        check::<Gateway>(&value);
        check::<Vec<Limit>>(&value);
        check::<By>(&value);
        check::<IndexMap<At<String>, Option<By>>>(&value);
        check::<ShortOrFull<Template, Gateway>>(&value);
        check::<serde_json::Value>(&value);
        check::<(Raw, OneOrMany)>(&value);
    }
}
