//! What the spans of a request tell.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::receiver::{CLIENT, Receiver, SERVER, Span, field, texts};
use super::{exported, to};
use crate::harness::{Gateway, curl, echo, upstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ASKER: &str = "00f067aa0ba902b7";

/// Attributes without those that differ each time.
fn known(span: &Span, unknown: &[&str]) -> BTreeMap<String, String> {
    let mut attributes = span.attributes.clone();
    for name in unknown {
        assert!(attributes.remove(*name).is_some(), "{name} in {span:?}");
    }
    attributes
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

#[test]
fn a_request_and_its_attempt_are_two_spans_of_the_trace_that_it_came_with() {
    let (origin, receiver) = (echo(), Receiver::start());
    let routes = "routes: [{ name: orders, match: { path: '/orders/{id}' }, upstream: app }]\n";
    let traces = to(
        &receiver,
        ", service: edge, resource: { deployment.environment.name: test, service.version: '7' }",
    );
    let gateway = Gateway::start(&(traces + &upstream(&origin) + routes));
    let before = since_epoch();
    let answer = curl(&[
        "-A",
        "a browser",
        "-H",
        &format!("traceparent: 00-{TRACE}-{ASKER}-01"),
        "-H",
        "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "-H",
        "host: Shop.Example:8080",
        "--data",
        "hello",
        &gateway.url("/orders/7?x=1&sig=s3cr3t&Access-Token=s3cr3t"),
    ]);
    let after = since_epoch();
    let seen = &answer.json()["headers"];
    let spans = receiver.spans_when(2);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    let line = &gateway.access_log(1)[0];

    assert_eq!((server.kind, &*server.name), (SERVER, "POST /orders/{id}"));
    assert_eq!((client.kind, &*client.name), (CLIENT, "POST"));
    assert_eq!((&*server.trace, &*client.trace), (TRACE, TRACE));
    assert_eq!((&*server.parent, &client.parent), (ASKER, &server.id));
    assert_ne!(server.id, client.id);
    // Sampled, and whether the parent is of another process is known.
    assert_eq!((server.flags, client.flags), (0x301, 0x101));
    assert_eq!(
        seen["traceparent"],
        format!("00-{TRACE}-{}-01", client.id).as_str()
    );
    assert_eq!(
        seen["tracestate"],
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    );
    for span in [server, client] {
        assert_eq!(span.state, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    }
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["span_id"], server.id.as_str());
    assert!(before <= server.start && server.start <= client.start);
    // A span begins by the wall clock, which may be set meanwhile, and lasts by the monotonic one.
    let set = 10_000_000;
    assert!(client.start < client.end && client.end <= server.end + set);
    assert!(server.end <= after + set);
    assert!(!server.failed && !client.failed);

    let unknown = ["network.peer.port"];
    assert_eq!(
        known(server, &unknown),
        expected(&[
            ("http.request.method", "POST"),
            ("http.route", "/orders/{id}"),
            ("http.response.status_code", "200"),
            ("url.path", "/orders/7"),
            ("url.query", "x=1&sig=REDACTED&Access-Token=***"),
            ("url.scheme", "http"),
            ("server.address", "shop.example"),
            ("server.port", "8080"),
            ("client.address", "127.0.0.1"),
            ("network.peer.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "a browser"),
            ("wiregate.request_id", answer.header("x-request-id")),
            ("wiregate.route", "orders"),
        ])
    );
    let (endpoint, port) = (origin.addresses()[0], origin.addresses()[0].port());
    let port = port.to_string();
    assert_eq!(
        client.attributes,
        expected(&[
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("network.peer.address", "127.0.0.1"),
            ("network.peer.port", &port),
            ("network.protocol.version", "1.1"),
            ("url.full", &format!("http://{endpoint}/orders/7")),
            ("wiregate.upstream", "app"),
        ])
    );
    crate::harness::until("both are counted", || exported(&gateway) == 2.0);
    message_is_otlp(&gateway, &receiver);
}

fn since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_nanos().try_into().unwrap()
}

fn message_is_otlp(gateway: &Gateway, receiver: &Receiver) {
    let posted = &receiver.posted()[0];
    assert!(
        posted.head.starts_with("post /v1/traces http/1.1\r\n"),
        "{}",
        posted.head
    );
    let value = |name| field(&posted.head, name);
    assert_eq!(value("content-type"), Some("application/x-protobuf"));
    assert_eq!(value("content-encoding"), None);
    assert!(value("user-agent").unwrap().starts_with("wiregate/"));
    let [of_resource] = &posted.message.resource_spans[..] else {
        panic!("one resource");
    };
    let resource = of_resource.resource.as_ref().unwrap();
    assert_eq!(
        texts(&resource.attributes),
        expected(&[
            ("service.name", "edge"),
            ("service.version", "7"),
            ("process.pid", &gateway.pid().to_string()),
            ("deployment.environment.name", "test"),
        ])
    );
    let [of_scope] = &of_resource.scope_spans[..] else {
        panic!("one scope");
    };
    let scope = of_scope.scope.as_ref().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&*scope.name, &*scope.version), ("wiregate", version));
    let schema = "https://opentelemetry.io/schemas/1.23.0";
    assert_eq!(
        (&*of_resource.schema_url, &*of_scope.schema_url),
        (schema, schema)
    );
}

#[test]
fn what_the_gateway_answers_itself_is_a_span_without_attempts() {
    let receiver = Receiver::start();
    let routes = "routes:\n  \
        - { name: closed, match: { path: [/closed/**, /shut] }, filters: [ip: { deny: 127.0.0.0/8 }, respond: 204] }\n  \
        - { name: broken, match: { path: /broken }, filters: [respond: 503] }\n  \
        - { name: host, match: { host: any.example }, filters: [respond: 204] }\n";
    let gateway = Gateway::start(&(to(&receiver, "") + routes));
    let url = |path: &str| gateway.url(path);
    curl(&[&url("/closed/a")]);
    curl(&[&url("/shut")]);
    curl(&[&url("/broken")]);
    curl(&["-H", "host: any.example", &url("/x")]);
    curl(&["--http2-prior-knowledge", "-X", "BREW", &url("/nowhere")]);
    curl(&[&url(&format!("/{}", "é".repeat(4000)))]);
    let spans = receiver.spans_when(6);
    let told: Vec<_> = (spans.iter())
        .map(|span| {
            let get = |name| span.get(name);
            let error = (
                span.failed,
                get("error.type"),
                get("wiregate.error"),
                get("wiregate.refused_by"),
            );
            (
                &*span.name,
                get("http.route"),
                get("http.response.status_code"),
                error,
            )
        })
        .collect();
    assert_eq!(
        told[..5],
        [
            (
                "GET /closed/**",
                "/closed/**",
                "403",
                (false, "", "ip_denied", "ip")
            ),
            ("GET /shut", "/shut", "403", (false, "", "ip_denied", "ip")),
            ("GET /broken", "/broken", "503", (true, "503", "", "")),
            ("GET host", "host", "204", (false, "", "", "")),
            ("HTTP", "", "404", (false, "", "no_route", "")),
        ]
    );
    assert!(
        spans
            .iter()
            .all(|span| span.kind == SERVER && span.parent.is_empty())
    );
    let brewed = &spans[4];
    assert_eq!(brewed.get("http.request.method"), "_OTHER");
    assert_eq!(brewed.get("http.request.method_original"), "BREW");
    assert_eq!(brewed.get("network.protocol.version"), "2");
    assert_eq!(brewed.get("server.address"), "127.0.0.1");
    assert!(spans[5].get("url.path").len() <= 2048);
    let traces: std::collections::HashSet<_> = spans.iter().map(|span| &span.trace).collect();
    assert_eq!(traces.len(), 6);
    // What is no request has no span.
    let answer = crate::harness::raw(gateway.address(), b"nonsense\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let line = &gateway.access_log(7)[6];
    assert_eq!(line.get("trace_id"), None);
}

#[test]
fn a_credential_that_the_log_does_not_show_is_in_no_span_and_a_consumer_is() {
    let (origin, receiver) = (echo(), Receiver::start());
    let routes = "consumers: { acme: { credentials: { api_key: { key: '${env:KEY_OF_ANN}' } } } }\n\
        routes: [{ name: all, filters: [api_key: { from: { query: key } }], upstream: app }]\n";
    let gateway = Gateway::start(&(to(&receiver, "") + &upstream(&origin) + routes));
    let key = crate::harness::KEY_OF_ANN;
    let answer = curl(&[&gateway.url(&format!("/a?key={key}&x=1"))]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = receiver.spans_when(2);
    assert_eq!(spans[0].get("url.query"), "x=1");
    assert_eq!(spans[0].get("wiregate.consumer"), "acme");
    let all = format!("{spans:?}");
    assert!(!all.contains(key), "{all}");
}

#[test]
fn a_path_that_a_filter_makes_of_a_reference_is_in_no_span() {
    let (origin, receiver) = (echo(), Receiver::start());
    let routes = "routes:\n  \
        - { name: bot, match: { path: /bot/** }, filters: [rewrite: { path: '/bot${env:KEY_OF_ANN}/send' }], upstream: app }\n  \
        - { name: all, upstream: app }\n";
    let gateway = Gateway::start(&(to(&receiver, "") + &upstream(&origin) + routes));
    let answer = curl(&[&gateway.url("/bot/send")]).json();
    let key = crate::harness::KEY_OF_ANN;
    assert_eq!(answer["path"], format!("/bot{key}/send"), "{answer}");
    assert_eq!(curl(&[&gateway.url("/other/send")]).status, 200);
    let spans = receiver.spans_when(4);
    let all = format!("{spans:?}");
    assert!(!all.contains(key), "{all}");
    let mut urls: Vec<_> = (spans.iter().map(|span| span.get("url.full")))
        .filter_map(|url| url.split_once("//")?.1.split_once('/'))
        .map(|(_, path)| path)
        .collect();
    urls.sort_unstable();
    assert_eq!(urls, ["***/send", "other/send"]);
}

#[test]
fn a_pattern_with_a_reference_in_it_is_shown_nowhere() {
    let receiver = Receiver::start();
    let routes = "routes: [{ name: hidden, match: { path: '/${env:KEY_OF_ANN}/**' }, filters: [respond: 204] }]\n";
    let gateway = Gateway::start(&(to(&receiver, "") + routes));
    let path = format!("/{}/a", crate::harness::KEY_OF_ANN);
    assert_eq!(curl(&[&gateway.url(&path)]).status, 204);
    let span = &receiver.spans_when(1)[0];
    assert_eq!(
        (&*span.name, span.get("http.route")),
        ("GET hidden", "hidden")
    );
}

#[test]
fn many_requests_are_sent_together_and_none_is_lost_or_twice() {
    let (origin, receiver) = (echo(), Receiver::start());
    let endpoint = receiver.url();
    let traces = format!("traces: {{ endpoint: \"{endpoint}\", batch: 100, interval: 1m }}\n");
    let routes = "routes: [{ name: all, upstream: app }]\n";
    let gateway = Gateway::start(&(traces + &upstream(&origin) + routes));
    for _ in 0..4 {
        let url = gateway.url("/a");
        let arguments = ["-n", "250", "-c", "4", &url];
        let output = std::process::Command::new("h2load")
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("250 succeeded, 0 failed"), "{said}");
    }
    let spans = receiver.spans_when(2000);
    let ids: std::collections::HashSet<_> = spans.iter().map(|span| &span.id).collect();
    assert_eq!((spans.len(), ids.len()), (2000, 2000));
    let sizes = receiver.posted().into_iter().map(|posted| {
        let scopes = &posted.message.resource_spans[0].scope_spans;
        scopes[0].spans.len()
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [100; 20]);
    crate::harness::until("all are counted", || exported(&gateway) == 2000.0);
}
