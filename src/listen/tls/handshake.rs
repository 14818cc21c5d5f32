//! The handshake, and what is known after it.

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Policy, Tls, client};
use crate::listen::transport::Plain;

/// What a handshake has established.
#[derive(Debug)]
pub struct Secured {
    /// What filters may know.
    pub facts: Arc<wiregate_sdk::Tls>,
    /// What was asked of the client.
    pub policy: Option<Policy>,
    /// Whether HTTP/2 was agreed on.
    pub http2: bool,
    /// Whether it resumed an earlier session.
    pub resumed: bool,
    /// The cipher suite.
    pub cipher: &'static str,
}

/// Why there is no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// This is not TLS.
    NotTls,
    /// Client and listener have no version, cipher or protocol in common.
    Incompatible,
    /// The client has no certificate, or not a good one.
    ClientCertificate,
    /// The client does not accept the listener's certificate, or broke off for another reason.
    RefusedByClient,
    /// Anything else.
    Other,
}

impl Failed {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::RefusedByClient,
        Self::Other,
    ];

    /// The word in the metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::ClientCertificate => "client_certificate",
            Self::RefusedByClient => "refused_by_client",
            Self::Other => "other",
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            None if error.kind() == io::ErrorKind::InvalidData => Self::Other,
            None => Self::Closed,
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
                Self::ClientCertificate
            }
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::Incompatible,
            Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => Self::NotTls,
            Some(Error::AlertReceived(AlertDescription::CloseNotify)) => Self::Closed,
            Some(Error::AlertReceived(_)) => Self::RefusedByClient,
            Some(_) => Self::Other,
        }
    }
}

impl Tls {
    /// Shakes hands with a client, by the certificate for the name that it asks for.
    ///
    /// # Errors
    /// Why it came to nothing.
    pub async fn shake_hands(
        &self,
        socket: Plain,
    ) -> Result<(Box<TlsStream<Plain>>, Secured), Failed> {
        let handshake = tokio::time::timeout(self.handshake_timeout, self.shake(socket));
        handshake.await.map_err(|_| Failed::Timeout)?
    }

    async fn shake(&self, socket: Plain) -> Result<(Box<TlsStream<Plain>>, Secured), Failed> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let entry = self.entry(start.client_hello().server_name());
        let mut stream = start.into_stream(entry.config.clone()).await?;
        let (_, connection) = stream.get_ref();
        let secured = Secured {
            facts: Arc::new(facts(connection)),
            policy: entry.policy,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            http2: connection.alpn_protocol() == Some(b"h2"),
            cipher: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
        };
        if !secured.http2 && !self.http1 {
            let _ = stream.shutdown().await; // it would speak what was not offered
            return Err(Failed::Incompatible);
        }
        Ok((Box::new(stream), secured))
    }
}

fn facts(connection: &ServerConnection) -> wiregate_sdk::Tls {
    let certificates = connection.peer_certificates();
    wiregate_sdk::Tls {
        name: connection.server_name().map(Into::into),
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        },
        certificate: certificates
            .and_then(|chain| chain.first())
            .map(|certificate| client::certificate(certificate)),
    }
}
