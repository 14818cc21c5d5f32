//! Bodies of which a filter that is only looked at wants more than it can have: whatever it does with them, and whoever
//! else is in the chain, the exchange is the one without it.

mod wants;

use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::embedded::Embedded;
use crate::harness::{Answer, Echo, PATIENCE, curl, curl_with, echo, until, upstream};
use crate::http2::wire;
use crate::origin;
use crate::protocols::peers::{read_to, send, speaking};
use wants::{Brackets, Wants};

const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

fn start(limits: &str, upstreams: &str, filters: &str) -> Embedded {
    let text = format!(
        "limits: {{ {limits} }}\n{upstreams}\nroutes: [{{ name: all, filters: [{filters}], upstream: app }}]\n"
    );
    let registry = wiregate::filters::all().add::<Wants>().add::<Brackets>();
    Embedded::start(registry, &text)
}

fn before_echo(limits: &str, filters: &str) -> (Embedded, Echo) {
    let origin = echo();
    (start(limits, &upstream(&origin), filters), origin)
}

/// Sends a body whose length is not told.
fn put(gateway: &Embedded, client: &str, body: &[u8]) -> Answer {
    let url = gateway.url("/");
    let chunked = ["-X", "PUT", "-H", "transfer-encoding: chunked"];
    let rest = [client, "--data-binary", "@-", &url];
    curl_with(&[&chunked[..], &rest].concat(), body)
}

fn observed(gateway: &Embedded, filter: &str) -> String {
    let mut said = String::new();
    until("it is logged", || {
        let log = gateway.access_log();
        let line = log.lines().last().unwrap_or_default();
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        said = line["observed"][filter].as_str().unwrap_or("").to_owned();
        !line.is_null()
    });
    said
}

fn memory(gateway: &Embedded) -> f64 {
    let metrics = gateway.admin("/metrics").text();
    let mut lines = metrics.lines();
    let bytes = lines.find_map(|line| line.strip_prefix("wiregate_body_memory_bytes "));
    bytes.unwrap().parse().unwrap()
}

#[test]
fn who_rewrites_such_a_body_sees_all_of_it_and_its_end() {
    let limits = "buffered_body: 4KiB";
    for filters in [
        "wants: { mode: observe }, brackets: {}",
        "brackets: {}, wants: { mode: observe }",
        "wants: { mode: observe }, brackets: {}, wants: { mode: observe }",
        "brackets: {}, wants: { mode: observe }, wants: { mode: observe }, wants: { how: shortly, mode: observe }",
    ] {
        let origin = echo();
        for protocol in ["http1", "h2c"] {
            let upstreams = format!("upstreams: {{ app: {} }}", speaking(&origin, protocol));
            let gateway = start(limits, &upstreams, filters);
            for client in CLIENTS {
                for length in [0, 100, 4097, 8000, 200_000] {
                    let body = vec![b'x'; length];
                    let answer = put(&gateway, client, &body);
                    let case = format!("{filters} {protocol} {client} {length}");
                    assert_eq!(answer.status, 200, "{case} {}", answer.text());
                    let whole = [b"[", &*body, b"]"].concat();
                    let saw = answer.json();
                    assert_eq!(saw["body_bytes"], whole.len(), "{case}");
                    assert_eq!(saw["body_sha256"], super::sha256(&whole), "{case}");
                }
            }
        }
    }
}

#[test]
fn what_was_rewritten_is_not_made_once_more_for_another_attempt() {
    let (tell, told) = mpsc::channel();
    let endpoint = origin::serve(move |_, mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        origin::head(&mut stream);
        tell.send(read_to(&mut stream, "0\r\n\r\n")).unwrap();
    });
    let gateway = start(
        "buffered_body: 4KiB",
        &format!(
            "upstreams: {{ app: {{ endpoints: [\"{endpoint}\"], retry: {{ attempts: 2, on: [connect_error, reset] }} }} }}"
        ),
        "wants: { mode: observe }, brackets: {}",
    );
    for client in CLIENTS {
        for length in [8000, 200_000] {
            let answer = put(&gateway, client, &vec![b'x'; length]);
            assert_eq!(answer.status, 502, "{client} {length}");
            // Once, or as often as it is there as a whole.
            for sent in std::iter::once(told.recv_timeout(PATIENCE).unwrap()).chain(told.try_iter())
            {
                let whole = sent.contains("[x") && sent.ends_with("x]\r\n0\r\n\r\n");
                assert!(whole, "{client} {length} {sent}");
            }
        }
    }
}

#[test]
fn an_endpoint_that_breaks_off_is_followed_by_one_that_gets_the_same() {
    let second = echo();
    let breaks_off = origin::serve(|_, mut stream| {
        origin::head(&mut stream);
        read_to(&mut stream, "xxxx");
    });
    let both = format!(
        "upstreams: {{ app: {{ endpoints: [\"{breaks_off}\", \"{}\"], balance: round_robin, retry: {{ attempts: 2, on: [connect_error, reset], budget: 100% }} }} }}",
        second.addresses()[0]
    );
    let gateway = start("buffered_body: 4KiB", &both, "wants: { mode: observe }");
    for client in CLIENTS {
        for _ in 0..2 {
            let body = vec![b'x'; 20_000];
            let answer = put(&gateway, client, &body);
            assert_eq!(answer.status, 200, "{client} {}", answer.text());
            assert_eq!(answer.json()["body_sha256"], super::sha256(&body));
        }
    }
}

#[test]
fn a_panic_midway_costs_nothing() {
    let filters = "wants: { mode: observe }, wants: { how: panics, mode: observe }";
    let (gateway, _origin) = before_echo("buffered_body: 4KiB", filters);
    for client in CLIENTS {
        let body = vec![b'x'; 200_000];
        let answer = put(&gateway, client, &body);
        assert_eq!(answer.status, 200, "{client} {}", answer.text());
        assert_eq!(answer.json()["body_sha256"], super::sha256(&body));
    }
    until("it is logged", || {
        gateway.access_log().contains("filter_panicked")
    });
}

#[test]
fn a_look_that_is_given_up_costs_nothing() {
    let (tell, told) = mpsc::channel();
    let endpoint = origin::serve(move |_, mut stream| {
        origin::head(&mut stream);
        tell.send(String::new()).unwrap();
        tell.send(read_to(&mut stream, "0\r\n\r\n")).unwrap();
        stream.write_all(origin::empty(200).as_bytes()).unwrap();
    });
    let upstreams = format!("upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}");
    let filters = "wants: { how: shortly, mode: observe }, brackets: {}";
    let gateway = start("buffered_body: 4KiB", &upstreams, filters);
    let mut client = send(gateway.address(), &format!("{CHUNKED}4\r\nhalf\r\n"));
    told.recv_timeout(PATIENCE).unwrap();
    client.write_all(b"4\r\nrest\r\n0\r\n\r\n").unwrap();
    let came = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(came, "A\r\n[halfrest]\r\n0\r\n\r\n");
    let answer = read_to(&mut client, "\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(observed(&gateway, "wants"), "body_given_up");
}

#[test]
fn a_body_that_is_awaited_in_vain_is_awaited_once() {
    let filters = "wants: { mode: observe }, wants: { mode: observe }, wants: {}";
    let (gateway, _origin) = before_echo("body_deadline: 2s", filters);
    let began = Instant::now();
    let mut client = send(gateway.address(), &format!("{CHUNKED}4\r\nhalf\r\n"));
    let answer = read_to(&mut client, "body_timeout");
    let waited = began.elapsed();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert!(waited < Duration::from_millis(3500), "{waited:?}");
}

#[test]
fn an_upload_gives_its_memory_back_once_no_other_endpoint_can_get_it() {
    let filters = "wants: { mode: observe }";
    let (tell, told) = mpsc::channel();
    let endpoint = origin::serve(move |_, mut stream| {
        origin::head(&mut stream);
        read_to(&mut stream, "end");
        tell.send(()).unwrap();
        read_to(&mut stream, "0\r\n\r\n");
        stream.write_all(origin::empty(200).as_bytes()).unwrap();
    });
    let upstreams = format!("upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}");
    let gateway = start("buffered_body: 100KiB", &upstreams, filters);
    let mut client = send(gateway.address(), CHUNKED);
    let piece = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    for _ in 0..40 {
        client.write_all(piece.as_bytes()).unwrap();
    }
    client.write_all(b"3\r\nend\r\n").unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    until("the memory is free", || memory(&gateway) < 0.1);
    client.write_all(b"0\r\n\r\n").unwrap();
    let answer = read_to(&mut client, "\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_response_that_is_still_to_be_shown_counts() {
    let folder = tempfile::tempdir().unwrap();
    for (memory_for_all, rest) in [("1MiB", ""), ("4KiB", "body_memory_exhausted")] {
        let file = folder.path().join(memory_for_all);
        let filters = format!(
            "wants: {{ how: response, file: '{}', mode: observe }}, wants: {{ how: response, file: / }}",
            file.display()
        );
        let limits = format!("body_memory: {memory_for_all}, buffered_body: 4KiB");
        let (gateway, _origin) = before_echo(&limits, &filters);
        let answer = curl(&[&gateway.url("/bytes/3000")]);
        assert_eq!((answer.status, answer.body.len()), (200, 3000));
        if rest.is_empty() {
            assert!(memory(&gateway) >= 3000.0, "{}", memory(&gateway));
        }
        std::fs::write(&file, "").unwrap();
        until("the memory is free", || memory(&gateway) < 0.1);
        assert_eq!(observed(&gateway, "wants"), rest);
    }
}

#[test]
fn an_endpoint_is_done_with_a_response_that_is_still_to_be_shown() {
    let file = tempfile::tempdir().unwrap().path().join("go");
    let origin = echo();
    let upstreams = upstream(&origin).replace("] }", "], in_flight: { most: 1, queue: 0 } }");
    let file = file.display();
    let filters = format!("wants: {{ how: response, file: '{file}', mode: observe }}");
    let gateway = start("", &upstreams, &filters);
    for version in CLIENTS {
        for path in ["/", "/?stream=3&every=0ms"] {
            let answer = curl(&[version, &gateway.url(path)]);
            assert_eq!(answer.status, 200, "{version} {path} {}", answer.text());
        }
    }
    assert_eq!(gateway.access_log(), "", "none has been shown");
}

#[test]
fn who_puts_another_body_in_its_place_refuses_it_as_ever() {
    let puts = "wants: { how: puts }";
    let observed = format!("wants: {{ mode: observe }}, {puts}");
    for filters in [puts, &observed] {
        let (gateway, _origin) = before_echo("buffered_body: 4KiB", filters);
        for client in CLIENTS {
            for (length, status) in [(100, 200), (4097, 413), (8000, 413), (200_000, 413)] {
                let answer = put(&gateway, client, &vec![b'x'; length]);
                assert_eq!(answer.status, status, "{filters} {client} {length}");
                if status == 200 {
                    assert_eq!(answer.json()["body"], "put");
                }
            }
        }
    }
}

#[test]
fn a_body_is_sent_where_requests_are_hedged() {
    let origin = echo();
    let upstreams = upstream(&origin).replace("] }", "], hedge: { after: 10s } }");
    for filters in [
        "wants: { mode: observe }",
        "wants: { mode: observe }, brackets: {}",
    ] {
        let gateway = start("", &upstreams, filters);
        for client in CLIENTS {
            let saw = put(&gateway, client, b"body").json();
            let sent = saw["body"].as_str().unwrap_or("");
            assert_eq!(sent.trim_matches(['[', ']']), "body", "{filters} {client}");
        }
    }
}

#[test]
fn a_client_that_leaves_midway_takes_its_request_along() {
    let (tell, told) = mpsc::channel();
    let endpoint = origin::serve(move |_, mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        origin::head(&mut stream);
        tell.send(read_to(&mut stream, "0\r\n\r\n")).unwrap();
    });
    let upstreams = format!("upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}");
    let gateway = start(
        "buffered_body: 4KiB",
        &upstreams,
        "wants: { mode: observe }",
    );
    // While it is looked at, and once it has gone on.
    for pieces in [2, 8] {
        let piece = format!("400\r\n{}\r\n", "x".repeat(0x400));
        let begun = CHUNKED.to_owned() + &piece.repeat(pieces);
        drop(send(gateway.address(), &begun));
        let came = told.recv_timeout(PATIENCE).unwrap();
        assert!(!came.contains("0\r\n\r\n"), "{came}");

        until("the memory is free", || memory(&gateway) < 0.1);
        let mut client = wire::Client::open(gateway.address());
        let post = wire::post("/");
        client.write(&wire::headers(1, wire::END_HEADERS, &post));
        let piece = wire::frame(wire::DATA, 0, 1, &[b'x'; 0x400]);
        client.write(&piece.repeat(pieces));
        until("some of it is read", || memory(&gateway) > 0.0);
        let reset = wire::NO_ERROR.to_be_bytes();
        client.write(&wire::frame(wire::RST_STREAM, 0, 1, &reset));
    }
    until("all are logged", || {
        gateway.access_log().lines().count() == 4
    });
    let rest: Vec<_> = told.try_iter().collect();
    assert!(!rest.concat().contains("0\r\n\r\n"), "{rest:?}");
    until("the memory is free", || memory(&gateway) < 0.1);
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told_once() {
    let (gateway, _origin) = before_echo(
        "buffered_body: 4KiB",
        "wants: { mode: observe }, wants: { mode: observe }",
    );
    let head = CHUNKED.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    let mut client = send(gateway.address(), &head);
    let interim = read_to(&mut client, "\r\n\r\n");
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    let piece = format!("400\r\n{}\r\n", "x".repeat(0x400));
    client
        .write_all((piece.repeat(8) + "0\r\n\r\n").as_bytes())
        .unwrap();
    let head = read_to(&mut client, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn what_it_conceals_is_concealed_though_another_one_refuses_what_it_reads() {
    let filters = "body_limit: 1KiB, wants: { mode: observe }";
    let (gateway, _origin) = before_echo("buffered_body: 4KiB", filters);
    assert_eq!(put(&gateway, CLIENTS[0], &[b'x'; 2000]).status, 413);
    until("it is logged", || {
        gateway
            .access_log()
            .contains("\"refused_by\":\"body_limit\"")
    });
    let log = gateway.access_log();
    assert!(log.contains("\"/concealed\""), "{log}");
}
