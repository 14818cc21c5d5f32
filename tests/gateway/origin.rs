//! Origins that are written by hand, where each byte matters.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A whole response with this status and no body.
pub fn empty(status: u16) -> String {
    format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n")
}

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server that does this with each connection, on a thread of its own. Connections are counted
/// from 0.
pub fn serve(with: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let with = Arc::new(with);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, with) = (stream.unwrap(), with.clone());
            std::thread::spawn(move || with(number, stream));
        }
    });
    address
}

/// The same over TLS, with the certificate `NAME.pem` of this folder.
pub fn serve_tls(
    folder: &Path,
    name: &str,
    with: impl Fn(&mut StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> SocketAddr {
    let config = Arc::new(certified(folder, name));
    serve(move |_, stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        with(&mut StreamOwned::new(connection, stream));
    })
}

/// What a server has with the certificate `NAME.pem` of this folder.
pub fn certified(folder: &Path, name: &str) -> ServerConfig {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let chain = CertificateDer::pem_file_iter(file("pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    config.unwrap()
}

/// A server that answers each request of each connection with what this makes of its head.
pub fn answers(with: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    serve(move |_, mut stream| {
        while let Some(head) = head(&mut stream) {
            if stream.write_all(with(&head).as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// A server that reads a request and says nothing. How many it was asked, and how many of those were let go.
pub fn silent() -> (Arc<[AtomicUsize; 2]>, SocketAddr) {
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let copy = counts.clone();
    let address = serve(move |_, mut stream| {
        if head(&mut stream).is_some() {
            copy[0].fetch_add(1, Ordering::SeqCst);
            drain(&mut stream);
            copy[1].fetch_add(1, Ordering::SeqCst);
        }
    });
    (counts, address)
}

/// How many a silent server has now.
pub fn open(counts: &[AtomicUsize; 2]) -> usize {
    let let_go = counts[1].load(Ordering::SeqCst); // in this order it is never more than was asked
    counts[0].load(Ordering::SeqCst) - let_go
}

/// Heads that were read, in their order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// A server that remembers the heads of requests, and answers with what this makes of them.
    pub fn by(with: impl Fn(&str) -> String + Send + Sync + 'static) -> (Self, SocketAddr) {
        let seen = Self::default();
        let copy = seen.clone();
        let address = answers(move |head| {
            copy.0.lock().unwrap().push(head.to_owned());
            with(head)
        });
        (seen, address)
    }

    /// How many requests have come.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The fields of the last request: lines in lower case.
    pub fn last(&self) -> Vec<String> {
        let heads = self.0.lock().unwrap();
        let lines = heads.last().expect("a request has come").lines();
        lines.map(str::to_ascii_lowercase).collect()
    }
}

/// The next head on a connection, with its empty line; nothing where there is none.
pub fn head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Reads until the other side closes; the number of bytes.
pub fn drain(stream: &mut TcpStream) -> usize {
    let mut buffer = [0; 16 * 1024];
    let mut total = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        total += read;
    }
    total
}

/// Closes a connection with a reset.
pub fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}
