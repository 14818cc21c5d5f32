//! What endpoints and clients are told about the way of a message.

use std::net::SocketAddr;

use super::harness::{Gateway, curl, raw};
use super::origin::{Seen, empty};

const H2: &str = "--http2-prior-knowledge";

fn config(address: SocketAddr, more: &str) -> String {
    format!(
        "{more}\nupstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n"
    )
}

fn values<'a>(lines: &'a [String], name: &str) -> Vec<&'a str> {
    let fields = lines.iter().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| *field == name)
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn only_a_trusted_proxy_says_where_a_request_comes_from() {
    let (seen, address) = Seen::by(|_| empty(200));
    let sent = [
        "x-forwarded-for: 10.1.1.1",
        "x-forwarded-proto: https",
        "x-forwarded-port: 1",
        "x-forwarded-prefix: /a",
        "x-real-ip: 10.1.1.1",
        "forwarded: for=10.1.1.1",
    ];
    let ask = |gateway: &Gateway| {
        let url = gateway.url("/");
        let mut arguments = vec!["-H", "host: shop.example:81", url.as_str()];
        sent.iter()
            .for_each(|field| arguments.extend(["-H", *field]));
        assert_eq!(curl(&arguments).status, 200);
        seen.last()
    };
    let lines = ask(&Gateway::start(&config(address, "")));
    assert_eq!(values(&lines, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["shop.example:81"]);
    for gone in [
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-real-ip",
        "forwarded",
    ] {
        assert!(values(&lines, gone).is_empty(), "{gone}: {lines:?}");
    }
    let trusting = "{ trusted_proxies: [127.0.0.1] }";
    let lines = ask(&Gateway::start_with(&config(address, ""), trusting));
    assert_eq!(values(&lines, "x-forwarded-for"), ["10.1.1.1, 127.0.0.1"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&lines, "x-forwarded-port"), ["1"]);
    assert_eq!(values(&lines, "x-real-ip"), ["10.1.1.1"]);
    assert!(values(&lines, "forwarded").is_empty(), "{lines:?}");

    let trusting = "{ trusted_proxies: [127.0.0.1], trusted_fields: rfc7239 }";
    let lines = ask(&Gateway::start_with(&config(address, ""), trusting));
    assert_eq!(values(&lines, "x-forwarded-for"), ["10.1.1.1, 127.0.0.1"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
    assert!(values(&lines, "x-real-ip").is_empty(), "{lines:?}");
    assert_eq!(values(&lines, "forwarded"), ["for=10.1.1.1"]);

    let trusting = "{ trusted_proxies: [127.0.0.1], trusted_fields: x_forwarded_for }";
    let lines = ask(&Gateway::start_with(&config(address, ""), trusting));
    assert_eq!(values(&lines, "x-forwarded-for"), ["10.1.1.1, 127.0.0.1"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["shop.example:81"]);
}

#[test]
fn twins_with_underscores_are_believed_of_nobody() {
    let (seen, address) = Seen::by(|_| empty(200));
    let sent = [
        "x_forwarded_for: 10.1.1.1",
        "X_Forwarded-Proto: https",
        "x_real_ip: 10.1.1.1",
        "x_own: 1",
    ];
    let ask = |gateway: &Gateway, version: &str| {
        let url = gateway.url("/");
        let mut arguments = vec![version, url.as_str()];
        sent.iter()
            .for_each(|field| arguments.extend(["-H", *field]));
        assert_eq!(curl(&arguments).status, 200);
        seen.last()
    };
    let keep = config(address, "underscores_in_fields: keep");
    // A proxy sets the field of the true name, and passes on what its client has sent beside it.
    for listener in ["{}", "{ trusted_proxies: [127.0.0.1] }"] {
        let gateway = Gateway::start_with(&keep, listener);
        for version in ["--http1.1", H2] {
            let lines = ask(&gateway, version);
            for gone in ["x_forwarded_for", "x_forwarded-proto", "x_real_ip"] {
                assert!(values(&lines, gone).is_empty(), "{gone}: {lines:?}");
            }
            assert_eq!(values(&lines, "x_own"), ["1"]);
        }
    }
}

#[test]
fn forwarded_says_it_in_one_field() {
    let (seen, address) = Seen::by(|_| empty(200));
    let ours = "for=127.0.0.1;host=\"shop.example:81\";proto=http";
    let ask = |gateway: &Gateway| {
        let url = gateway.url("/");
        let theirs = "forwarded: for=\"[2001:db8::7]:80\";proto=https";
        curl(&["-H", "host: shop.example:81", "-H", theirs, &url]);
        seen.last()
    };
    let lines = ask(&Gateway::start(&config(address, "forwarded: rfc7239")));
    assert_eq!(values(&lines, "forwarded"), [ours]);
    assert!(values(&lines, "x-forwarded-for").is_empty());

    let trusting = "{ trusted_proxies: [127.0.0.1], trusted_fields: rfc7239 }";
    let gateway = Gateway::start_with(&config(address, "forwarded: both"), trusting);
    let lines = ask(&gateway);
    let both =
        "for=\"[2001:db8::7]:80\";proto=https, for=127.0.0.1;host=\"shop.example:81\";proto=https";
    assert_eq!(values(&lines, "forwarded"), [both]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["https"]);
    assert_eq!(gateway.access_log(1)[0]["client"], "2001:db8::7");
}

/// Whatever kind of field a proxy sets, endpoints learn of the client in the kind that they are told.
#[test]
fn what_is_told_in_one_kind_of_field_is_passed_on_in_the_other() {
    let (seen, address) = Seen::by(|_| empty(200));
    let ask = |sent: &str, fields: &str, theirs: &[&str]| {
        let trusting =
            format!("{{ trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], trusted_fields: {fields} }}");
        let options = format!("forwarded: {sent}");
        let gateway = Gateway::start_with(&config(address, &options), &trusting);
        let url = gateway.url("/");
        let mut arguments = vec!["-H", "host: a", url.as_str()];
        theirs
            .iter()
            .for_each(|field| arguments.extend(["-H", *field]));
        assert_eq!(curl(&arguments).status, 200);
        seen.last()
    };
    let ours = |scheme: &str| format!("for=127.0.0.1;host=\"a\";proto={scheme}");
    let element = "forwarded: for=\"[2001:db8::7]:80\";proto=https, for=10.0.0.2";
    for sent in ["x_forwarded", "both"] {
        let lines = ask(sent, "rfc7239", &[element, "x-forwarded-for: 192.0.2.9"]);
        assert_eq!(
            values(&lines, "x-forwarded-for"),
            ["2001:db8::7, 127.0.0.1"]
        );
        assert_eq!(values(&lines, "x-forwarded-proto"), ["https"]);
    }
    let told = [
        "x-forwarded-for: 2001:db8::7, 10.0.0.2",
        "x-forwarded-proto: https",
    ];
    for (sent, fields, scheme) in [
        ("rfc7239", "x_forwarded", "https"),
        ("both", "x_forwarded", "https"),
        ("rfc7239", "x_forwarded_for", "http"),
    ] {
        let lines = ask(
            sent,
            fields,
            &[told[0], told[1], "forwarded: for=192.0.2.9"],
        );
        let list = format!("for=\"[2001:db8::7]\";proto={scheme}, {}", ours(scheme));
        assert_eq!(values(&lines, "forwarded"), [list]);
        assert_eq!(
            values(&lines, "x-forwarded-for")[0]
                .matches("2001:db8::7")
                .count(),
            1
        );
    }
    // Where nothing was told, there is nothing to tell.
    let lines = ask("both", "rfc7239", &[]);
    assert_eq!(values(&lines, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&lines, "forwarded"), [ours("http")]);
}

#[test]
fn the_scheme_is_the_one_told_along_with_the_address() {
    let believing = |fields: &str| {
        Gateway::start_with(
            "routes: [{ name: all, filters: [respond: \"${client.address} ${request.scheme}\"] }]\n",
            &format!("{{ trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], trusted_fields: {fields} }}"),
        )
    };
    let (x_forwarded, rfc7239) = (believing("x_forwarded"), believing("rfc7239"));
    for (fields, told) in [
        (&["x-forwarded-proto: https"][..], "127.0.0.1 https"),
        (&["x-forwarded-proto: https, http"], "127.0.0.1 http"),
        (
            &[
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-proto: https, http",
            ],
            "192.0.2.1 http",
        ),
        (
            &[
                "x-forwarded-for: 192.0.2.1, 10.0.0.1",
                "x-forwarded-proto: http, https, http",
            ],
            "192.0.2.1 https",
        ),
        (
            &[
                "x-forwarded-for: 192.0.2.1, 10.0.0.1",
                "x-forwarded-proto: https",
            ],
            "192.0.2.1 https",
        ),
        (
            &["forwarded: for=10.9.9.9;proto=https, for=192.0.2.1;proto=http, for=10.0.0.1"],
            "192.0.2.1 http",
        ),
        (
            &["forwarded: for=192.0.2.1;proto=https, for=10.0.0.1;proto=http"],
            "192.0.2.1 https",
        ),
        (
            &["forwarded: for=192.0.2.1", "x-forwarded-proto: https"],
            "192.0.2.1 http",
        ),
    ] {
        let gateway = match fields[0].starts_with("forwarded") {
            true => &rfc7239,
            false => &x_forwarded,
        };
        let url = gateway.url("/");
        let mut arguments = vec![url.as_str()];
        fields
            .iter()
            .for_each(|field| arguments.extend(["-H", *field]));
        for version in ["--http1.1", H2] {
            let answer = curl(&[&arguments[..], &[version]].concat());
            assert_eq!(answer.text(), told, "{version} {fields:?}");
        }
    }
}

#[test]
fn via_is_added_both_ways() {
    let (seen, address) = Seen::by(|head| {
        let via = if head.contains("/more") {
            "via: 1.0 cache\r\n"
        } else {
            ""
        };
        format!("HTTP/1.1 200 OK\r\n{via}content-length: 0\r\n\r\n")
    });
    let gateway = Gateway::start(&config(address, ""));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.header("via"), "1.1 wiregate");
    assert_eq!(values(&seen.last(), "via"), ["1.1 wiregate"]);

    let answer = curl(&[H2, "-H", "via: 1.1 edge", &gateway.url("/more")]);
    assert_eq!(answer.header("via"), "1.0 cache, 1.1 wiregate");
    assert_eq!(values(&seen.last(), "via"), ["1.1 edge, 2 wiregate"]);

    let answer = raw(gateway.address(), b"GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(answer.contains("1.1 wiregate"), "{answer}");
    assert_eq!(values(&seen.last(), "via"), ["1.0 wiregate"]);
}

#[test]
fn a_request_that_goes_round_is_stopped() {
    let (_, address) = Seen::by(|_| empty(200));
    let gateway = Gateway::start(&config(address, ""));
    let to_itself = config(gateway.address(), "");
    gateway.reload(&to_itself);
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["type"], "urn:wiregate:proxy_loop_detected");
}

#[test]
fn max_forwards_is_counted_down_and_answered_at_its_end() {
    let (seen, address) = Seen::by(|_| empty(200));
    let gateway = Gateway::start(&config(address, ""));
    let ask = |method: &str, forwards: &str| {
        let field = format!("max-forwards: {forwards}");
        for client in ["--http1.1", H2] {
            let before = seen.count();
            let answer = curl(&[client, "-X", method, "-H", &field, &gateway.url("/")]);
            let went_on = seen.count() - before;
            if client == H2 {
                return (answer, went_on);
            }
        }
        unreachable!()
    };
    for method in ["OPTIONS", "TRACE"] {
        let (answer, went_on) = ask(method, "3");
        assert_eq!((answer.status, went_on), (200, 1), "{method}");
        assert_eq!(values(&seen.last(), "max-forwards"), ["2"], "{method}");
    }
    let (answer, went_on) = ask("OPTIONS", "0");
    assert_eq!((answer.status, went_on), (204, 0));
    assert!(answer.header("allow").contains("GET"), "{answer:?}");
    let (answer, went_on) = ask("TRACE", "0");
    assert_eq!((answer.status, went_on), (405, 0));
    assert!(!answer.header("allow").contains("TRACE"), "{answer:?}");
    let (answer, went_on) = ask("OPTIONS", "many");
    assert_eq!((answer.status, went_on), (400, 0));
    let (answer, went_on) = ask("GET", "0");
    assert_eq!((answer.status, went_on), (200, 1));
}

#[test]
fn each_field_for_one_hop_stays_on_it_without_the_others() {
    let (seen, address) = Seen::by(|_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned());
    let gateway = Gateway::start(&config(address, ""));
    for field in [
        "connection: close",
        "keep-alive: 5",
        "proxy-connection: keep-alive",
        "proxy-authenticate: Basic",
        "proxy-authorization: Basic YTpi",
        "te: trailers",
        "trailer: x-sum",
        "upgrade: h2c",
        "http2-settings: AA",
    ] {
        let request = format!("GET / HTTP/1.0\r\nhost: a\r\n{field}\r\nx-end: 1\r\n\r\n");
        raw(gateway.address(), request.as_bytes());
        let (name, lines) = (field.split_once(':').unwrap().0, seen.last());
        assert!(values(&lines, name).is_empty(), "{name}: {lines:?}");
        assert_eq!(values(&lines, "x-end"), ["1"]);
    }
}

#[test]
fn fields_for_one_hop_stay_on_it() {
    let (seen, address) = Seen::by(|_| {
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive, x-hop\r\n\
         keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nx-hop: 1\r\nx-end: 1\r\n\r\n"
            .to_owned()
    });
    let gateway = Gateway::start(&config(address, ""));
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-hop\r\nkeep-alive: 5\r\n\
                   proxy-connection: keep-alive\r\nte: trailers\r\nx-hop: 1\r\nx-end: 1\r\n\
                   upgrade: h2c\r\nhttp2-settings: AA\r\nproxy-authorization: Basic YTpi\r\n\r\n";
    let answer = raw(gateway.address(), request.as_bytes()).to_ascii_lowercase();
    let lines = seen.last();
    for gone in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "x-hop",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
    ] {
        assert!(values(&lines, gone).is_empty(), "{gone}: {lines:?}");
    }
    assert_eq!(values(&lines, "x-end"), ["1"]);
    assert!(answer.contains("x-end: 1"), "{answer}");
    for gone in ["x-hop", "timeout=5", "proxy-connection"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
}
