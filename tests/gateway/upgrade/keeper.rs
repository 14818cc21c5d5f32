//! Requests that are in flight for as long as a test wants, however long everything else takes.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::super::harness::{Gateway, until};
use super::super::origin::{empty, head, serve};
use super::super::protocols::peers::{read_head, send};
use super::ROUTE;

/// An origin that keeps whoever asks for `/kept` waiting until it is told to answer.
pub struct Keeper {
    address: SocketAddr,
    answering: Arc<(Mutex<bool>, Condvar)>,
}

impl Default for Keeper {
    fn default() -> Self {
        let answering: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let told = answering.clone();
        let address = serve(move |_, mut stream| {
            while let Some(head) = head(&mut stream) {
                if head.starts_with("GET /kept ") {
                    let (answering, told) = &*told;
                    let waiting =
                        told.wait_while(answering.lock().unwrap(), |answering| !*answering);
                    drop(waiting.unwrap());
                }
                if stream.write_all(empty(200).as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self { address, answering }
    }
}

impl Keeper {
    /// A gateway in front of it, that waits for what is in flight as long as that takes.
    pub fn configuration(&self) -> String {
        format!(
            "limits: {{ drain_deadline: 10m }}\n\
             upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ first_byte: 10m }} }} }}\n{ROUTE}",
            self.address
        )
    }

    /// A request that is under way.
    pub fn asked(&self, gateway: &Gateway) -> TcpStream {
        let stream = send(gateway.address(), "GET /kept HTTP/1.1\r\nhost: a\r\n\r\n");
        let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
        until("it is under way", || in_flight() == 1.0);
        stream
    }

    /// Answers this one, which gets its answer.
    pub fn answer(&self, mut asked: TcpStream) {
        self.let_go();
        let head = read_head(&mut asked);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }

    fn let_go(&self) {
        let (answering, told) = &*self.answering;
        *answering.lock().unwrap() = true;
        told.notify_all();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.let_go();
    }
}
