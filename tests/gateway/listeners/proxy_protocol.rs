//! The PROXY protocol, versions 1 and 2.

use std::io::Write;

use super::super::harness::{Gateway, curl};
use super::pki::Authority;
use super::{REQUEST, WHO, ask, connect, is_closed, start, start_in};

const FROM: &str = "{ public: { bind: \"127.0.0.1:0\", proxy_protocol: { from: 127.0.0.1, \
                      timeout: 300ms } } }";
const VERSION2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the gateway says of a client that this header announces.
fn client(gateway: &Gateway, header: &[u8]) -> String {
    let mut stream = connect(gateway.address());
    stream.write_all(header).unwrap();
    let answer = ask(&mut stream);
    // The header comes once: what follows are requests.
    assert_eq!(ask(&mut stream).lines().last(), answer.lines().last());
    answer.lines().last().unwrap_or("").to_owned()
}

fn version2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [VERSION2, &[command, family], &length, body].concat()
}

#[test]
fn a_header_of_either_version_tells_the_client() {
    let gateway = start(FROM, WHO);
    let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
    let v6 = [
        &[0x20, 1, 0xd, 0xb8][..],
        &[0; 11],
        &[7],
        &[0; 16],
        &[0x12, 0x67, 0, 80],
    ]
    .concat();
    let with_more = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    for (header, who) in [
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n".to_vec(),
            "192.0.2.7 4711 http",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(),
            "2001:db8::7 4711 http",
        ),
        (version2(0x21, 0x11, &v4), "192.0.2.7 4711 http"),
        (version2(0x21, 0x21, &v6), "2001:db8::7 4711 http"),
        (version2(0x21, 0x11, &with_more), "192.0.2.7 4711 http"),
    ] {
        assert_eq!(client(&gateway, &header), who, "{header:?}");
    }
    // A load balancer that speaks for itself, or does not know: the address of the socket stays.
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), version2(0x20, 0x11, &v4)] {
        let who = client(&gateway, &header);
        assert!(
            who.starts_with("127.0.0.1 ") && who != "127.0.0.1 4711 http",
            "{who}"
        );
    }
    let answer = curl(&["--haproxy-protocol", &gateway.url("/")]);
    assert!(answer.text().starts_with("127.0.0.1 "), "{}", answer.text());
}

#[test]
fn a_header_that_is_missing_broken_or_late_is_refused() {
    let gateway = start(FROM, WHO);
    for wrong in [
        REQUEST,
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7",
        &version2(0x21, 0x11, &[1, 2, 3]),
        b"",
    ] {
        let mut stream = connect(gateway.address());
        stream.write_all(wrong).unwrap();
        assert!(is_closed(&stream), "{wrong:?}");
    }
    let refused = "wiregate_connections_refused_total{listener=\"public\",reason=\"proxy_header\"}";
    assert_eq!(gateway.metric(refused), 5.0);
    assert_eq!(curl(&["--haproxy-protocol", &gateway.url("/")]).status, 200);
}

#[test]
fn nobody_else_may_say_who_the_client_is() {
    let listeners = "{ public: { bind: \"127.0.0.1:0\", proxy_protocol: { from: 10.0.0.0/8 } }, \
                       plain: { bind: \"127.0.0.1:0\" } }";
    let gateway = start(listeners, WHO);
    for bytes in [REQUEST, b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n"] {
        let mut stream = connect(gateway.address());
        let _ = stream.write_all(bytes); // it may be closed already
        assert!(is_closed(&stream));
    }
    let refused = "wiregate_connections_refused_total{listener=\"public\",reason=\"proxy_source\"}";
    assert_eq!(gateway.metric(refused), 2.0);
    // Where none is configured, a header is no request.
    let mut plain = connect(gateway.listener("plain"));
    plain
        .write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n")
        .unwrap();
    assert!(ask(&mut plain).starts_with("HTTP/1.1 400"));
}

#[test]
fn caps_and_trust_hold_for_the_client_that_the_header_names() {
    let gateway = start(
        "{ public: { bind: \"127.0.0.1:0\", proxy_protocol: { from: 127.0.0.1 }, \
           max_connections_per_client: 1, trusted_proxies: [198.51.100.0/24] } }",
        WHO,
    );
    let announce = |client: &str| {
        let mut stream = connect(gateway.address());
        let header = format!("PROXY TCP4 {client} 10.0.0.1 4711 80\r\n");
        stream.write_all(header.as_bytes()).unwrap();
        stream
    };
    let mut first = announce("192.0.2.7");
    assert!(ask(&mut first).contains("192.0.2.7"));
    assert!(is_closed(&announce("192.0.2.7")));
    assert!(ask(&mut announce("192.0.2.8")).contains("192.0.2.8"));
    let mut proxy = announce("198.51.100.1");
    let request =
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.9\r\nconnection: close\r\n\r\n";
    proxy.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut proxy, &mut answer).unwrap();
    assert!(answer.contains("203.0.113.9 "), "{answer}");
}

#[test]
fn the_header_comes_before_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    authority.save(folder.path(), "ca.pem");
    authority.issue(folder.path(), "a", &["localhost"]);
    let gateway = start_in(
        folder,
        "{ public: { bind: \"127.0.0.1:0\", proxy_protocol: { from: 127.0.0.1 }, \
           tls: { certificates: { certificate: a.pem, key: a.key } } } }",
        WHO,
    );
    let (ca, port) = (gateway.file("ca.pem"), gateway.address().port());
    let ca = ca.to_str().unwrap();
    let url = format!("https://localhost:{port}/");
    let answer = curl(&["-4", "--cacert", ca, "--haproxy-protocol", &url]);
    assert!(answer.text().ends_with(" https"), "{}", answer.text());
    assert_eq!(curl(&["-4", "--cacert", ca, &url]).status, 0);
}
