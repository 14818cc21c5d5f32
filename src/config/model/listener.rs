//! What a configuration says about listeners.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use wiregate_sdk::types::{Cidr, OneOrMany, Period};
use wiregate_sdk::value::{At, ShortOrFull};

/// The longest path that a Unix socket may have, in bytes (`sun_path` without its final zero).
const LONGEST_PATH: usize = 107;

/// An address that accepts connections.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// An address and port, such as `0.0.0.0:8080` or `[::]:8080`, or a Unix socket, such as
    /// `unix:/run/wiregate/http.sock`, for its owner and group. `[::]` is IPv6 alone. With port
    /// 0 the system chooses one.
    pub bind: At<Bind>,
    /// Proxies in front of this listener who say where a request comes from, in `trusted_fields`. The
    /// client is the last address there that is not in here. Where a word up to there is no address
    /// (`unknown`, a name, or nothing at all), and where it came through more than 32 proxies, the
    /// request is refused with a 400, reason `forwarded_for_invalid`. A client on a Unix socket counts
    /// as `127.0.0.1`.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
    /// The fields that these proxies set, whatever the client sends. All others of their kind are
    /// dropped, since they may be the client's own; `x_forwarded` when absent.
    #[serde(default)]
    pub trusted_fields: Option<At<TrustedFields>>,
    /// The load balancer in front sends a PROXY protocol header, of version 1 or 2, on each
    /// connection.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many connections may be open at once, over all workers; more are closed at once.
    #[serde(default = "fifty_thousand")]
    pub max_connections: NonZeroU32,
    /// How many of them may come from one client address; no bound when absent, since many clients
    /// may share one. IPv6 addresses that share their first 64 bits are one client. Those of
    /// `trusted_proxies` are not counted.
    #[serde(default)]
    pub max_connections_per_client: Option<At<NonZeroU32>>,
    /// Speaks TLS only. Without it, HTTP without TLS.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// The fields in which proxies in front say where a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustedFields {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and all others of the name `X-Forwarded-…`, and
    /// `X-Real-IP`.
    #[default]
    XForwarded,
    /// `X-Forwarded-For` alone: the scheme is that of the connection.
    XForwardedFor,
    /// `Forwarded` (RFC 7239) alone.
    Rfc7239,
}

fn fifty_thousand() -> NonZeroU32 {
    NonZeroU32::new(50_000).expect("not zero")
}

/// Where a listener accepts connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Bind {
    /// An address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Bind {
    /// Whether the system is to choose the port.
    pub fn any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl TryFrom<String> for Bind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!(
                    "expected an absolute path after `unix:`, found `{path}`"
                ));
            }
            if path.len() > LONGEST_PATH {
                return Err(format!(
                    "expected a path of at most {LONGEST_PATH} bytes after `unix:`, found {}",
                    path.len()
                ));
            }
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "expected an address and a port such as `10.0.0.1:8080`, or `unix:/path`, found `{text}`"
            )
        })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl JsonSchema for Bind {
    fn schema_name() -> Cow<'static, str> {
        "Bind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["0.0.0.0:8080", "unix:/run/wiregate/http.sock"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The PROXY protocol, by which a load balancer tells who the client is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// The load balancers' networks. A connection from elsewhere is closed, and so is one from
    /// there that does not begin with a header.
    pub from: OneOrMany<Cidr>,
    /// How long the header may take to come.
    #[serde(default = "five_seconds")]
    pub timeout: Period,
}

fn five_seconds() -> Period {
    Period::seconds(5)
}

/// TLS of a listener.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificates, each for the names that clients ask for (SNI, RFC 6066, 3). The first one
    /// is also for clients that ask for no name, or for a name that is in none of them.
    pub certificates: OneOrMany<At<Certificate>>,
    /// What is asked of clients, unless the certificate says otherwise.
    #[serde(default)]
    pub client_certificates: Option<ClientCertificates>,
    /// The versions of TLS that are spoken: `1.2` and `1.3` when absent.
    #[serde(default = "both_versions")]
    pub versions: OneOrMany<TlsVersion>,
    /// The protocols that are offered (ALPN, RFC 7301), the preferred one first: `h2` and
    /// `http/1.1` when absent. A client that offers none gets HTTP/1.1.
    #[serde(default = "both_protocols")]
    pub alpn: OneOrMany<Alpn>,
    /// How long the handshake may take.
    #[serde(default = "ten_seconds")]
    pub handshake_timeout: Period,
}

fn both_versions() -> OneOrMany<TlsVersion> {
    serde_json::from_str(r#"["1.2", "1.3"]"#).expect("both exist")
}

fn both_protocols() -> OneOrMany<Alpn> {
    serde_json::from_str(r#"["h2", "http/1.1"]"#).expect("both exist")
}

fn ten_seconds() -> Period {
    Period::seconds(10)
}

/// A certificate with its key. Both files are watched: new ones are taken live by themselves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A PEM file with the certificate, and those that lead from it to a root; relative to the
    /// configuration file.
    pub certificate: At<String>,
    /// A PEM file with its private key, relative to the configuration file.
    pub key: At<String>,
    /// The names that it is for, such as `example.com` or `*.example.com`, which stands for one
    /// label; the DNS names that are in the certificate when absent.
    #[serde(default)]
    pub names: Option<OneOrMany<At<String>>>,
    /// What is asked of clients that come for these names, in place of what the listener asks; or
    /// `off` for nothing.
    #[serde(default)]
    pub client_certificates: Option<ShortOrFull<Off, ClientCertificates>>,
}

/// Nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// Nothing.
    Off,
}

/// Certificates of clients (mutual TLS).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificates {
    /// A PEM file with the authorities whose certificates are accepted, relative to the
    /// configuration file; watched as well.
    pub ca: At<String>,
    /// Whether a client without a certificate is turned away. With `false` it comes in without,
    /// and one with a certificate that is not good is turned away nevertheless.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

impl JsonSchema for TlsVersion {
    fn schema_name() -> Cow<'static, str> {
        "TlsVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Without quotes, editors take them for numbers.
        json_schema!({ "enum": ["1.2", "1.3", 1.2, 1.3] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A protocol over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Alpn {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_an_address_with_a_port_or_the_path_of_a_socket() {
        let read = |text: &str| Bind::try_from(text.to_owned());
        for good in ["0.0.0.0:80", "[::1]:0", "unix:/run/http.sock"] {
            assert_eq!(read(good).unwrap().to_string(), good);
        }
        for wrong in [
            "",
            "80",
            ":80",
            "localhost:80",
            "0.0.0.0",
            "[::1]",
            "unix:x",
        ] {
            assert!(read(wrong).unwrap_err().starts_with("expected "), "{wrong}");
        }
        assert!(read(&format!("unix:/{}", "x".repeat(106))).is_ok());
        assert!(read(&format!("unix:/{}", "x".repeat(107))).is_err());
        assert!(read("[::1]:0").unwrap().any_port());
        assert!(!read("unix:/a").unwrap().any_port());
    }
}
