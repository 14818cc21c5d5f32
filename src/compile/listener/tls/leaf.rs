//! What a listener's certificate says of itself.

use std::time::{Duration, SystemTime};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::listen::tls::covers;

/// A certificate that expires within this time is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a certificate says of itself.
pub(super) struct Leaf {
    /// Its DNS names, in lower case.
    pub(super) names: Vec<String>,
    /// When it begins to be good, in seconds since 1970.
    begins: i64,
    /// When it expires, in seconds since 1970.
    pub(super) expires: i64,
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let extension = certificate
            .subject_alternative_name()
            .map_err(|error| error.to_string())?;
        let all = extension.map_or(&[][..], |extension| &extension.value.general_names);
        let names = all.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Ok(Self {
            names: names.collect(),
            begins: certificate.validity().not_before.timestamp(),
            expires: certificate.validity().not_after.timestamp(),
        })
    }

    /// What is wrong with a name that the certificate is to be for.
    pub(super) fn lacks(&self, name: &str) -> Option<String> {
        if self.names.iter().any(|own| covers(own, name)) {
            return None;
        }
        Some(if self.names.is_empty() {
            format!("the certificate is not for `{name}`: it has no DNS name")
        } else {
            let names = self.names.join("`, `");
            format!("the certificate is not for `{name}`, only for `{names}`")
        })
    }

    /// Warns of a certificate that clients do not accept, or soon will not. It is no error: a
    /// gateway that restarts must come up, and one with other names must take its reloads.
    pub(super) fn warn(&self, listener: &str, path: &str, now: SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = since.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
        let days = (self.expires - now) / (24 * 3600);
        if self.expires <= now {
            tracing::warn!(listener, certificate = path, "the certificate has expired");
        } else if self.begins > now {
            tracing::warn!(
                listener,
                certificate = path,
                "the certificate is not good yet"
            );
        } else if self.expires - now < i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX) {
            tracing::warn!(
                listener,
                certificate = path,
                days,
                "the certificate expires soon"
            );
        }
    }
}
