//! What a client's certificate says, once it is known to be good.

use std::fmt::Write as _;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use wiregate_sdk::Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the certificate with this encoding says.
pub(super) fn certificate(der: &[u8]) -> Certificate {
    let mut sha256 = String::with_capacity(64);
    for byte in digest(&SHA256, der).as_ref() {
        let _ = write!(sha256, "{byte:02x}"); // a text takes whatever is written
    }
    let (subject, names) = match X509Certificate::from_der(der) {
        Ok((_, parsed)) => (parsed.subject().to_string(), names(&parsed)),
        Err(_) => Default::default(),
    };
    Certificate {
        subject,
        names,
        sha256,
    }
}

/// The alternative names of the subject (RFC 5280, 4.2.1.6): DNS names, mail addresses, URIs and
/// IP addresses.
fn names(certificate: &X509Certificate<'_>) -> Box<[Box<str>]> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Box::default();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
                Some((*text).into())
            }
            GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string().into()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_the_client_is() {
        let names = ["a.example", "192.0.2.1", "::1"].map(str::to_owned);
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "alice");
        let uri = "spiffe://a.example/alice".try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let read = certificate(made.der());
        assert_eq!(read.subject, "CN=alice");
        let expected = ["a.example", "192.0.2.1", "::1", "spiffe://a.example/alice"];
        assert_eq!(*read.names, expected.map(Box::from));
        assert_eq!(read.sha256.len(), 64);
    }

    #[test]
    fn what_cannot_be_read_has_no_names() {
        let read = certificate(b"nothing");
        assert!(read.subject.is_empty() && read.names.is_empty());
    }
}
