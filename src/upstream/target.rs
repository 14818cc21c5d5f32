//! What a configuration calls an endpoint: an address, or a name that stands for addresses.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::Address;

/// The longest name that DNS has as text (RFC 1035, 2.3.4), without a dot at its end.
const LONGEST_NAME: usize = 253;
/// The longest part of a name.
const LONGEST_LABEL: usize = 63;

/// What a configuration calls an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Where it is.
    Address(Address),
    /// A name with A and AAAA records, and a port.
    Name(HostName, u16),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = match text.parse() {
            Ok(address) => return Ok(Self::Address(address)),
            Err(refused) => refused,
        };
        if text.starts_with("unix:") {
            return Err(refused);
        }
        if let Ok(name) = text.parse::<HostName>() {
            return Err(format!(
                "expected a port after the name, such as `{name}:8080`"
            ));
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            return Err(refused);
        };
        let Ok(name) = name.parse::<HostName>() else {
            return Err(refused);
        };
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self::Name(name, port)),
            _ => Err(format!("expected a port from 1 to 65535 in `{text}`")),
        }
    }
}

/// The name of a host, or of something else in DNS: in lower case, perhaps with a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name as it is asked for.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a certificate is for: without a service and protocol in front (`_http._tcp.`,
    /// RFC 6125, 6.4), and without a dot at its end.
    pub fn certified(&self) -> Result<ServerName, String> {
        let mut rest = self.0.trim_end_matches('.');
        while let Some((first, others)) = rest.split_once('.')
            && first.starts_with('_')
        {
            rest = others;
        }
        rest.parse()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            Err(format!(
                "expected a name such as `app.internal`, found `{text}`"
            ))
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            let bytes = label.as_bytes();
            (1..=LONGEST_LABEL).contains(&bytes.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && (bytes.iter()).all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // What ends in a number is an address that has gone wrong (RFC 1123, 2.1).
        let last = name.rsplit('.').next().unwrap_or(name);
        let numeric = last.bytes().all(|b| b.is_ascii_digit());
        if name.len() > LONGEST_NAME || numeric || !name.split('.').all(is_label) {
            return refused();
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

/// The name, or IP address, that a certificate must be for. Never empty: Pingora takes an empty
/// name for the wish that nothing be verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName(String);

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match pki_types::ServerName::try_from(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!(
                "expected the name that the certificate is for, such as `app.internal`, found `{text}`"
            )),
        }
    }
}

macro_rules! written_as_text {
    ($type:ident, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

written_as_text!(
    Target,
    "An address and port such as `10.0.0.1:8080` or `[::1]:8080`, a name and port such as `app.internal:8080`, or `unix:` and the path of a socket."
);
written_as_text!(HostName, "A name in DNS, such as `app.internal`.");
written_as_text!(
    ServerName,
    "The name or IP address that a certificate is for, such as `app.internal`."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_from_names() {
        let target = |text: &str| text.parse::<Target>();
        for text in ["10.0.0.1:8080", "[::1]:80", "unix:/run/app.sock"] {
            assert!(matches!(target(text), Ok(Target::Address(_))), "{text}");
        }
        for text in ["app:80", "a-1.app.internal:8080", "app.internal.:80"] {
            assert!(matches!(target(text), Ok(Target::Name(..))), "{text}");
            assert_eq!(target(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_neither_and_says_what_is_missing() {
        for (text, hint) in [
            ("app.internal", "a port after the name"),
            ("app:0", "a port from 1 to 65535"),
            ("app:http", "a port from 1 to 65535"),
            ("10.0.0.300:80", "expected an address such as"),
            ("http://app:80", "expected an address such as"),
            ("a..b:80", "expected an address such as"),
            ("-a:80", "expected an address such as"),
            ("::1:80", "expected an address such as"),
            ("unix:80", "expected an absolute path"),
            ("", "expected an address such as"),
        ] {
            let message = text.parse::<Target>().unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn a_service_is_certified_by_its_domain() {
        for (name, certified) in [
            ("_https._tcp.app.internal", "app.internal"),
            ("app.service.consul.", "app.service.consul"),
            ("App.Internal", "app.internal"),
        ] {
            let name: HostName = name.parse().unwrap();
            assert_eq!(name.certified().unwrap().as_str(), certified);
        }
        for text in ["", " ", "a b", "."] {
            assert!(text.parse::<ServerName>().is_err(), "`{text}`");
        }
    }
}
