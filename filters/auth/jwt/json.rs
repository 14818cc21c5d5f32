//! JSON in which no member is there twice: two readers of such a text could take it for two
//! different ones (RFC 7515, 4; RFC 8725, 2.4).

use std::fmt;

use serde_json::{Map, Number, Value};
use wiregate_sdk::serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};

/// Reads an object.
///
/// # Errors
/// What is wrong with it, without what is in it.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Unique.deserialize(&mut reader).map_err(|e| say(&e))?;
    reader.end().map_err(|e| say(&e))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err("no JSON object".into()),
    }
}

fn say(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => "a member that is there twice".into(),
        _ => format!("no JSON, at byte {}", error.column()),
    }
}

struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(Name(name)) = entries.next_key()? {
            let value = entries.next_value_seed(Self)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn no_member_is_there_twice() {
        for text in [
            r#"{"alg":"none","alg":"RS256"}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"\u0062":2}]}"#,
        ] {
            let why = object(text.as_bytes()).unwrap_err();
            assert_eq!(why, "a member that is there twice", "{text}");
        }
    }

    #[test]
    fn is_one_object_and_nothing_behind_it() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{}x",
            "{} {}",
            "\u{feff}{}",
            "{\"a\":\"\x01\"}",
        ] {
            assert!(object(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(object(deep.as_bytes()).is_err());
        assert!(object(b" {} ").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn reads_what_serde_reads(a in any::<i64>(), b in any::<f64>(), c in ".*", d in any::<bool>()) {
            let value = json!({ "a": a, "b": b, "c": { c.clone(): [c, d, null] }, "d": u64::MAX });
            let text = value.to_string();
            let whole: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), whole);
        }
    }
}
