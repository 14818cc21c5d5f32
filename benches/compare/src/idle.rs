//! What connections hold that do nothing: kept ones after a request, and ones with half a head.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde::Serialize;

use crate::frame::frame;
use crate::process::Process;
use crate::scenario::Scenario;

/// How many connections are opened, where nothing else is asked for.
pub const CONNECTIONS: u32 = 5000;
/// How many of them are opened at a time: while one waits for its handshake, another one works.
const OPENERS: u32 = 4;
/// The host that is asked for.
const HOST: &str = "h57.example.com";

// Of HTTP/2 (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What one contender holds for each connection, in bytes of resident memory.
#[derive(Debug, Serialize)]
pub struct Held {
    pub name: String,
    /// After a request, kept for the next.
    pub kept: u64,
    /// After half a request head.
    pub half_head: u64,
}

/// Opens connections, and asks on them.
pub struct Client {
    scenario: Scenario,
    tls: Arc<ClientConfig>,
}

/// A connection, in TLS or not.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Client {
    /// A client for what a scenario speaks. It believes every certificate: it talks to itself.
    ///
    /// # Errors
    /// A configuration that `rustls` does not take.
    pub fn new(scenario: Scenario) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let believing = Arc::new(Believing(provider.clone()));
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(believing)
            .with_no_client_auth();
        tls.alpn_protocols = match scenario.http2() {
            true => vec![b"h2".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        let tls = Arc::new(tls);
        Ok(Self { scenario, tls })
    }

    /// Opens `count` connections to `address` and looks at the memory of what serves them.
    ///
    /// # Errors
    /// A connection that is refused, or closed before its answer.
    pub fn measure(
        &self,
        name: String,
        process: &Process,
        address: SocketAddr,
        count: u32,
    ) -> io::Result<Held> {
        let (kept, held) = grown(process, count, || {
            let mut connection = self.connect(address)?;
            connection.write_all(&self.request(true))?;
            self.read_answer(&mut *connection)?;
            Ok(connection)
        })?;
        // Those stay: else these would get the memory that they leave.
        let (half_head, _) = grown(process, count, || {
            let mut connection = self.connect(address)?;
            connection.write_all(&self.request(false))?;
            connection.flush()?;
            Ok(connection)
        })?;
        drop(held);
        Ok(Held {
            name,
            kept,
            half_head,
        })
    }

    fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        // What follows the end of a handshake would wait 40 ms for word that this has come.
        connection.set_nodelay(true)?;
        if !self.scenario.tls() {
            return Ok(Box::new(connection));
        }
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        let tls = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(tls, connection)))
    }

    /// A request, or what is sent of it with half a head.
    fn request(&self, whole: bool) -> Vec<u8> {
        let path = self.scenario.path();
        if !self.scenario.http2() {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            let end = request.len() - if whole { 0 } else { 20 };
            return request.as_bytes()[..end].to_vec();
        }
        let mut fields = vec![0x82, 0x86]; // GET, http (RFC 7541, appendix A)
        for (name, value) in [(0x04, path), (0x01, HOST)] {
            fields.extend([name, u8::try_from(value.len()).expect("a short text")]);
            fields.extend(value.as_bytes());
        }
        let flags = if whole { END_HEADERS | END_STREAM } else { 0 };
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, b""));
        bytes.extend(frame(SETTINGS, ACK, 0, b""));
        bytes.extend(frame(HEADERS, flags, 1, &fields));
        bytes
    }

    fn read_answer(&self, connection: &mut dyn Stream) -> io::Result<()> {
        let bad = || io::Error::other("expected a 200");
        if !self.scenario.http2() {
            let mut answer = [0; 4096];
            let read = connection.read(&mut answer)?;
            let good = answer[..read].starts_with(b"HTTP/1.1 200");
            return good.then_some(()).ok_or_else(bad);
        }
        loop {
            let mut head = [0; 9];
            connection.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            connection.read_exact(&mut payload)?;
            // 200 has a number in HPACK; the size of the table may be told before it.
            if head[3] == HEADERS && !payload.iter().take(4).any(|byte| *byte == 0x88) {
                return Err(bad());
            }
            if matches!(head[3], HEADERS | DATA) && head[4] & END_STREAM != 0 {
                return Ok(());
            }
        }
    }
}

/// Connections, by who has opened them.
type Opened = Vec<Vec<Box<dyn Stream>>>;

/// By how much memory grows with each of `count` connections that are opened like this, and they.
fn grown(
    process: &Process,
    count: u32,
    open: impl Fn() -> io::Result<Box<dyn Stream>> + Sync,
) -> io::Result<(u64, Opened)> {
    let before = process.resident_bytes()?;
    let share = |opener: u32| {
        let opened = (opener..count).step_by(OPENERS as usize).map(|_| open());
        opened.collect::<io::Result<Vec<_>>>()
    };
    let share = &share;
    let opened = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| scope.spawn(move || share(opener)))
            .collect();
        let opened = openers.into_iter().map(|opener| {
            opener
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread that opens them panicked")))
        });
        opened.collect::<io::Result<Vec<_>>>()
    })?;
    // The last ones have to arrive there.
    std::thread::sleep(Duration::from_millis(500));
    let after = process.resident_bytes()?;
    Ok((after.saturating_sub(before) / u64::from(count), opened))
}

/// Believes every certificate.
#[derive(Debug)]
struct Believing(Arc<CryptoProvider>);

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The table that is printed.
pub fn table(scenario: &str, count: u32, rows: &[Held]) -> String {
    let mut text = format!(
        "{scenario}: resident bytes for each of {count} connections\n\n{:<22}{:>12}{:>12}\n",
        "contender", "kept", "half a head"
    );
    for row in rows {
        text += &format!("{:<22}{:>12}{:>12}\n", row.name, row.kept, row.half_head);
    }
    text
}
