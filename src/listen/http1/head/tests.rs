//! Heads, good and bad.

use http::StatusCode;
use pingora_core::protocols::http::ServerSession;
use proptest::prelude::*;

use super::*;

/// A head, and how the body behind it is framed.
struct Read {
    head: RequestHeader,
    body: Body,
}

fn read(head: impl AsRef<[u8]>) -> Result<Read, Refused> {
    let Parsed { head, body } = parse(head.as_ref(), &mut |_| false)?;
    let head = head.unwrap();
    Ok(Read { head, body })
}

/// The status that a head is refused with; nothing where it is good.
fn status(head: &[u8]) -> Option<u16> {
    let mut looked_at = 0;
    let parsed = match end(head, &mut looked_at) {
        Ok(Some(end)) => read(&head[..end]),
        Ok(None) => panic!("no end: {}", head.escape_ascii()),
        Err(refused) => Err(refused),
    };
    parsed.err().map(|refused| refused.status.as_u16())
}

/// A request with these lines after its `host`.
fn with(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n").into_bytes()
}

#[test]
fn an_end_is_found_however_it_arrives() {
    let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /";
    for step in 1..head.len() {
        let (mut looked_at, mut found) = (0, None);
        for length in (step..=head.len()).step_by(step) {
            found = end(&head[..length], &mut looked_at).unwrap();
            if found.is_some() {
                break;
            }
        }
        assert!(found.is_none_or(|end| end == head.len() - 5), "{step}");
    }
    assert_eq!(end(b"\r", &mut 0), Ok(None));
    for bad in [
        &b"\n"[..],
        b"GET / HTTP/1.1\nhost",
        b" GET",
        b"\x16\x03\x01",
        b"\0",
    ] {
        let refused = end(bad, &mut 0).unwrap_err();
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{}",
            bad.escape_ascii()
        );
    }
}

#[test]
fn first_lines() {
    for (line, expected) in [
        ("GET / HTTP/1.1", None),
        ("GET / HTTP/1.0", None),
        ("G!T /?a=/?b HTTP/1.1", None),
        ("GET /\u{e9} HTTP/1.1", None),
        ("GET / HTTP/2.0", Some(505)),
        ("GET / HTTP/1.2", Some(505)),
        ("GET / HTTP/0.9", Some(505)),
        ("GET /", Some(400)),
        ("GET", Some(400)),
        ("GET / HTTP/1", Some(400)),
        ("GET / HTTP/11", Some(400)),
        ("GET / http/1.1", Some(400)),
        ("GET / HTTP/1.1 ", Some(400)),
        ("GET  / HTTP/1.1", Some(400)),
        ("GET /  HTTP/1.1", Some(400)),
        ("GET /a b HTTP/1.1", Some(400)),
        ("GET /a\tb HTTP/1.1", Some(400)),
        ("GET /a\0b HTTP/1.1", Some(400)),
        ("GET /a\x7fb HTTP/1.1", Some(400)),
        ("GET /a\rb HTTP/1.1", Some(400)),
        ("GET\t/ HTTP/1.1", Some(400)),
        ("G(T / HTTP/1.1", Some(400)),
        ("GET /a#b HTTP/1.1", Some(400)),
        ("GET a HTTP/1.1", Some(400)),
        ("GET ?a HTTP/1.1", Some(400)),
        ("GET * HTTP/1.1", Some(400)),
        ("OPTIONS * HTTP/1.1", None),
        ("GET ftp://a/ HTTP/1.1", Some(400)),
        ("GET http:a HTTP/1.1", Some(400)),
        ("GET http:///a HTTP/1.1", Some(400)),
        ("GET http://u@a/ HTTP/1.1", Some(400)),
        ("GET http://a\\b/ HTTP/1.1", Some(400)),
        ("GET http://b:80/a?b HTTP/1.1", None),
        ("CONNECT a:443 HTTP/1.1", None),
        ("CONNECT b:443 HTTP/1.1", Some(400)),
        ("CONNECT a HTTP/1.1", Some(400)),
        ("CONNECT / HTTP/1.1", Some(400)),
        ("CONNECT http://a:443/ HTTP/1.1", Some(400)),
    ] {
        let head = format!("{line}\r\nhost: a\r\n\r\n");
        assert_eq!(status(head.as_bytes()), expected, "{line}");
    }
    assert_eq!(status(b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n"), Some(400));
}

#[test]
fn fields() {
    for (lines, expected) in [
        ("a: b", None),
        ("a:", None),
        ("a:\tb \u{e9}", None),
        ("a : b", Some(400)),
        (" a: b", Some(400)),
        ("a: b\r\n c", Some(400)),
        ("a: b\r\n\tc", Some(400)),
        ("a", Some(400)),
        (": b", Some(400)),
        ("a: b\0c", Some(400)),
        ("a: b\x01c", Some(400)),
        ("a: b\rc", Some(400)),
        ("a: b\nc: d", Some(400)),
        ("a\0: b", Some(400)),
        ("host: a", Some(400)),
        ("HOST: b", Some(400)),
    ] {
        assert_eq!(status(&with(lines)), expected, "{lines:?}");
    }
    let many = |count: usize| with(&vec!["a: b"; count - 1].join("\r\n"));
    assert_eq!(status(&many(MOST_FIELDS)), None);
    assert_eq!(status(&many(MOST_FIELDS + 1)), Some(431));
}

#[test]
fn hosts() {
    let ask = |version: &str, lines: &str| {
        status(format!("GET / HTTP/{version}\r\n{lines}\r\n").as_bytes())
    };
    assert_eq!(ask("1.1", ""), Some(400));
    assert_eq!(ask("1.0", ""), None);
    for wrong in ["a b", "a/b", "a, b", "a@b", ":80", "a:b"] {
        for version in ["1.0", "1.1"] {
            assert_eq!(
                ask(version, &format!("host: {wrong}\r\n")),
                Some(400),
                "{wrong}"
            );
        }
    }
    for good in ["[::1]:80", "", "a:"] {
        assert_eq!(ask("1.1", &format!("host: {good}\r\n")), None, "{good}");
    }
}

#[test]
fn a_head_without_a_body_is_seen_before_anything_is_made_of_it() {
    let seen = |head: &str, known: bool| {
        let mut seen = None;
        let parsed = parse(head.as_bytes(), &mut |one| {
            let fields = one.fields.iter();
            let names: Vec<_> = fields.map(|field| field.name.to_owned()).collect();
            let host = one.host.map(<[u8]>::to_vec);
            let line = format!("{} {}", one.method, one.target);
            seen = Some((line, host, one.old, names));
            known
        });
        let is_known = parsed.unwrap().head.is_none();
        (seen, is_known)
    };
    let plain = "GET /a?b HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n";
    let names = vec!["Host".to_owned(), "X".to_owned()];
    let expected = ("GET /a?b".to_owned(), Some(b"h".to_vec()), false, names);
    assert_eq!(seen(plain, true), (Some(expected.clone()), true));
    assert_eq!(seen(plain, false), (Some(expected), false));
    // As it goes on, and not as it came.
    let (absolute, _) = seen("GET http://h HTTP/1.1\r\nhost: x\r\n\r\n", true);
    let (line, host, ..) = absolute.unwrap();
    assert_eq!((&*line, host.unwrap()), ("GET /", b"h".to_vec()));
    let (old, _) = seen("GET / HTTP/1.0\r\n\r\n", true);
    let (_, host, old, _) = old.unwrap();
    assert_eq!((host, old), (None, true));
    for unseen in [
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nhost: h\r\n\r\n",
    ] {
        assert_eq!(seen(unseen, true), (None, false), "{unseen}");
    }
}

#[test]
fn framings() {
    let length = |lines: &str| match read(with(lines)).unwrap().body {
        Body::Length(length) => length,
        other => panic!("{other:?}"),
    };
    assert_eq!(length("content-length: 5"), 5);
    assert_eq!(length("Content-Length: \t12 "), 12);
    assert!(matches!(
        read(with("content-length: 0")).unwrap().body,
        Body::Done
    ));
    assert!(matches!(read(with("a: b")).unwrap().body, Body::Done));
    for good in ["transfer-encoding: chunked", "Transfer-Encoding:  CHUNKED "] {
        assert!(
            matches!(read(with(good)).unwrap().body, Body::Chunked(_)),
            "{good}"
        );
    }
    for (lines, expected) in [
        ("content-length:", 400),
        ("content-length: -1", 400),
        ("content-length: +1", 400),
        ("content-length: 0x1", 400),
        ("content-length: 1 1", 400),
        ("content-length: 1, 1", 400),
        ("content-length: 1\r\ncontent-length: 1", 400),
        ("content-length: 1\r\nContent-Length: 2", 400),
        ("content-length: 010", 400),
        ("content-length: 00", 400),
        ("content-length: 9223372036854775808", 400),
        ("content-length: 1.0", 400),
        ("content_length: 1", 400),
        ("Transfer_Encoding: chunked", 400),
        ("transfer-encoding: chunked\r\ncontent-length: 1", 400),
        ("content-length: 1\r\ntransfer-encoding: chunked", 400),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            400,
        ),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", 400),
        ("transfer-encoding: chunked, chunked", 400),
        ("transfer-encoding: chunked, gzip", 400),
        ("transfer-encoding: identity", 400),
        ("transfer-encoding: xchunked", 400),
        ("transfer-encoding:", 400),
        ("transfer-encoding: , chunked", 400),
        ("transfer-encoding: \"chunked\"", 400),
        ("transfer-encoding: chunked;a=b", 400),
        ("transfer-encoding: \x0bchunked", 400),
        ("transfer-encoding: gzip, chunked", 501),
        ("transfer-encoding: identity, chunked", 501),
    ] {
        assert_eq!(status(&with(lines)), Some(expected), "{lines:?}");
    }
    let old = b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(status(old), Some(400));
}

#[test]
fn absolute_form_becomes_origin_form() {
    for (line, host, expected) in [
        (
            "GET http://b/c?d HTTP/1.1",
            "host: a\r\n",
            "GET /c?d HTTP/1.1\r\nhost: b",
        ),
        (
            "GET HTTPS://B:1 HTTP/1.1",
            "host: a\r\n",
            "GET / HTTP/1.1\r\nhost: B:1",
        ),
        (
            "GET http://b?c=/ HTTP/1.0",
            "",
            "GET /?c=/ HTTP/1.0\r\nhost: b",
        ),
        (
            "OPTIONS http://b HTTP/1.1",
            "host: b\r\n",
            "OPTIONS * HTTP/1.1\r\nhost: b",
        ),
        (
            "OPTIONS http://b/ HTTP/1.1",
            "host: b\r\n",
            "OPTIONS / HTTP/1.1\r\nhost: b",
        ),
    ] {
        let head = format!("{line}\r\nx: 1\r\n{host}y:  2 \r\n\r\n");
        let found = read(head).unwrap().head;
        let expected = format!("{expected}\r\nx: 1\r\ny: 2\r\n\r\n");
        let expected = read(expected).unwrap().head;
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{line}");
    }
}

/// Pieces of heads that are good, or nearly so.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "GET ",
        "POST ",
        "OPTIONS ",
        "CONNECT ",
        "/",
        "*",
        "http://b",
        "//",
        "a:1",
        "?",
        "%",
        "\\",
        "\"<>{|}",
        "\u{e9}",
        "[::1]",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "host: a\r\n",
        "Host: a:1\r\n",
        "x: ",
        "\r\n",
        "content-length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "connection: upgrade\r\n",
        "é: ",
        "\t",
        " ",
        "upgrade: websocket\r\n",
        "expect: 100-continue\r\n",
        "\r",
        "\0",
        "@",
        ",",
        ";",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 1..12)
        .prop_map(|words| words.concat())
}

proptest! {
    /// Whatever goes on is what Pingora would have read, field by field.
    #[test]
    fn what_goes_on_is_read_as_pingora_reads_it(text in pieces()) {
        for head in [format!("{text}\r\n\r\n"), format!("GET /{text}\r\nhost: a\r\n\r\n"),
                     format!("GET / HTTP/1.1\r\nhost: a\r\n{text}\r\n\r\n")] {
            let Ok(Some(end)) = end(head.as_bytes(), &mut 0) else { continue };
            let Ok(parsed) = read(&head.as_bytes()[..end]) else { continue };
            if head.contains("://") {
                continue; // Pingora keeps the absolute form
            }
            let text = std::io::Cursor::new(head.as_bytes()[..end].to_vec());
            let mut session = ServerSession::new_http1(Box::new(text));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(session.read_request());
            prop_assert!(matches!(read, Ok(true)), "{:?} {:?}", head, read);
            let (ours, theirs) = (&parsed.head, session.req_header());
            prop_assert_eq!(&ours.method, &theirs.method);
            prop_assert_eq!(&ours.uri, &theirs.uri);
            prop_assert_eq!(ours.raw_path(), theirs.raw_path());
            prop_assert_eq!(ours.version, theirs.version);
            prop_assert_eq!(&ours.headers, &theirs.headers);
        }
    }
}
