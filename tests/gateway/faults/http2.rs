//! Endpoints that misbehave over HTTP/2.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use tokio::sync::Notify;

use super::super::harness::{Gateway, curl};
use super::{gateway, idle, nobody};
use crate::http2::wire::{self, Client};

/// An origin that does this with each stream, the first of them being 0.
fn origin(with: impl Fn(usize, SendResponse<Bytes>) + Send + Sync + 'static) -> SocketAddr {
    of_connections(move |_, stream, _, respond| with(stream, respond))
}

/// One that does this with each stream: its connection and the stream are counted from 0.
pub fn of_connections(
    with: impl Fn(usize, usize, h2::RecvStream, SendResponse<Bytes>) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (with, count) = (Arc::new(with), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut connections = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let (with, count, number) = (with.clone(), count.clone(), connections);
                connections += 1;
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let stream = count.fetch_add(1, Ordering::SeqCst);
                        with(number, stream, request.into_body(), respond);
                    }
                });
            }
        });
    });
    address
}

fn start(address: SocketAddr) -> Gateway {
    let options = ", protocol: h2c, timeouts: { first_byte: 1s, idle: 1s }";
    gateway(address, options, nobody())
}

fn answer(respond: &mut SendResponse<Bytes>) {
    let response = http::Response::builder().status(200).body(()).unwrap();
    respond.send_response(response, true).unwrap();
}

#[test]
fn a_stream_that_was_refused_unseen_is_sent_again_whatever_its_method() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let refuses = origin(move |number, mut respond| {
        count.fetch_add(1, Ordering::SeqCst);
        if number % 2 == 0 {
            respond.send_reset(Reason::REFUSED_STREAM);
        } else {
            answer(&mut respond);
        }
    });
    let gateway = start(refuses);
    for (round, method) in ["POST", "GET", "PATCH"].into_iter().enumerate() {
        let told = curl(&["-X", method, "-d", "a body", &gateway.url("/")]);
        assert_eq!(told.status, 200, "{method}: {}", told.text());
        assert_eq!(seen.load(Ordering::SeqCst), 2 * (round + 1));
    }
    idle(&gateway);
}

#[test]
fn a_stream_that_is_reset_has_its_status_and_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let resets = origin(move |_, mut respond| {
        count.fetch_add(1, Ordering::SeqCst);
        respond.send_reset(Reason::INTERNAL_ERROR);
    });
    let gateway = start(resets);
    let told = curl(&["-d", "a body", &gateway.url("/")]);
    assert_eq!(told.status, 502);
    assert_eq!(told.json()["type"], "urn:wiregate:connection_terminated");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    idle(&gateway);
}

#[test]
fn a_stream_that_is_reset_on_a_used_connection_is_not_sent_again_either() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let resets = origin(move |number, mut respond| {
        count.fetch_add(1, Ordering::SeqCst);
        match number {
            0 => answer(&mut respond),
            _ => respond.send_reset(Reason::ENHANCE_YOUR_CALM),
        }
    });
    let gateway = start(resets);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    for round in 1..4 {
        let told = curl(&[&gateway.url("/")]);
        assert_eq!(told.status, 502);
        assert_eq!(told.json()["type"], "urn:wiregate:connection_terminated");
        assert_eq!(seen.load(Ordering::SeqCst), round + 1);
    }
    let failed = "wiregate_upstream_errors_total{error=\"connection_terminated\",upstream=\"app\"}";
    assert_eq!(gateway.metric(failed), 3.0);
    idle(&gateway);
}

#[test]
fn what_has_no_content_has_none_whatever_its_endpoint_sends() {
    for status in [204, 304] {
        let sends = origin(move |_, mut respond| {
            let head = http::Response::builder().status(status).body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data("hello".into(), true).unwrap();
        });
        let gateway = start(sends);
        let mut client = Client::open(gateway.address());
        client.write(&wire::headers(
            1,
            wire::END_HEADERS | wire::END_STREAM,
            &wire::get("/"),
        ));
        let mut flags = client.next_of(wire::HEADERS).unwrap().flags;
        while flags & wire::END_STREAM == 0 {
            let data = client.next_of(wire::DATA).unwrap();
            assert!(data.payload.is_empty(), "{status}: {data:?}");
            flags = data.flags;
        }
    }
}

#[test]
fn a_body_that_is_reset_is_never_taken_for_whole() {
    let read = Arc::new(Notify::new());
    let told = read.clone();
    let resets = origin(move |_, mut respond| {
        let response = http::Response::builder().status(200).body(()).unwrap();
        let mut body = respond.send_response(response, false).unwrap();
        body.send_data("hello".into(), false).unwrap();
        let told = told.clone();
        tokio::spawn(async move {
            told.notified().await;
            body.send_reset(Reason::INTERNAL_ERROR);
        });
    });
    let gateway = start(resets);
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        let mut curl = Command::new("curl")
            .args(["-sN", "--max-time", "20", client, &gateway.url("/")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut begun = [0; 5];
        let mut body = curl.stdout.take().unwrap();
        body.read_exact(&mut begun).unwrap();
        assert_eq!(&begun, b"hello", "{client}");
        read.notify_one();
        let code = curl.wait().unwrap().code().unwrap();
        assert!([18, 56, 92].contains(&code), "{client}: {code}");
    }
    idle(&gateway);
}

#[test]
fn an_answer_that_does_not_come_is_a_504() {
    let kept = std::sync::Mutex::new(Vec::new());
    let silent = origin(move |_, respond| kept.lock().unwrap().push(respond));
    let gateway = start(silent);
    let told = curl(&[&gateway.url("/")]);
    assert_eq!(told.status, 504);
    assert_eq!(told.json()["type"], "urn:wiregate:http_response_timeout");
    idle(&gateway);
}

#[test]
fn a_connection_that_has_gone_silent_is_left_to_itself() {
    // Nothing on the first connection is ever answered, as where a machine has vanished.
    let kept = std::sync::Mutex::new(Vec::new());
    let origin = of_connections(
        move |connection, _, mut body, mut respond| match connection {
            0 => kept.lock().unwrap().push((body, respond)),
            // An answer before the end of the upload is another story.
            _ => drop(tokio::spawn(async move {
                while let Some(Ok(_)) = body.data().await {}
                answer(&mut respond);
            })),
        },
    );
    let options = ", protocol: h2c, timeouts: { first_byte: 1s, idle: 1s }, retry: { attempts: 1 }";
    let gateway = gateway(origin, options, nobody());
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        let post = |path: &str| curl(&[client, "-d", "a body", &gateway.url(path)]).status;
        let first = post("/");
        assert!([200, 504].contains(&first), "{first}");
        assert_eq!(post("/"), 200, "{client}");
    }
    let failed = "wiregate_upstream_errors_total{error=\"http_response_timeout\",upstream=\"app\"}";
    assert_eq!(gateway.metric(failed), 1.0);
    idle(&gateway);
}

#[test]
fn a_silent_connection_is_left_by_hedged_attempts_and_for_them() {
    // The first request here is never answered, others late.
    let kept = std::sync::Mutex::new(Vec::new());
    let slow = of_connections(move |_, stream, body, mut respond| match stream {
        0 => kept.lock().unwrap().push((body, respond)),
        _ => drop(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(700)).await; // this makes it slow
            let response = http::Response::builder().status(200).body(()).unwrap();
            // Whoever asked may have been answered by then.
            let _ = respond.send_response(response, true);
        })),
    });
    // Nothing on the first connection here is, and all else at once.
    let kept = std::sync::Mutex::new(Vec::new());
    let dead = of_connections(move |connection, _, body, mut respond| match connection {
        0 => kept.lock().unwrap().push((body, respond)),
        _ => answer(&mut respond),
    });
    let gateway = Gateway::start(&format!(
        "workers: 1\nupstreams:\n  app: {{ endpoints: [\"{slow}\", \"{dead}\"], protocol: h2c, balance: round_robin, \
         hedge: {{ after: 100ms, at_most: 50% }}, timeouts: {{ first_byte: 1s, idle: 1s }}, retry: {{ attempts: 1 }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n"
    ));
    assert_eq!(curl(&[&gateway.url("/")]).status, 504);
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    let hedges = |outcome: &str| {
        gateway.metric(&format!(
            "wiregate_upstream_hedges_total{{outcome=\"{outcome}\",upstream=\"app\"}}"
        ))
    };
    assert!(hedges("won") >= 1.0, "{} were lost", hedges("lost"));
    assert_eq!(hedges("lost"), 0.0, "the second one is answered at once");
    idle(&gateway);
}

#[test]
fn an_endpoint_that_takes_nothing_of_a_body_holds_nobody_for_ever() {
    let kept = std::sync::Mutex::new(Vec::new());
    let origin = of_connections(move |_, _, body, respond| {
        kept.lock().unwrap().push((body, respond)); // and gives no room for more
    });
    let gateway = start(origin);
    let body = vec![b'x'; 1 << 20];
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        let url = gateway.url("/");
        let arguments = [client, "-H", "expect:", "--data-binary", "@-", &url];
        let told = super::super::harness::curl_with(&arguments, &body);
        assert!([0, 502, 504].contains(&told.status), "{client}: {told:?}");
        idle(&gateway);
    }
}
