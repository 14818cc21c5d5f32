//! gRPC: calls of every kind with a real client and server, deadlines, and errors of the gateway's.

pub mod board;

use std::io::Write;
use std::process::Command;

use futures_util::stream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};

use super::peers::{gateway, read_head, send, speaking};
use crate::harness::{Gateway, curl, echo, until};
use crate::http2::wire::{self, Client};
use board::{Board, Codec, Note, note};

/// A gateway before a real gRPC server, and a client's channel to it.
pub fn board(runtime: &Runtime, limits: &str) -> (Gateway, Channel) {
    let address = serve_board(runtime);
    let _inside = runtime.enter();
    let gateway = gateway(
        limits,
        &format!("{{ endpoints: [\"{address}\"], protocol: h2c }}"),
    );
    let channel = channel(&gateway);
    (gateway, channel)
}

/// A real gRPC server.
pub fn serve_board(runtime: &Runtime) -> std::net::SocketAddr {
    let _inside = runtime.enter();
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = incoming.local_addr().unwrap();
    runtime.spawn(
        Server::builder()
            .add_service(Board)
            .serve_with_incoming(incoming),
    );
    address
}

pub fn channel(gateway: &Gateway) -> Channel {
    Endpoint::from_shared(gateway.url(""))
        .unwrap()
        .connect_lazy()
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub async fn unary(channel: Channel, method: &'static str, text: &str) -> Result<Note, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(method);
    let answer = client.unary(Request::new(note(text)), path, Codec::default());
    answer.await.map(Response::into_inner)
}

/// Makes calls of every kind, but for conversations.
async fn calls(channel: Channel) {
    let answer = unary(channel.clone(), "/test.Board/Unary", "one").await;
    assert_eq!(answer.unwrap().text, "got one");
    let refused = unary(channel.clone(), "/test.Board/Unary", "fail")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(refused.message(), "it is there: 100%");
    let unknown = unary(channel.clone(), "/test.Board/Other", "one")
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);

    let path = |method| http::uri::PathAndQuery::from_static(method);
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let down = Request::new(note("n"));
    let down = client.server_streaming(down, path("/test.Board/Down"), Codec::default());
    let mut down = down.await.unwrap().into_inner();
    for n in 0..1000 {
        assert_eq!(
            down.message().await.unwrap().unwrap().text,
            format!("n {n}")
        );
    }
    assert_eq!(down.message().await.unwrap_err().code(), Code::OutOfRange);

    client.ready().await.unwrap();
    let up = Request::new(stream::iter((0..1000).map(|n| note(n.to_string()))));
    let up = client.client_streaming(up, path("/test.Board/Up"), Codec::default());
    assert_eq!(up.await.unwrap().into_inner().text, "1000");
}

#[test]
fn calls_of_every_kind_pass_with_their_trailers() {
    let runtime = runtime();
    let (gateway, channel) = board(&runtime, "{}");
    runtime.block_on(calls(channel));
    let ended = gateway.admin("GET", "/metrics").text();
    assert!(
        !ended.contains("wiregate_http2_connections_ended_total{"),
        "{ended}"
    );
}

#[test]
fn who_only_looks_at_calls_lets_them_pass_whatever_their_size() {
    let runtime = runtime();
    let address = serve_board(&runtime);
    let sides =
        "request: { set: { a: 1 }, types: '*/*' }, response: { set: { a: 1 }, types: '*/*' }";
    let gateway = Gateway::start(&format!(
        "limits: {{ buffered_body: 4KiB }}\n\
         upstreams: {{ app: {{ endpoints: [\"{address}\"], protocol: h2c }} }}\n\
         routes: [{{ name: all, filters: [json: {{ {sides}, mode: observe }}], upstream: app }}]\n"
    ));
    let _inside = runtime.enter();
    runtime.block_on(calls(channel(&gateway)));
    let log = gateway.access_log(5);
    let said = log.iter().map(|line| line["observed"]["json"].as_str());
    let said: Vec<_> = said.map(|word| word.unwrap_or("nothing")).collect();
    assert_eq!(said[4], "body_too_large", "{said:?}");
}

#[test]
fn a_conversation_passes_message_by_message() {
    let runtime = runtime();
    let (gateway, channel) = board(&runtime, "{}");
    runtime.block_on(async {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let (say, mut said) = mpsc::channel::<Note>(1);
        let notes = stream::poll_fn(move |cx| said.poll_recv(cx));
        let path = http::uri::PathAndQuery::from_static("/test.Board/Both");
        let talk = client.streaming(Request::new(notes), path, Codec::default());
        let mut talk = talk.await.unwrap().into_inner();
        for n in 0..50 {
            // The next is only said when the former has been answered.
            say.send(note(n.to_string())).await.unwrap();
            assert_eq!(
                talk.message().await.unwrap().unwrap().text,
                format!("re: {n}")
            );
        }
        drop(say);
        assert_eq!(talk.message().await.unwrap(), None);
    });
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    until("it is over", || in_flight() == 0.0);
}

#[test]
fn a_client_that_gives_up_cancels_the_call() {
    let runtime = runtime();
    let (gateway, _) = board(&runtime, "{}");
    let attempts = || gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}");
    let mut client = Client::open(gateway.address());
    let fields = [
        wire::post("/test.Board/Both"),
        wire::field("content-type", "application/grpc"),
    ];
    client.write(&wire::headers(1, wire::END_HEADERS, &fields.concat()));
    assert_eq!(client.next_of(wire::HEADERS).unwrap().payload[0], 0x88);
    until("it is under way", || attempts() == 1.0);
    client.write(&wire::frame(wire::RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    until("it is cancelled", || attempts() == 0.0);
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    until("it is over", || in_flight() == 0.0);
}

#[test]
fn errors_of_the_gateways_own_are_statuses_of_calls() {
    let runtime = runtime();
    let nobody = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap()
    };
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{nobody}\"], protocol: h2c }} }}\nroutes:\n\
         - {{ name: open, match: {{ path: /test.Open/** }}, upstream: app }}\n\
         - {{ name: denied, match: {{ path: /test.Denied/** }}, filters: [{{ respond: 403 }}] }}\n\
         - {{ name: unknown, match: {{ path: /test.Unknown/** }}, filters: [{{ respond: 401 }}] }}\n\
         - {{ name: often, match: {{ path: /test.Often/** }}, filters: [{{ respond: 429 }}] }}\n\
         - {{ name: broken, match: {{ path: /test.Broken/** }}, filters: [{{ respond: 500 }}] }}\n"
    ));
    let _inside = runtime.enter();
    let channel = channel(&gateway);
    for (method, code) in [
        ("/test.Open/Call", Code::Unavailable),
        ("/test.Denied/Call", Code::PermissionDenied),
        ("/test.Unknown/Call", Code::Unauthenticated),
        ("/test.Often/Call", Code::Unavailable),
        ("/test.Broken/Call", Code::Unknown),
        ("/test.Nowhere/Call", Code::Unimplemented),
    ] {
        let status = runtime
            .block_on(unary(channel.clone(), method, "one"))
            .unwrap_err();
        assert_eq!(status.code(), code, "{method}: {status:?}");
    }
    let status = runtime
        .block_on(unary(channel, "/test.Nowhere/Call", "one"))
        .unwrap_err();
    assert_eq!(status.message(), "no route takes this request");
    assert!(status.metadata().contains_key("x-request-id"));
    let answer = curl(&[
        "--http2-prior-knowledge",
        "-H",
        "content-type: application/grpc+proto",
        "--data",
        "",
        &gateway.url("/test.Nowhere/Call"),
    ]);
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "12"));
    assert_eq!(answer.header("content-type"), "application/grpc+proto");
    assert!(answer.body.is_empty() && answer.header("content-length").is_empty());
    let plain = curl(&[
        "--http2-prior-knowledge",
        &gateway.url("/test.Nowhere/Call"),
    ]);
    assert_eq!((plain.status, plain.header("grpc-status")), (404, ""));
}

/// What nghttp sees of a call with this deadline.
fn call(gateway: &Gateway, path: &str, timeout: &str) -> String {
    let output = Command::new("nghttp")
        .args([
            "-v",
            "-H",
            "content-type: application/grpc",
            "-H",
            ":method: POST",
        ])
        .args([
            "-H",
            &format!("grpc-timeout: {timeout}"),
            &gateway.url(path),
        ])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_deadline_ends_a_call_before_and_in_its_answer() {
    let origin = echo();
    for protocol in ["http1", "h2c"] {
        let gateway = gateway("{}", &speaking(&origin, protocol));
        let start = std::time::Instant::now();
        let said = call(&gateway, "/?delay=30s", "500m");
        assert!(said.contains("grpc-status: 4"), "{protocol}: {said}");
        // A stream that would go on, and one that has nothing to say for long.
        for path in ["/?stream=1000&every=100ms", "/?stream=3&every=20s"] {
            let said = call(&gateway, path, "900m");
            assert!(said.contains("grpc-status: 4"), "{protocol} {path}: {said}");
        }
        assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
        let in_time = call(&gateway, "/", "30S");
        assert!(
            in_time.contains(":status: 200") && !in_time.contains("grpc-status"),
            "{in_time}"
        );
        let wrong = call(&gateway, "/", "soon");
        assert!(wrong.contains("grpc-status: 13"), "{wrong}");
        let attempts = || gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}");
        until("the calls are cancelled", || attempts() == 0.0);
    }
}

#[test]
fn a_server_sees_what_grpc_wants_it_to_see() {
    let origin = echo();
    let gateway = gateway("{}", &speaking(&origin, "h2c"));
    let answer = curl(&[
        "--http2-prior-knowledge",
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        "-H",
        "grpc-timeout: 9S",
        &gateway.url("/"),
    ]);
    let seen = answer.json();
    assert_eq!(seen["headers"]["te"], "trailers");
    assert_eq!(seen["headers"]["grpc-timeout"], "9S");
    assert_eq!(seen["headers"]["content-type"], "application/grpc");
}

#[test]
fn what_only_looks_like_a_call_is_answered_like_any_request() {
    let origin = echo();
    let upstream = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let gateway = gateway("{}", &upstream);
    let url = gateway.url("/app.js");
    let fields = [
        "-H",
        "content-type: application/grpc",
        "-H",
        "grpc-timeout: 1n",
    ];
    for (version, more) in [
        ("--http1.1", &[][..]),
        ("--http1.1", &["-X", "POST"]),
        ("--http2-prior-knowledge", &[]),
    ] {
        // Its deadline has passed when it comes: as a call it would be told so, with a 200.
        let answer = curl(&[&[version][..], more, &fields, &[url.as_str()]].concat());
        assert_eq!(answer.status, 200, "{version} {more:?}");
        assert_eq!(answer.json()["path"], "/app.js", "it is the endpoint's");
        assert_eq!(answer.header("grpc-status"), "");
    }
    let call = curl(
        &[
            &["--http2-prior-knowledge", "-X", "POST"][..],
            &fields,
            &[&url],
        ]
        .concat(),
    );
    assert_eq!((call.status, call.header("grpc-status")), (200, "4"));
    assert_eq!(call.header("cache-control"), "no-store");
}

#[test]
fn a_refused_call_over_http_1_1_costs_no_connection() {
    let gateway =
        Gateway::start("routes: [{ name: none, match: { path: /none }, filters: [respond: x] }]\n");
    let mut client = send(gateway.address(), "");
    for kind in ["application/grpc-web+proto", "Application/gRPC-Web"] {
        let call = format!(
            "POST /test.Board/Unary HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: 0\r\n\r\n"
        );
        client.write_all(call.as_bytes()).unwrap();
        let head = read_head(&mut client).to_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        for there in ["grpc-status: 12\r\n", "content-length: 0\r\n"] {
            assert!(head.contains(there), "{head}");
        }
        assert!(!head.contains("connection: close"), "{head}");
    }
}
