//! TLS towards endpoints: whom to trust, what to show, and the name that a certificate must be for.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use pingora_core::upstreams::peer::PeerOptions;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{HostName, ServerName};
use crate::config::model::upstream::Verify;

/// How connections to an upstream's endpoints are secured.
#[derive(Default)]
pub struct Tls {
    /// The name in the certificates, where it is not that of the endpoint.
    pub server_name: Option<ServerName>,
    /// Whether the endpoints' certificates are verified.
    pub verify: Verify,
    /// The authorities to trust; those of the system when absent.
    pub authorities: Option<Authorities>,
    /// What to show to endpoints that ask who is there.
    pub identity: Option<Identity>,
}

/// Authorities to trust, and no others.
#[derive(Clone)]
pub struct Authorities(Arc<[WrappedX509]>);

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Identity(Arc<CertKey>);

impl Authorities {
    /// These, as they were read.
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Self {
        Self(certificates.into_iter().map(wrapped).collect())
    }

    /// The certificates of authorities in a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            let added = store.add(certificate.clone());
            added.map_err(|error| format!("certificate {number} cannot be trusted: {error}"))?;
        }
        Ok(certificates)
    }
}

impl Identity {
    /// Out of two files in PEM: the certificate with its chain, and its private key.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "expected a private key in PEM in the file of `key`".to_owned())?;
        let bytes = key.secret_der().to_vec();
        // Pingora guesses from these bytes which kind of key it is.
        let key = PrivateKeyDer::try_from(bytes.clone())
            .map_err(|error| format!("the private key is of no use: {error}"))?;
        CertifiedKey::from_der(chain.clone(), key, &aws_lc_rs::default_provider()).map_err(
            |error| format!("the certificate and the key do not work together: {error}"),
        )?;
        let chain = chain.iter().map(|one| one.to_vec()).collect();
        Ok(Self(Arc::new(CertKey::new(chain, bytes))))
    }

    /// The certificates and the key, as Pingora takes them.
    pub fn cert_key(&self) -> &Arc<CertKey> {
        &self.0
    }
}

impl Tls {
    /// The name that the certificate of an endpoint must be for; nothing only where nothing is
    /// verified.
    ///
    /// # Errors
    /// Where there is no name that it could be for.
    pub fn name_for(&self, name: Option<&HostName>) -> Result<Option<String>, String> {
        if let Some(name) = &self.server_name {
            return Ok(Some(name.as_str().to_owned()));
        }
        match (name.map(HostName::certified), self.verify) {
            (Some(Ok(name)), _) => Ok(Some(name.as_str().to_owned())),
            (_, Verify::DangerouslyOff) => Ok(None),
            (Some(Err(message)), Verify::Full) => Err(message),
            (None, Verify::Full) => {
                Err("there is no name that its certificate could be for; write \
                     `tls: { server_name: … }`"
                    .into())
            }
        }
    }

    /// Sets what does not depend on the endpoint.
    pub fn apply(&self, options: &mut PeerOptions) {
        options.ca = self.authorities.as_ref().map(|all| all.0.clone());
        options.verify_cert = self.verify == Verify::Full;
        options.verify_hostname = self.verify == Verify::Full;
    }
}

/// All that makes one connection different from another, but for the name.
impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.verify.hash(state);
        match &self.authorities {
            Some(Authorities(all)) => all.iter().for_each(|one| one.borrow_raw_cert().hash(state)),
            None => "system".hash(state),
        }
        if let Some(Identity(identity)) = &self.identity {
            identity.leaf().borrow_raw_cert().hash(state);
            for one in identity.intermediates() {
                one.borrow_raw_cert().hash(state);
            }
            identity.key().hash(state);
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("expected certificates in PEM: {error}"))?;
    if all.is_empty() {
        return Err("expected a certificate in PEM, found none".into());
    }
    for (number, one) in (1..).zip(&all) {
        if X509Certificate::from_der(one).is_err() {
            return Err(format!("certificate {number} is not one of X.509"));
        }
    }
    Ok(all)
}

fn wrapped(certificate: CertificateDer<'_>) -> WrappedX509 {
    WrappedX509::new(certificate.to_vec(), parse_x509)
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    fn generated() -> (String, String) {
        let Generated { cert, signing_key } =
            generate_simple_self_signed(vec!["app.internal".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn hash(tls: &Tls) -> u64 {
        let mut hasher = DefaultHasher::new();
        tls.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn says_what_is_wrong_with_files() {
        let ((certificate, key), (_, other)) = (generated(), generated());
        let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
        assert!(Identity::read(certificate, key).is_ok());
        for (certificate, key, hint) in [
            (certificate, other.as_bytes(), "do not work together"),
            (certificate, &b"nothing"[..], "expected a private key"),
            (key, key, "expected a certificate in PEM, found none"),
        ] {
            let message = Identity::read(certificate, key).err().unwrap();
            assert!(message.contains(hint), "{message}");
        }
        assert!(Authorities::read(b"").is_err());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Authorities::read(broken.as_bytes()).is_err());
    }

    #[test]
    fn is_told_apart_by_all_that_matters() {
        let ((one, one_key), (other, other_key)) = (generated(), generated());
        let trusting =
            |pem: &str| Some(Authorities::of(Authorities::read(pem.as_bytes()).unwrap()));
        let being =
            |pem: &str, key: &str| Some(Identity::read(pem.as_bytes(), key.as_bytes()).unwrap());
        let all = [
            Tls::default(),
            Tls {
                verify: Verify::DangerouslyOff,
                ..Tls::default()
            },
            Tls {
                authorities: trusting(&one),
                ..Tls::default()
            },
            Tls {
                authorities: trusting(&other),
                ..Tls::default()
            },
            Tls {
                identity: being(&one, &one_key),
                ..Tls::default()
            },
            Tls {
                identity: being(&other, &other_key),
                ..Tls::default()
            },
        ];
        let hashes: std::collections::HashSet<u64> = all.iter().map(hash).collect();
        assert_eq!(hashes.len(), all.len());
        let again = Tls {
            authorities: trusting(&one),
            ..Tls::default()
        };
        assert!(hashes.contains(&hash(&again)));
    }

    #[test]
    fn what_is_verified_has_a_name() {
        let host: HostName = "app.internal".parse().unwrap();
        let tls = Tls::default();
        let name = |tls: &Tls, host| tls.name_for(host).unwrap();
        assert_eq!(name(&tls, Some(&host)).unwrap(), "app.internal");
        assert!(tls.name_for(None).is_err());
        let tls = Tls {
            server_name: Some("10.0.0.1".parse().unwrap()),
            ..Tls::default()
        };
        assert_eq!(name(&tls, Some(&host)).unwrap(), "10.0.0.1");
        let tls = Tls {
            verify: Verify::DangerouslyOff,
            ..Tls::default()
        };
        assert_eq!(name(&tls, None), None);
    }
}
