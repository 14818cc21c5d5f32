//! Peers that speak HTTP/1.1 byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::harness::{Echo, Gateway, PATIENCE};

/// A server that hands each connection to this function, each in a thread of its own.
pub fn server(each: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    address
}

/// An upstream of this one endpoint, which speaks this protocol.
pub fn speaking(origin: &Echo, protocol: &str) -> String {
    let address = origin.addresses()[0];
    format!("{{ endpoints: [\"{address}\"], protocol: {protocol} }}")
}

/// A gateway before that server.
pub fn gateway(limits: &str, upstream: &str) -> Gateway {
    Gateway::start(&format!(
        "limits: {limits}\nupstreams: {{ app: {upstream} }}\nroutes: [{{ name: all, upstream: app }}]\n"
    ))
}

/// A connection on which these bytes are sent.
pub fn send(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

/// Reads up to and with these bytes.
pub fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(end.as_bytes()) && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Reads a head.
pub fn read_head(stream: &mut TcpStream) -> String {
    read_to(stream, "\r\n\r\n")
}

/// Reads as many bytes.
pub fn read_bytes(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
