//! What is stored, and for how long (RFC 9111, 3 and 4.2; RFC 9213).

use super::super::harness::until;
use super::*;

/// Whether a response with these fields is used again.
fn is_reused(gateway: &Gateway, origin: &Origin, number: usize, fields: &str) -> bool {
    let path = format!("/{number}");
    origin.says(&path, fields);
    get(gateway, &path, &[]);
    told(&get(gateway, &path, &[])).1
}

#[test]
fn rfc9111_3_and_rfc9213_terms_of_responses() {
    let origin = Origin::start();
    let gateway = origin.cached("{}");
    let cases = [
        ("cache-control: max-age=60", true),
        ("cache-control: s-maxage=60, max-age=0", true),
        ("cache-control: max-age=60, s-maxage=0", false),
        ("cache-control: no-store, max-age=60", false),
        ("cache-control: private, max-age=60", false),
        ("cache-control: private=\"x\", max-age=60", false),
        ("cache-control: no-cache=\"x\", max-age=60", false),
        ("cache-control: max-age=60, must-revalidate", true),
        ("cache-control: max-age=60, no-store, must-understand", true),
        ("expires: Sun, 06 Nov 2050 08:49:37 GMT", true),
        ("expires: 0", false),
        ("last-modified: Sun, 06 Nov 1994 08:49:37 GMT", true),
        ("x-nothing: 1", false),
        (
            "cdn-cache-control: max-age=60 | cache-control: no-store",
            true,
        ),
        (
            "wiregate-cache-control: no-store | cdn-cache-control: max-age=60",
            false,
        ),
        (
            "cdn-cache-control: max-age=60, &&& | cache-control: no-store",
            false,
        ),
        (
            "cache-control: extension=\"max-age=3600\", max-age=0",
            false,
        ),
        ("cache-control: max-age=60 | set-cookie: a=b", false),
    ];
    for (number, (fields, reused)) in cases.into_iter().enumerate() {
        assert_eq!(
            is_reused(&gateway, &origin, number, fields),
            reused,
            "{fields}"
        );
    }
}

#[test]
fn a_ttl_holds_by_status_and_with_force_whatever_a_response_says() {
    let origin = Origin::start();
    let gateway = origin.cached("{ ttl: { 200: 60s, 4xx: 60s }, force: true }");
    assert!(is_reused(&gateway, &origin, 1, "cache-control: no-store"));
    origin.answers_with("/403", 403, "", "no");
    get(&gateway, "/403", &[]);
    assert!(told(&get(&gateway, "/403", &[])).1);
    origin.answers_with("/500", 500, "cache-control: max-age=60", "no");
    get(&gateway, "/500", &[]);
    assert!(!told(&get(&gateway, "/500", &[])).1);
}

#[test]
fn rfc9111_3_1_fields_for_one_hop_are_not_stored() {
    let origin = Origin::start();
    origin.says(
        "/a",
        "cache-control: max-age=60 | connection: a, b | a: 1 | b: 2 | c: 3 | proxy-authenticate: x | keep-alive: 5",
    );
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    let second = get(&gateway, "/a", &[]);
    assert!(told(&second).1);
    for gone in ["a", "b", "proxy-authenticate", "keep-alive"] {
        assert_eq!(second.header(gone), "", "{gone}");
    }
    assert_eq!(second.header("c"), "3");
}

#[test]
fn rfc9111_3_3_a_body_that_breaks_off_is_not_stored() {
    let address = origin::serve(|number, mut stream| {
        while origin::head(&mut stream).is_some() {
            let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";
            let body = if number == 0 { "01234" } else { "0123456789" };
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .unwrap();
            if number == 0 {
                return; // half-way
            }
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    ));
    let broken = get(&gateway, "/a", &[]);
    assert!(broken.body.len() < 10);
    let whole = get(&gateway, "/a", &[]);
    assert_eq!((&*whole.text(), told(&whole).1), ("0123456789", false));
    assert!(told(&get(&gateway, "/a", &[])).1);
}

#[test]
fn bodies_in_chunks_are_stored_and_large_ones_pass_whole() {
    let chunked = |size: usize| {
        let piece = "x".repeat(1000);
        let mut body = String::new();
        for _ in 0..size / 1000 {
            body.push_str(&format!("3e8\r\n{piece}\r\n"));
        }
        format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n"
        )
    };
    let address = origin::answers(move |head| match head.contains("/large") {
        true => chunked(600_000),
        false => chunked(100_000),
    });
    let gateway = Gateway::start(&format!(
        "caches: {{ small: {{ memory: 4MiB, largest: 256KiB }} }}\n\
         upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache: {{ store: small }}], upstream: app }}]\n"
    ));
    assert_eq!(get(&gateway, "/a", &[]).body.len(), 100_000);
    let stored = get(&gateway, "/a", &[]);
    assert_eq!((stored.body.len(), told(&stored).1), (100_000, true));
    for _ in 0..3 {
        let large = get(&gateway, "/large", &[]);
        assert_eq!((large.body.len(), told(&large).1), (600_000, false));
    }
}

/// An origin whose responses, of six bytes, are not stored for this reason, and that knows ranges.
fn unstored(fields: &'static str) -> (super::super::origin::Seen, SocketAddr) {
    super::super::origin::Seen::by(move |head| {
        let head = head.to_ascii_lowercase();
        let (status, more, body) = match head.contains("range: bytes=2-3") {
            true => (206, "content-range: bytes 2-3/6\r\n", "cd"),
            false => (200, "", "abcdef"),
        };
        format!(
            "HTTP/1.1 {status} Said\r\n{fields}\r\netag: \"a\"\r\n{more}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    })
}

fn before(address: SocketAddr, caches: &str, options: &str) -> Gateway {
    Gateway::start(&format!(
        "{caches}upstreams: {{ app: {{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {options}], upstream: app }}]\n"
    ))
}

#[test]
fn rfc9110_13_and_14_conditions_and_ranges_of_what_is_not_stored_hold() {
    let small = "caches: { default: { memory: 1MiB, largest: 5B } }\n";
    for (fields, caches, why) in [
        ("cache-control: no-store", "", "no-store"),
        ("cache-control: max-age=60, private", "", "private"),
        ("cache-control: max-age=60", small, "too-large"),
    ] {
        let (seen, address) = unstored(fields);
        // None is remembered, so that each request is the one that asks for all.
        let gateway = before(address, caches, "{ remember: 1ms }");
        let part = get(&gateway, "/a", &["range: bytes=2-3"]);
        assert_eq!((part.status, &*part.text()), (206, "cd"), "{why}");
        assert_eq!(part.header("content-range"), "bytes 2-3/6", "{why}");
        assert!(did(&part).contains(why), "{}", did(&part));
        assert!(seen.last().contains(&"range: bytes=2-3".to_owned()));
        let unlike = get(&gateway, "/b", &["range: bytes=2-3", "if-range: \"b\""]);
        assert_eq!((unlike.status, &*unlike.text()), (200, "abcdef"), "{why}");
        let same = get(&gateway, "/c", &["if-none-match: W/\"a\""]);
        assert_eq!((same.status, same.body.len()), (304, 0), "{why}");
        assert_eq!(same.header("etag"), "\"a\"", "{why}");
        let other = get(&gateway, "/d", &["if-none-match: \"b\""]);
        assert_eq!((other.status, &*other.text()), (200, "abcdef"), "{why}");
        // Connections go on being used.
        assert_eq!(get(&gateway, "/e", &[]).text(), "abcdef", "{why}");
    }
}

#[test]
fn nobody_gives_a_fetch_a_deadline() {
    let (_, address) = unstored("cache-control: max-age=60");
    let gateway = before(address, "", "{}");
    // A nanosecond, as calls of gRPC have it, which are no GET.
    let hasty = ["content-type: application/grpc", "grpc-timeout: 1n"];
    let first = get(&gateway, "/a", &hasty);
    assert_eq!(first.status, 200);
    assert!(did(&first).contains("; stored"), "{}", did(&first));
}

#[test]
fn the_time_of_an_exchange_ends_a_hit_that_its_client_does_not_read() {
    let length = 8 << 20;
    let address = super::super::origin::answers(move |_| {
        let body = "x".repeat(length);
        format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"], timeouts: {{ total: 2s }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    ));
    until("it is stored", || {
        let answer = get(&gateway, "/a", &[]);
        told(&answer).1 && answer.body.len() == length
    });
    let before = gateway.access_log(1).len();
    let mut idle = std::net::TcpStream::connect(gateway.address()).unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let log = gateway.access_log(before + 1);
    let line = log.last().unwrap();
    assert!(line["duration_ms"].as_f64().unwrap() >= 2_000.0, "{line}");
    let sent = line["bytes_out"].as_u64().unwrap();
    assert!(sent < length as u64, "{line}");
}

#[test]
fn what_there_is_no_room_for_is_remembered() {
    let address = super::super::origin::serve(|_, mut stream| {
        while let Some(head) = super::super::origin::head(&mut stream) {
            // The first of these is promised half of the memory, and never comes to its end.
            let (length, sent) = match head.starts_with("GET /slow ") {
                true => (4 << 20, 1),
                false => (100_000, 100_000),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {length}\r\n\r\n"
            );
            let answer = head + &"x".repeat(sent);
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let gateway = Gateway::start(&format!(
        "caches: {{ small: {{ memory: 8MiB, largest: 4MiB }} }}\n\
         upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache: {{ store: small }}], upstream: app }}]\n"
    ));
    let mut slow = std::net::TcpStream::connect(gateway.address()).unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    std::io::Read::read_exact(&mut slow, &mut [0]).unwrap();
    let ask = || get(&gateway, "/a", &[]);
    assert!(did(&ask()).contains("detail=refused"), "{}", did(&ask()));
    // Others go on by themselves, but for one now and then.
    until("somebody goes on at once", || {
        let answer = ask();
        assert_eq!((answer.body.len(), told(&answer).1), (100_000, false));
        !did(&answer).contains("refused")
    });
}

#[test]
fn what_a_fallback_answers_is_not_stored_and_what_is_stale_goes_before_it() {
    let (origin, sorry) = (Origin::start(), Origin::start());
    for path in ["/a", "/b"] {
        sorry.answers_with(
            path,
            200,
            "cache-control: max-age=60 | etag: \"a\"",
            "sorry",
        );
    }
    origin.says("/a", "cache-control: max-age=60");
    origin.says(
        "/b",
        "cache-control: max-age=0, stale-if-error=60 | etag: \"a\"",
    );
    // Nobody listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let configuration = |address: SocketAddr| {
        format!(
            "upstreams: {{ app: {{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }}, fallback: sorry }}, \
             sorry: {{ endpoints: [\"{}\"] }} }}\n\
             routes: [{{ name: all, filters: [cache: {{ remember: 1ms }}], upstream: app }}]\n",
            sorry.address
        )
    };
    let gateway = Gateway::start(&configuration(origin.address));
    assert_eq!(get(&gateway, "/b", &[]).text(), "answer 1");

    gateway.reload(&configuration(nobody));
    for _ in 0..2 {
        let answer = get(&gateway, "/a", &[]);
        assert_eq!(answer.text(), "sorry");
        assert!(
            did(&answer).ends_with("; detail=fallback"),
            "{}",
            did(&answer)
        );
    }
    assert_eq!(get(&gateway, "/b", &[]).text(), "answer 1");
    assert_eq!(sorry.count(), 2);

    gateway.reload(&configuration(origin.address));
    assert_eq!(get(&gateway, "/a", &[]).text(), "answer 2");
}
