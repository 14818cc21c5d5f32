//! Endpoints: whose turn it is, what happens when they fail, and what they get to see.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::harness::{Gateway, curl, echo, echoes, raw, until, upstream};

fn route(upstream: &str) -> String {
    format!("upstreams: {{ app: {upstream} }}\nroutes: [{{ name: all, upstream: app }}]\n")
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A server that answers each connection with these bytes, whatever it is asked, and closes it.
fn answers(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
        }
    });
    address
}

fn served_by(gateway: &Gateway, requests: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..requests {
        let answer = curl(&[&gateway.url("/")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let by = answer.json()["served_by"].as_str().unwrap().to_owned();
        *counts.entry(by).or_default() += 1;
    }
    counts
}

#[test]
fn shares_requests_out_by_weight() {
    let origin = echoes(3);
    let a = origin.addresses();
    let endpoints = format!(
        "{{ endpoints: [\"{}\", {{ address: \"{}\", weight: 2 }}, {{ address: \"{}\", weight: 3 }}] }}",
        a[0], a[1], a[2]
    );
    let gateway = Gateway::start(&format!("workers: 1\n{}", route(&endpoints)));
    let counts = served_by(&gateway, 24);
    assert_eq!(counts[&a[0].to_string()], 4);
    assert_eq!(counts[&a[1].to_string()], 8);
    assert_eq!(counts[&a[2].to_string()], 12);
}

/// As the guide begins: no checks, no ejection, and nothing said about retries.
#[test]
fn a_dead_endpoint_costs_no_request_whatever_the_balance() {
    let origin = echo();
    for balance in ["round_robin", "least_requests", "peak_ewma", "random"] {
        let dead = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let gateway = Gateway::start(&format!(
            "workers: 1\nupstreams:\n  app: {{ endpoints: [\"{}\", \"{dead}\"], balance: {balance} }}\n\
             routes: [{{ name: all, upstream: app }}]\n",
            origin.addresses()[0]
        ));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        assert_eq!(curl(&[&gateway.url("/")]).status, 200, "{balance}");
                    }
                });
            }
        });
        let lines = gateway.access_log(200);
        let twice = lines.iter().filter(|line| line["attempts"] == 2).count();
        assert!(
            twice < 100,
            "{balance}: {twice} of 200 were tried there first"
        );
        let said = "an endpoint cannot be reached";
        if twice > 0 {
            gateway.tells(said);
        }
        let log = gateway.log();
        assert_eq!(log.matches(said).count(), usize::from(twice > 0), "{log}");
    }
}

#[test]
fn tries_another_endpoint_when_one_cannot_be_reached() {
    let origin = echo();
    let config = format!(
        "{{ endpoints: [\"{}\", \"{}\"] }}",
        nobody(),
        origin.addresses()[0]
    );
    let gateway = Gateway::start(&route(&config));
    for _ in 0..10 {
        assert_eq!(curl(&["-d", "a body", &gateway.url("/")]).status, 200);
    }
    let lines = gateway.access_log(10);
    assert!(lines.iter().any(|line| line["attempts"] == 2));
    assert!(
        lines
            .iter()
            .all(|line| line["endpoint"] == origin.addresses()[0].to_string())
    );
}

#[test]
fn answers_502_when_nobody_listens_and_keeps_the_clients_connection() {
    let gateway = Gateway::start(&route(&format!("{{ endpoints: [\"{}\"] }}", nobody())));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["type"], "urn:wiregate:connection_refused");
    assert_eq!(answer.header("connection"), "");

    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let two = [
        &request[..],
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    ]
    .concat();
    // Not pipelined: the second goes out when the first is answered.
    let answers = {
        use std::net::TcpStream;
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(request).unwrap();
        let mut first = vec![0; 4096];
        let read = stream.read(&mut first).unwrap();
        stream.write_all(&two[request.len()..]).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        String::from_utf8_lossy(&first[..read]).into_owned() + &rest
    };
    assert_eq!(answers.matches("HTTP/1.1 502").count(), 2, "{answers}");
}

#[test]
fn answers_502_to_what_is_no_http() {
    let config = format!("{{ endpoints: [\"{}\"] }}", answers(b"what?\r\n\r\n"));
    let gateway = Gateway::start(&route(&config));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["type"], "urn:wiregate:http_protocol_error");
}

#[test]
fn answers_502_to_an_endpoint_that_hangs_up() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let answer = curl(&[&gateway.url("/?fail=close")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["type"], "urn:wiregate:connection_terminated");
}

#[test]
fn answers_504_when_an_endpoint_is_silent_and_when_the_time_is_up() {
    let origin = echo();
    let config = |timeouts: &str| {
        format!(
            "{{ endpoints: [\"{}\"], timeouts: {timeouts} }}",
            origin.addresses()[0]
        )
    };
    for timeouts in ["{ first_byte: 200ms }", "{ total: 200ms }"] {
        let gateway = Gateway::start(&route(&config(timeouts)));
        let answer = curl(&[&gateway.url("/?delay=5s")]);
        assert_eq!(answer.status, 504, "{timeouts}");
        assert_eq!(answer.json()["type"], "urn:wiregate:http_response_timeout");
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
}

#[test]
fn cuts_a_response_that_takes_longer_than_the_exchange_may() {
    let origin = echo();
    let config = format!(
        "{{ endpoints: [\"{}\"], timeouts: {{ total: 500ms }} }}",
        origin.addresses()[0]
    );
    let gateway = Gateway::start(&route(&config));
    let request = "GET /?stream=100&every=50ms HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = raw(gateway.address(), request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        !answer.ends_with("0\r\n\r\n"),
        "a client would take this for whole"
    );
}

#[test]
fn answers_504_when_a_connection_cannot_be_opened_in_time() {
    // A listener whose queue is full does not answer to more connections.
    let listener = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )
    .unwrap();
    listener
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))
    {
        waiting.push(stream);
        assert!(waiting.len() < 100);
    }
    let config = format!("{{ endpoints: [\"{address}\"], timeouts: {{ connect: 200ms }} }}");
    let gateway = Gateway::start(&route(&config));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["type"], "urn:wiregate:connection_timeout");
}

#[test]
fn takes_endpoints_out_and_back_in_by_their_health() {
    let origin = echoes(2);
    let (good, bad) = (origin.addresses()[0], origin.addresses()[1]);
    let config = format!(
        "{{ endpoints: [\"{good}\", \"{bad}\"], health: {{ http: /health, every: 50ms, timeout: 1s }} }}"
    );
    let gateway = Gateway::start(&route(&config));
    assert_eq!(served_by(&gateway, 8).len(), 2);
    let health = |address: SocketAddr| {
        let labels =
            format!("wiregate_endpoint_healthy{{endpoint=\"{address}\",upstream=\"app\"}}");
        gateway.metric(&labels)
    };
    let set = |address: SocketAddr, status: u16| {
        let url = format!("http://{address}/health?status={status}");
        assert!(curl(&["-X", "PUT", &url]).status < 300);
    };
    set(bad, 503);
    until("the endpoint is out", || health(bad) == 0.0);
    assert_eq!(
        served_by(&gateway, 8),
        HashMap::from([(good.to_string(), 8)])
    );

    set(good, 503);
    until("both are out", || health(good) == 0.0);
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["type"],
        "urn:wiregate:destination_unavailable"
    );

    set(good, 200);
    set(bad, 200);
    until("both are back", || health(good) + health(bad) == 2.0);
    assert_eq!(served_by(&gateway, 8).len(), 2);
}

#[test]
fn keeps_connections_to_endpoints() {
    let origin = echo();
    let config = format!(
        "workers: 1\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    );
    let gateway = Gateway::start(&config);
    for _ in 0..10 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    let stats = curl(&[&format!("http://{}/__stats", origin.addresses()[0])]).json();
    assert!(stats["requests"].as_u64().unwrap() >= 10, "{stats}");
    assert!(stats["connections"].as_u64().unwrap() <= 2, "{stats}");
}

#[test]
fn tells_endpoints_who_asked_and_believes_only_trusted_proxies() {
    let origin = echo();
    let config = format!(
        "{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    );
    let headers = |gateway: &Gateway| {
        let answer = curl(&[
            "-H",
            "x-forwarded-for: 10.1.1.1, 10.0.0.7",
            "-H",
            "x-forwarded-proto: https",
            "-H",
            "x-forwarded-host: evil.example",
            "-H",
            "host: shop.example:8080",
            &gateway.url("/"),
        ]);
        answer.json()["headers"].clone()
    };
    let saw = headers(&Gateway::start(&config));
    assert_eq!(saw["x-forwarded-for"], "127.0.0.1");
    assert_eq!(saw["x-forwarded-proto"], "http");
    assert_eq!(saw["x-forwarded-host"], "shop.example:8080");
    assert_eq!(saw["host"], "shop.example:8080");

    let trusting = "{ trusted_proxies: [127.0.0.0/8, 10.0.0.0/24] }";
    let gateway = Gateway::start_with(&config, trusting);
    let saw = headers(&gateway);
    assert_eq!(saw["x-forwarded-for"], "10.1.1.1, 10.0.0.7, 127.0.0.1");
    assert_eq!(saw["x-forwarded-proto"], "https");
    assert_eq!(saw["x-forwarded-host"], "evil.example");
    assert_eq!(gateway.access_log(1)[0]["client"], "10.1.1.1");
}
