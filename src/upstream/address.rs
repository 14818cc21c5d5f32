//! Where an endpoint is: an IP address and port, or the path of a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// The longest path that the system takes for a Unix socket (`sun_path`, with its final NUL).
const LONGEST_PATH: usize = 107;

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Inet(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => {
                Err(format!("expected a port from 1 to 65535 in `{text}`"))
            }
            Ok(address) => Ok(Self::Inet(address)),
            Err(_) => Err(format!(
                "expected an address such as `10.0.0.1:8080`, `[::1]:8080` or \
                 `unix:/run/app.sock`, or a name such as `app.internal:8080`, found `{text}`"
            )),
        }
    }
}

fn unix(path: &str) -> Result<Address, String> {
    if !path.starts_with('/') {
        return Err(format!("expected an absolute path in `unix:{path}`"));
    }
    if path.len() > LONGEST_PATH || path.contains('\0') {
        return Err(format!(
            "expected a socket path of at most {LONGEST_PATH} bytes in `unix:{path}`"
        ));
    }
    Ok(Address::Unix(Path::new(path).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_addresses() {
        for text in ["10.0.0.1:8080", "[::1]:80", "unix:/run/app.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in ["", "10.0.0.1", "10.0.0.1:0", "unix:app.sock", "unix:"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(107));
        assert!(long.parse::<Address>().is_err());
    }
}
