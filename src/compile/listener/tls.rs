//! TLS of listeners out of its configuration: reads certificates, keys and authorities.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use wiregate_sdk::build::Kept;
use wiregate_sdk::value::{At, Place, Problem, ShortOrFull};

use crate::compile::files::{self, Files};
use crate::config::model::{self, Alpn, ClientCertificates, TlsVersion};
use crate::listen::tls::{Entry, Names, Policy, Tls};

mod leaf;

use leaf::Leaf;

/// Builds the TLS of a listener; nothing where that is not possible.
pub(super) fn build(
    listener: &str,
    config: &model::Tls,
    kept: &Kept,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    let builder = Builder {
        listener,
        config,
        kept,
        files,
        provider: Arc::new(provider::default_provider()),
    };
    let before = problems.len();
    let (mut entries, mut names) = (Vec::new(), Names::default());
    for (position, certificate) in config.certificates.iter().enumerate() {
        match builder.entry(position, certificate) {
            Ok((entry, own)) => {
                let taken = own.iter().filter_map(|name| {
                    let other = names.add(name, position).err()?;
                    Some(twice(name, certificate, &config.certificates[other]))
                });
                problems.extend(taken);
                entries.push(entry);
            }
            Err(mut more) => problems.append(&mut more),
        }
    }
    (problems.len() == before).then(|| {
        let http1 = config.alpn.contains(&Alpn::Http1);
        Tls::new(entries, names, http1, config.handshake_timeout.into())
    })
}

fn twice(name: &str, one: &At<model::Certificate>, other: &At<model::Certificate>) -> Problem {
    let message = format!("two certificates are for the name `{name}`");
    Problem::new(one.place.clone(), message)
        .related(other.place.clone(), "the other one is here")
        .help("`names` says which names a certificate is for")
}

type Problems = Vec<Problem>;

struct Builder<'a> {
    listener: &'a str,
    config: &'a model::Tls,
    kept: &'a Kept,
    files: &'a Files,
    provider: Arc<CryptoProvider>,
}

impl Builder<'_> {
    /// One certificate, and its names.
    fn entry(
        &self,
        position: usize,
        config: &At<model::Certificate>,
    ) -> Result<(Entry, Vec<String>), Problems> {
        let chain = certificates(&config.certificate, self.files);
        let key = key(&config.key, self.files);
        let clients = match &config.client_certificates {
            None => self.config.client_certificates.as_ref(),
            Some(ShortOrFull::Short(model::Off::Off)) => None,
            Some(ShortOrFull::Full(own)) => Some(own),
        };
        let clients = clients
            .map(|clients| Clients::read(clients, self.files))
            .transpose();
        let (chain, key, clients) = all(chain, key, clients)?;
        let leaf = Leaf::parse(&chain[0])
            .map_err(|why| vec![self.unreadable(&config.certificate, &why)])?;
        leaf.warn(self.listener, &config.certificate, SystemTime::now());
        let names = self.names(position, config, &leaf)?;
        let policy = clients.as_ref().map(|clients| clients.policy);
        let server = self.server(config, chain, key, clients)?;
        let entry = Entry {
            name: names.first().cloned().unwrap_or_else(|| "*".to_owned()),
            expires: leaf.expires,
            config: server,
            policy,
        };
        Ok((entry, names))
    }

    /// The names that a certificate is for, in lower case.
    fn names(
        &self,
        position: usize,
        config: &At<model::Certificate>,
        leaf: &Leaf,
    ) -> Result<Vec<String>, Problems> {
        let Some(names) = &config.names else {
            // The first one is for all names that have no other.
            if leaf.names.is_empty() && position > 0 {
                let message = "no client gets this certificate: it has no DNS name";
                return Err(vec![Problem::new(
                    config.certificate.place.clone(),
                    message,
                )]);
            }
            return Ok(leaf.names.clone());
        };
        let problems: Problems = (names.iter())
            .filter_map(|name| Some(Problem::new(name.place.clone(), leaf.lacks(name)?)))
            .collect();
        if problems.is_empty() {
            Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect())
        } else {
            Err(problems)
        }
    }

    /// What rustls needs. Where nothing has changed, it is what it was, so that sessions can still
    /// be resumed.
    fn server(
        &self,
        config: &model::Certificate,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: Option<Clients>,
    ) -> Result<Arc<ServerConfig>, Problems> {
        let policy = clients.as_ref().map(|clients| clients.policy);
        let identity = self.identity(&chain, &key, policy);
        let certified = CertifiedKey::from_der(chain, key, &self.provider)
            .map_err(|error| vec![mismatch(config, &error)])?;
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.versions());
        let builder =
            builder.map_err(|error| vec![self.unreadable(&config.certificate, &error)])?;
        let asks = clients.is_some();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let verifier = clients.verifier(self.provider.clone());
                builder.with_client_cert_verifier(verifier.map_err(|problem| vec![problem])?)
            }
        };
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut server = builder.with_cert_resolver(resolver);
        let alpn = self.config.alpn.iter();
        server.alpn_protocols = alpn.map(|alpn| protocol(*alpn)).collect();
        if asks {
            // A resumed session would spare a client the check of a certificate that has expired
            // or was replaced since.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        } else if let Ok(ticketer) = provider::Ticketer::new() {
            server.ticketer = ticketer;
        }
        Ok(self.kept.get_or_insert(identity, || server))
    }

    /// Tells all that makes one configuration of rustls another.
    fn identity(
        &self,
        chain: &[CertificateDer<'_>],
        key: &PrivateKeyDer<'_>,
        policy: Option<Policy>,
    ) -> String {
        let mut digest = Context::new(&SHA256);
        for certificate in chain {
            digest.update(certificate);
        }
        digest.update(key.secret_der());
        let (versions, alpn) = (&self.config.versions, &self.config.alpn);
        let (listener, digest) = (self.listener, digest.finish());
        format!("tls\u{0}{listener}\u{0}{digest:?}\u{0}{policy:?}\u{0}{versions:?}\u{0}{alpn:?}")
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = vec![&version::TLS13, &version::TLS12];
        let asked = &self.config.versions;
        versions.retain(|version| {
            asked.iter().any(|asked| match asked {
                TlsVersion::V12 => **version == version::TLS12,
                TlsVersion::V13 => **version == version::TLS13,
            })
        });
        versions
    }

    fn unreadable(&self, path: &At<String>, why: &dyn std::fmt::Display) -> Problem {
        let message = format!("cannot use the certificate in `{}`: {why}", path.value);
        Problem::new(path.place.clone(), message)
    }
}

fn protocol(alpn: Alpn) -> Vec<u8> {
    match alpn {
        Alpn::H2 => b"h2".to_vec(),
        Alpn::Http1 => b"http/1.1".to_vec(),
    }
}

/// All three, or the problems of all.
fn all<A, B, C>(
    a: Result<A, Problem>,
    b: Result<B, Problem>,
    c: Result<C, Problem>,
) -> Result<(A, B, C), Problems> {
    match (a, b, c) {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => Err([a.err(), b.err(), c.err()].into_iter().flatten().collect()),
    }
}

fn mismatch(config: &model::Certificate, error: &rustls::Error) -> Problem {
    let (key, certificate) = (&config.key, &config.certificate);
    match error {
        rustls::Error::InconsistentKeys(_) => {
            let message = format!(
                "the key in `{}` is not that of the certificate in `{}`",
                key.value, certificate.value
            );
            Problem::new(key.place.clone(), message)
                .related(certificate.place.clone(), "the certificate is here")
        }
        error => {
            let message = format!("cannot use the key in `{}`: {error}", key.value);
            Problem::new(key.place.clone(), message)
        }
    }
}

/// The authorities whose certificates clients may have.
struct Clients {
    roots: Arc<RootCertStore>,
    policy: Policy,
    place: Place,
}

impl Clients {
    fn read(config: &ClientCertificates, files: &Files) -> Result<Self, Problem> {
        let mut digest = Context::new(&SHA256);
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&config.ca, files)? {
            digest.update(&certificate);
            roots.add(certificate).map_err(|error| {
                let message = format!("cannot use an authority in `{}`: {error}", config.ca.value);
                Problem::new(config.ca.place.clone(), message)
            })?;
        }
        let digest = digest.finish();
        Ok(Self {
            roots: Arc::new(roots),
            policy: Policy {
                authorities: digest.as_ref().try_into().expect("32 bytes"),
                required: config.required,
            },
            place: config.ca.place.clone(),
        })
    }

    fn verifier(
        self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots, provider);
        let verifier = if self.policy.required {
            verifier.build()
        } else {
            verifier.allow_unauthenticated().build()
        };
        verifier.map_err(|error| Problem::new(self.place, error.to_string()))
    }
}

/// The certificates in a file, at least one.
fn certificates(path: &At<String>, files: &Files) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let bytes = files::read(path, files)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let why = match found {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => "expected a certificate in PEM, found none".to_owned(),
        Err(error) => format!("expected certificates in PEM: {error}"),
    };
    let message = format!("cannot read `{}`: {why}", path.value);
    Err(Problem::new(path.place.clone(), message))
}

/// The private key in a file.
fn key(path: &At<String>, files: &Files) -> Result<PrivateKeyDer<'static>, Problem> {
    let bytes = files::read(path, files)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => "expected a private key in PEM, found none".to_owned(),
            error => format!("expected a private key in PEM: {error}"),
        };
        let message = format!("cannot read `{}`: {why}", path.value);
        Problem::new(path.place.clone(), message)
    })
}
