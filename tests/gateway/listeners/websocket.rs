//! A WebSocket over TLS, at the client's side and at the endpoint's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::harness::{PATIENCE, until};
use super::clients::open;
use super::start_in;
use super::tls::{ONE, folder, listener};

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-version: 13\r\n\r\n";
/// More than a record of TLS holds, or a buffer on the way.
const LONG: u32 = 200_000;
/// A close frame of a client's, with a mask of zeros.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

fn read_head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A binary frame of a client's, with a mask of zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u64::try_from(payload.len()).unwrap();
    let mut frame = vec![0x82, 0x80 | 127];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Sends what a frame brings back as a frame of a server's, until one closes the tunnel.
fn answer(stream: &mut (impl Read + Write)) {
    stream.write_all(SWITCH).unwrap();
    loop {
        let mut start = [0; 2];
        stream.read_exact(&mut start).unwrap();
        if start[0] == 0x88 {
            stream.read_exact(&mut [0; 6]).unwrap();
            stream.write_all(&[0x88, 2, 0x03, 0xe8]).unwrap();
            return;
        }
        let mut rest = [0; 12];
        stream.read_exact(&mut rest).unwrap();
        let length = u64::from_be_bytes(rest[..8].try_into().unwrap());
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        stream
            .write_all(&[&[0x82, 127], &rest[..8], &payload].concat())
            .unwrap();
    }
}

/// A server of WebSockets with the certificate `NAME.pem`.
fn secure_server(folder: &Path, name: &str) -> SocketAddr {
    let path = |end: &str| folder.join(format!("{name}.{end}"));
    let certificate = CertificateDer::from_pem_file(path("pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    serve(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        if read_head(&mut stream).starts_with("GET /chat ") {
            answer(&mut stream);
        }
    })
}

fn serve(each: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            each(stream);
        }
    });
    address
}

#[test]
fn frames_pass_both_ways_over_tls() {
    for secure in [false, true] {
        let (folder, _) = folder(&[("a", &["a.example"]), ("app", &["app.internal"])]);
        let upstream = if secure {
            let address = secure_server(folder.path(), "app");
            let ca = folder.path().join("ca.pem");
            let ca = ca.display();
            format!("endpoints: [\"{address}\"], tls: {{ ca: {ca}, server_name: app.internal }}")
        } else {
            let address = serve(|mut stream| {
                read_head(&mut stream);
                answer(&mut stream);
            });
            format!("endpoints: [\"{address}\"]")
        };
        let rest = format!(
            "upstreams: {{ app: {{ {upstream} }} }}\nroutes: [{{ name: all, upstream: app }}]\n"
        );
        let gateway = start_in(folder, &listener(ONE), &rest);
        let mut client = open(&gateway, "a.example");
        client.write_all(ASK).unwrap();
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 101 "), "{secure}: {head}");
        for length in [0, 5, LONG] {
            let payload: Vec<u8> = (0..length).flat_map(u32::to_le_bytes).collect();
            client.write_all(&frame(&payload)).unwrap();
            let mut answer = vec![0; payload.len() + 10];
            client.read_exact(&mut answer).unwrap();
            assert!(answer[10..] == payload, "{secure}: {length} numbers");
        }
        client.write_all(&CLOSE).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap(); // TLS ends as it should, too
        assert_eq!(rest, [0x88, 2, 0x03, 0xe8], "{secure}");
        let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
        until("the tunnel is over", || in_flight() == 0.0);
        let line = &gateway.access_log(1)[0];
        assert_eq!(
            (&line["status"], &line["client"]),
            (&101.into(), &"127.0.0.1".into())
        );
    }
}
