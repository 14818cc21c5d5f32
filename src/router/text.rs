//! Values of a match that are written as one word.

use std::fmt;
use std::str::FromStr;

/// Implements reading by `FromStr`, and the JSON Schema.
macro_rules! from_text {
    ($type:ident, $schema:tt) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(super) use from_text;

/// What was found, fit to be shown: on one line, and not too long.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown = String::from("`");
    for (at, char) in text.chars().enumerate() {
        if at == SHOWN {
            shown.push('…');
            break;
        }
        if char.is_control() {
            shown.extend(char.escape_debug());
        } else {
            shown.push(char);
        }
    }
    shown + "`"
}

/// A method, as it is written in a request: upper case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MethodName(pub http::Method);

impl FromStr for MethodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        match http::Method::from_bytes(text.as_bytes()) {
            Ok(http::Method::CONNECT) => {
                Err("no request comes here with `CONNECT`: it is answered with 405".into())
            }
            Ok(method) if text == upper => Ok(Self(method)),
            Ok(_) => Err(format!(
                "expected a method in upper case, found {}; did you mean `{upper}`?",
                shown(text)
            )),
            Err(_) => Err(format!(
                "expected a method such as `GET`, found {}",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

from_text!(MethodName, {
    "type": "string",
    "description": "A request method, upper case.",
    "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]+$",
    "examples": ["GET", "POST"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_shown_on_one_short_line() {
        assert_eq!(shown("it's\n"), r"`it's\n`");
        assert_eq!(shown(&"é".repeat(100)), format!("`{}…`", "é".repeat(60)));
    }

    #[test]
    fn a_method_is_upper_case() {
        assert_eq!("GET".parse(), Ok(MethodName(http::Method::GET)));
        assert_eq!("PURGE".parse::<MethodName>().unwrap().to_string(), "PURGE");
        assert_eq!(
            "get".parse::<MethodName>().unwrap_err(),
            "expected a method in upper case, found `get`; did you mean `GET`?"
        );
        let refused = "CONNECT".parse::<MethodName>().unwrap_err();
        assert!(refused.starts_with("no request comes here"), "{refused}");
        assert_eq!(
            "GET POST".parse::<MethodName>().unwrap_err(),
            "expected a method such as `GET`, found `GET POST`"
        );
    }
}
