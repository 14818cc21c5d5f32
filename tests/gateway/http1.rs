//! HTTP/1.1 at the client's side, byte by byte.

mod bodies;
mod differential;
mod endings;
mod halves;
mod heads;
mod many;
mod mutated;
pub mod origin;
mod responses;
mod time;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::harness::{Gateway, PATIENCE};
use origin::Origin;

/// A gateway with one worker that sends everything to an origin, with these further settings.
pub fn gateway(origin: &Origin, rest: &str) -> Gateway {
    at(origin.address, "", rest)
}

/// The same with an origin at this address, of which its upstream says this, too.
fn at(address: SocketAddr, options: &str, rest: &str) -> Gateway {
    Gateway::start(&format!(
        "workers: 1\nupstreams: {{ app: {{ endpoints: [\"{address}\"]{options} }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n{rest}"
    ))
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends these bytes, ends this side, and reads what comes until the other side has ended.
fn ask(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = connect(gateway);
    let _ = stream.write_all(bytes); // a refusal may come before the end
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the first answer; 0 where there is none.
fn status(answer: &str) -> u16 {
    let line = answer.strip_prefix("HTTP/1.1 ").unwrap_or_default();
    line.get(..3)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

/// Reads the head of an answer.
fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Reads an answer with a length.
fn read_answer(stream: &mut TcpStream) -> String {
    let head = read_head(stream);
    let length = (head.to_lowercase().lines())
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}
