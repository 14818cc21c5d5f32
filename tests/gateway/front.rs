//! TLS before a peer that knows none, and chooses a protocol (ALPN) as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::endpoints::https_server::Authority;
use super::origin::certified;

pub const HTTP2: &[u8] = b"h2";
pub const HTTP1: &[u8] = b"http/1.1";

/// What is before a peer, with a certificate of its own.
pub struct Front {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// The protocols that may be chosen from now on, the preferred one first.
    speaks: Vec<Vec<u8>>,
    /// What was chosen, connection by connection.
    chosen: Vec<Vec<u8>>,
    open: usize,
}

impl Front {
    /// One that speaks these protocols.
    pub fn before(peer: SocketAddr, speaks: &[&[u8]]) -> Self {
        Self::before_two(peer, peer, speaks)
    }

    /// The same, before one peer for HTTP/1.1 and one for HTTP/2.
    pub fn before_two(http1: SocketAddr, http2: SocketAddr, speaks: &[&[u8]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("front");
        authority.write(folder.path(), "front", "app.internal", 4000);
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            folder,
            known: Arc::default(),
        };
        this.speaks(speaks);
        let config = certified(this.folder.path(), "front");
        let known = this.known.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(accept(listener, config, known, [http1, http2]));
        });
        this
    }

    /// The connections to come speak these.
    pub fn speaks(&self, speaks: &[&[u8]]) {
        self.known.lock().unwrap().speaks = speaks.iter().map(|name| name.to_vec()).collect();
    }

    /// What was chosen since this was last asked, connection by connection.
    pub fn take_chosen(&self) -> Vec<String> {
        let chosen = std::mem::take(&mut self.known.lock().unwrap().chosen);
        let chosen = chosen.into_iter().map(String::from_utf8);
        chosen.map(Result::unwrap).collect()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.known.lock().unwrap().open
    }

    /// What an upstream says of it, beside where it is.
    pub fn options(&self) -> String {
        let ca = self.folder.path().join("ca.pem");
        let tls = format!("{{ ca: \"{}\", server_name: app.internal }}", ca.display());
        format!(", protocol: negotiate, tls: {tls}")
    }

    /// An upstream before it, with these options beside.
    pub fn upstream(&self, options: &str) -> String {
        format!(
            "{{ endpoints: [\"{}\"]{}{options} }}",
            self.address,
            self.options()
        )
    }
}

/// A peer as an upstream has it that speaks HTTP/1.1 to it, and as one has it that negotiates, with its front: address, and
/// options.
pub fn both_ways(peer: SocketAddr) -> [(SocketAddr, String, Option<Front>); 2] {
    let front = Front::before(peer, &[HTTP1]);
    [
        (peer, String::new(), None),
        (front.address, front.options(), Some(front)),
    ]
}

async fn accept(
    listener: std::net::TcpListener,
    config: ServerConfig,
    known: Arc<Mutex<Known>>,
    peers: [SocketAddr; 2],
) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (mut config, known) = (config.clone(), known.clone());
        config
            .alpn_protocols
            .clone_from(&known.lock().unwrap().speaks);
        tokio::spawn(async move {
            let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
            let Ok(mut stream) = accepted else {
                return;
            };
            let chosen = stream.get_ref().1.alpn_protocol().unwrap_or_default();
            let peer = peers[usize::from(chosen == HTTP2)];
            known.lock().unwrap().begin(chosen.to_vec());
            let mut behind = TcpStream::connect(peer).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut behind).await;
            known.lock().unwrap().open -= 1;
        });
    }
}

impl Known {
    fn begin(&mut self, chosen: Vec<u8>) {
        self.chosen.push(chosen);
        self.open += 1;
    }
}
