//! Where a syslog receiver is.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// Where a syslog receiver is: `unix:/dev/log`, `udp://HOST:PORT` or `tcp://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A Unix socket for datagrams.
    Unix(PathBuf),
    /// A host and a port, for datagrams.
    Udp(String),
    /// A host and a port, for a connection.
    Tcp(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a receiver such as `unix:/dev/log`, `udp://10.0.0.1:514` or \
                 `tcp://10.0.0.1:601`, found `{text}`"
            )
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(expected()),
            };
        }
        let (scheme, place) = text.split_once("://").ok_or_else(expected)?;
        if !is_place(place) {
            return Err(expected());
        }
        match scheme {
            "udp" => Ok(Self::Udp(place.to_owned())),
            "tcp" => Ok(Self::Tcp(place.to_owned())),
            _ => Err(expected()),
        }
    }
}

/// Whether it is an address or a name, with a port.
fn is_place(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() != 0;
    }
    let Some((name, port)) = text.rsplit_once(':') else {
        return false;
    };
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // What has the form of an address would have been one.
    let named = !name.is_empty() && name.len() < 254 && name.bytes().all(part);
    let named = named && name.bytes().any(|byte| byte.is_ascii_alphabetic());
    named && port.parse::<u16>().is_ok_and(|port| port != 0)
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(place) => write!(f, "udp://{place}"),
            Self::Tcp(place) => write!(f, "tcp://{place}"),
        }
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "SyslogAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Where a syslog receiver is: `unix:` and an absolute path, or `udp://` or `tcp://` with a host and a port.",
            "pattern": "^(unix:/.*|(udp|tcp)://.+:[0-9]+)$",
            "examples": ["unix:/dev/log", "udp://10.0.0.1:514", "tcp://logs.internal:601"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_path_or_a_place() {
        for good in [
            "unix:/dev/log",
            "udp://10.0.0.1:514",
            "udp://[::1]:514",
            "tcp://logs.internal:601",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for wrong in [
            "",
            "/dev/log",
            "unix:dev/log",
            "10.0.0.1:514",
            "udp://10.0.0.1",
            "udp://10.0.0.1:0",
            "udp://10.0.0:514",
            "tls://10.0.0.1:6514",
            "tcp://a b:601",
            "tcp://:601",
            "tcp://a:65536",
        ] {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(error.ends_with(&format!("found `{wrong}`")), "{error}");
        }
    }
}
