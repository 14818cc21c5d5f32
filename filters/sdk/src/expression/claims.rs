//! Claims of a token, which are JSON, as texts and as values of CEL.

use std::borrow::Cow;
use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;

use super::values::flag;

/// A claim as text: the elements of a list are joined by commas, a map is written as JSON.
pub(super) fn text(claim: &Value) -> Cow<'_, str> {
    match claim {
        Value::Null => "".into(),
        Value::Bool(truth) => flag(*truth).into(),
        Value::Number(number) => number.to_string().into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => {
            let texts: Vec<_> = list.iter().map(text).collect();
            texts.join(",").into()
        }
        Value::Object(_) => claim.to_string().into(),
    }
}

/// A claim as a value of CEL. Its texts are not copied.
pub(super) fn value(claim: &Value) -> Box<dyn Val + '_> {
    match claim {
        Value::Null => Box::new(CelNull),
        Value::Bool(truth) => Box::new(CelBool::from(*truth)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(list) => Box::new(CelList::from(list.iter().map(value).collect::<Vec<_>>())),
        Value::Object(map) => {
            let entries = map.iter();
            let entries =
                entries.map(|(name, inner)| (CelMapKey::from(name.as_str()), value(inner)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::testing::{Given, full};
    use super::super::{Condition, Expression};
    use crate::Consumer;

    fn given() -> Given {
        let mut given = full();
        let identity = given.exchange.identity.as_mut().unwrap();
        let identity = Arc::get_mut(identity).unwrap();
        let claims = json!({
            "sub": "u-1", "level": 3, "rate": 1.5, "big": u64::MAX, "admin": true, "off": null,
            "roles": ["a", "b"], "https://x.example/tenant": "acme",
            "realm_access": { "roles": ["x"], "deep": { "er": "yes" } },
        });
        identity.claims = Some(Arc::new(claims.as_object().unwrap().clone()));
        identity.scopes = Arc::from(["orders:read".into(), "mail".into()]);
        identity.consumer = Some(Arc::new(Consumer {
            name: "acme".into(),
            plan: Some("gold".into()),
            ..Consumer::default()
        }));
        given
    }

    #[test]
    fn are_texts_in_templates() {
        let given = given();
        for (source, expected) in [
            ("identity.claims.sub", "u-1"),
            ("identity.claims['sub']", "u-1"),
            ("identity.claims[\"https://x.example/tenant\"]", "acme"),
            ("identity.claims.level", "3"),
            ("identity.claims.rate", "1.5"),
            ("identity.claims.big", "18446744073709551615"),
            ("identity.claims.admin", "true"),
            ("identity.claims.off", ""),
            ("identity.claims.roles", "a,b"),
            ("identity.claims.realm_access.deep.er", "yes"),
            ("identity.claims.none", ""),
            ("identity.claims.sub.none", ""),
            ("identity.scopes", "orders:read,mail"),
            ("identity.plan", "gold"),
            ("consumer", "acme"),
            ("identity.name", "alice"),
        ] {
            let read = |source: &str| {
                let expression = Expression::parse(source).unwrap();
                expression.text(&given.facts()).unwrap().into_owned()
            };
            assert_eq!(read(source), expected, "{source}");
            assert_eq!(
                read(&format!("[{source}]")),
                expected,
                "by way of CEL: {source}"
            );
        }
        let map = Expression::parse("identity.claims.realm_access.deep").unwrap();
        assert_eq!(map.text(&given.facts()).unwrap(), r#"{"er":"yes"}"#);
    }

    #[test]
    fn keep_their_types_in_conditions() {
        let given = given();
        for source in [
            "identity.claims.admin",
            "identity.claims.admin == true",
            "identity.claims.level >= 2 && identity.claims.level < 4",
            "identity.claims.rate > 1.0",
            "identity.claims.big > 9223372036854775807u",
            "identity.claims.off == null",
            "'a' in identity.claims.roles",
            "'x' in identity.claims.realm_access.roles",
            "identity.claims.roles[1] == 'b'",
            "identity.claims.roles.exists(role, role == 'b')",
            "'roles' in identity.claims",
            "!('none' in identity.claims)",
            "has(identity.claims.realm_access.deep)",
            "!has(identity.claims.realm_access.none)",
            "has(identity.claims.off)",
            "'mail' in identity.scopes",
            "has(identity.plan) && has(identity.scopes)",
            "size(identity.claims.realm_access) == 2",
            "identity.claims.none == ''",
        ] {
            let condition = Condition::parse(source).unwrap_or_else(|e| panic!("{source}: {e}"));
            assert_eq!(condition.test(&given.facts()), Ok(true), "{source}");
        }
        for source in ["identity.claims.sub", "identity.claims.none"] {
            let condition = Condition::parse(source).unwrap();
            assert!(condition.test(&given.facts()).is_err(), "{source}");
        }
    }

    #[test]
    fn are_nothing_without_an_identity() {
        let given = Given::default();
        for source in [
            "!has(identity.claims.sub)",
            "!has(identity.plan)",
            "!has(identity.scopes)",
            "identity.claims.sub == ''",
            "identity.plan == '' && consumer == ''",
            "size(identity.scopes) == 0",
        ] {
            let condition = Condition::parse(source).unwrap();
            assert_eq!(condition.test(&given.facts()), Ok(true), "{source}");
        }
        let error = Expression::parse("identity.claims").unwrap_err();
        assert!(
            error.contains("expected a name in `identity.claims`"),
            "{error}"
        );
    }
}
