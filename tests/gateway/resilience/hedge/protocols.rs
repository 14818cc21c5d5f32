//! Hedged requests over whatever endpoints speak: TLS, HTTP/2 where they choose it, trailers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};

use super::super::super::endpoints::https_server::Authority;
use super::super::super::harness::{Gateway, PATIENCE, complete, curl, echoes};
use super::super::super::origin::serve;
use super::{AFTER, LONG, config, hedges, settles, upstream};

/// A gateway with TLS before an echo server, which takes these protocols.
fn with_tls(authority: &Authority, echo: SocketAddr, alpn: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    authority.write(folder.path(), "good", "app.internal", 4000);
    let tls = "{ certificate: good.pem, key: good.key }";
    let listener = format!("{{ tls: {{ certificates: [{tls}], alpn: [{alpn}] }} }}");
    let file = folder.path().join("wiregate.yaml");
    let app = config(&upstream("app", &[echo], ""), "");
    std::fs::write(&file, complete(folder.path(), &app, &listener)).unwrap();
    Gateway::start_file(folder, &file)
}

fn over_tls(protocol: &str, alpn: &str, version: &str) {
    let echo = echoes(2);
    let authority = Authority::new("ours");
    let behind: Vec<Gateway> = (echo.addresses().iter())
        .map(|echo| with_tls(&authority, *echo, alpn))
        .collect();
    let both: Vec<SocketAddr> = behind.iter().map(Gateway::address).collect();
    let ca = behind[0].file("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = format!(
        "tls: {{ ca: \"{}\", server_name: app.internal }}",
        ca.display()
    );
    let options = format!(", protocol: {protocol}, {tls}{AFTER}");
    let gateway = Gateway::start(&config(&upstream("app", &both, &options), ""));
    let slow = echo.addresses()[0].port();
    let start = Instant::now();
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        for _ in 0..3 {
            let url = gateway.url(&format!("/?delay=8s&at={slow}"));
            let answer = curl(&[client, &url]);
            assert_eq!(answer.status, 200, "{protocol} {client}: {}", answer.text());
            assert!(answer.header("via").contains(version), "{answer:?}");
        }
    }
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    assert!(hedges(&gateway, "won") >= 1.0);
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[client, &gateway.url("/bytes/300000")]);
        assert_eq!((answer.status, answer.body.len()), (200, 300_000));
    }
    settles(&gateway, &both);
}

#[test]
fn over_tls_with_http1() {
    over_tls("http1", "http/1.1", "1.1 wiregate");
}

#[test]
fn over_tls_with_http2() {
    over_tls("h2", "h2", "2 wiregate");
}

#[test]
fn over_tls_with_what_endpoints_choose() {
    over_tls("negotiate", "h2, http/1.1", "2 wiregate");
    over_tls("negotiate", "http/1.1", "1.1 wiregate");
}

#[test]
fn an_endpoint_that_never_ends_its_handshake_is_overtaken() {
    let echo = echoes(1);
    let authority = Authority::new("ours");
    let good = with_tls(&authority, echo.addresses()[0], "h2, http/1.1");
    let mute = serve(|_, mut stream| assert!(super::drain(&mut stream) > 0));
    let ca = good.file("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = format!(
        "tls: {{ ca: \"{}\", server_name: app.internal }}",
        ca.display()
    );
    let both = [mute, good.address()];
    let options = format!(", protocol: negotiate, {tls}{AFTER}");
    let gateway = Gateway::start(&config(&upstream("app", &both, &options), ""));
    let start = Instant::now();
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    assert!(hedges(&gateway, "won") >= 1.0);
    settles(&gateway, &both);
}

/// An origin over HTTP/2 that ends its answers with trailers, but says nothing while it is slow.
fn with_trailers(slow: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (slow, asked) = (slow.clone(), asked.clone());
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let mut kept = Vec::new();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        asked.fetch_add(1, Ordering::SeqCst);
                        match slow.load(Ordering::SeqCst) {
                            true => kept.push(respond),
                            false => answer(&mut respond),
                        }
                    }
                });
            }
        });
    });
    address
}

fn answer(respond: &mut SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "application/grpc");
    let mut body = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    body.send_data("hello".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-checked", "yes".parse().unwrap());
    body.send_trailers(trailers).unwrap();
}

/// The body and the trailers of an answer over HTTP/2.
async fn asked(gateway: SocketAddr) -> (Vec<u8>, HeaderMap) {
    let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a/").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut read = Vec::new();
    while let Some(piece) = body.data().await {
        read.extend_from_slice(&piece.unwrap());
    }
    (read, body.trailers().await.unwrap().unwrap_or_default())
}

#[test]
fn the_trailers_are_the_winners() {
    let (slow, asks) = (
        Arc::new(AtomicBool::new(true)),
        [(); 2].map(|()| Arc::default()),
    );
    let [at_slow, at_fast] = [
        with_trailers(slow.clone(), Arc::clone(&asks[0])),
        with_trailers(Arc::default(), Arc::clone(&asks[1])),
    ];
    let both = [at_slow, at_fast];
    let options = format!(", protocol: h2c{AFTER}");
    let gateway = Gateway::start(&config(&upstream("app", &both, &options), ""));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    for _ in 0..6 {
        let (body, trailers) = runtime.block_on(async {
            let asked = asked(gateway.address());
            tokio::time::timeout(PATIENCE, asked).await.unwrap()
        });
        assert_eq!(body, b"hello");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-checked"], "yes");
    }
    assert!(hedges(&gateway, "won") >= 1.0);
    assert_eq!(asks[1].load(Ordering::SeqCst), 6);
    settles(&gateway, &both);
    // The connection to the slow one has outlived its streams that were given up.
    slow.store(false, Ordering::SeqCst);
    assert_eq!(curl(&[&gateway.url("/")]).text(), "hello");
    settles(&gateway, &both);
}
