//! What becomes of a body does not depend on how it comes.

use std::io::Read;
use std::net::TcpStream;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::harness::PATIENCE;

/// A body in pieces, none of which is empty.
fn cut(body: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len())).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]);
    pieces.map(Bytes::copy_from_slice).collect()
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", piece.len());
    [size.as_bytes(), piece, b"\r\n"].concat()
}

/// The answer of the echo server to a body in these pieces: each is written by itself, as a chunk where its length is not
/// told before.
fn over_http1(gateway: &Gateway, length: Option<usize>, pieces: &[Bytes]) -> (u16, Value) {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let framing = match length {
        Some(length) => format!("content-length: {length}"),
        None => "transfer-encoding: chunked".to_owned(),
    };
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    for piece in pieces {
        let piece = match length {
            Some(_) => piece.to_vec(),
            None => chunk(piece),
        };
        stream.write_all(&piece).unwrap();
    }
    if length.is_none() {
        stream.write_all(b"0\r\n\r\n").unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    (head[9..12].parse().expect(head), body)
}

/// The same, with a frame for each piece.
fn over_http2(gateway: &Gateway, length: Option<usize>, pieces: &[Bytes]) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let asking = async {
        let stream = tokio::net::TcpStream::connect(gateway.address());
        let (mut client, connection) = h2::client::handshake(stream.await.unwrap()).await.unwrap();
        tokio::spawn(connection);
        let mut request =
            http::Request::post("http://a/").header("content-type", "application/json");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let (answer, mut body) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        for (number, piece) in pieces.iter().enumerate() {
            let is_last = number + 1 == pieces.len();
            body.send_data(piece.clone(), is_last).unwrap();
        }
        let answer = answer.await.unwrap();
        let (status, mut body, mut text) = (answer.status(), answer.into_body(), Vec::new());
        while let Some(piece) = body.data().await {
            text.extend_from_slice(&piece.unwrap());
        }
        let seen = serde_json::from_slice(&text).unwrap_or(Value::Null);
        (status.as_u16(), seen)
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await.unwrap() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn neither_cuts_nor_the_version_change_what_becomes_of_a_response(
        text in ".{0,12}",
        number in any::<i64>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let body = serde_json::json!({ "text": text, "n": number }).to_string().into_bytes();
        let pieces = cut(&body, &cuts);
        let endpoint = origin::serve(move |_, mut stream| {
            while let Some(head) = origin::head(&mut stream) {
                let is_cut = head.contains(" /chunks");
                let mut answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n".to_vec();
                let framing = match is_cut {
                    true => "transfer-encoding: chunked\r\n\r\n".to_owned(),
                    false => format!("content-length: {}\r\n\r\n", body.len()),
                };
                answer.extend_from_slice(framing.as_bytes());
                stream.write_all(&answer).unwrap();
                for piece in pieces.iter().filter(|_| is_cut) {
                    stream.write_all(&chunk(piece)).unwrap();
                }
                stream.write_all(if is_cut { b"0\r\n\r\n" } else { &body }).unwrap();
            }
        });
        let gateway = before(endpoint, "json: { response: { rename: { text: t }, set: { a: [1] } } }");
        let expected = serde_json::json!({ "t": text, "n": number, "a": [1] }).to_string();
        for version in VERSIONS {
            for path in ["/chunks", "/whole"] {
                let answer = curl(&[version, &gateway.url(path)]);
                prop_assert_eq!(answer.status, 200);
                prop_assert_eq!(answer.text(), expected.clone(), "{} {}", version, path);
            }
        }
    }

    #[test]
    fn neither_cuts_nor_the_version_change_what_becomes_of_a_request(
        text in ".{0,12}",
        number in any::<i64>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let body = serde_json::json!({ "text": text, "n": number }).to_string().into_bytes();
        let pieces = cut(&body, &cuts);
        let (gateway, _origin) = filtering("json: { request: { rename: { text: t }, set: { a: [1] } } }");
        let expected = serde_json::json!({ "t": text, "n": number, "a": [1] }).to_string();
        for length in [None, Some(body.len())] {
            for (version, (status, seen)) in [
                ("HTTP/1.1", over_http1(&gateway, length, &pieces)),
                ("HTTP/2", over_http2(&gateway, length, &pieces)),
            ] {
                prop_assert_eq!(status, 200, "{} {:?}", version, length);
                prop_assert_eq!(&seen["body"], &expected, "{} {:?} {:?}", version, length, pieces);
                let told = seen["headers"]["content-length"].as_str().map(str::to_owned);
                prop_assert_eq!(told, Some(expected.len().to_string()));
                prop_assert!(seen["headers"]["transfer-encoding"].is_null());
            }
        }
    }
}
