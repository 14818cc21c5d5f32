//! Heads, before and after.

use super::*;

#[test]
fn fields_for_this_hop_are_taken_out() {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    head.append_header("Connection", "close, X-Own").unwrap();
    head.append_header("Connection", "x-other,,Upgrade")
        .unwrap();
    for name in ["X-Own", "X-Other", "X-Third"] {
        head.insert_header(name, "1").unwrap();
    }
    assert!(settle_connection(&mut head).is_ok());
    assert!(!head.headers.contains_key("x-own") && !head.headers.contains_key("x-other"));
    assert_eq!(head.headers["x-third"], "1");
    assert_eq!(head.headers["connection"], "close, Upgrade");

    for wrong in ["host", "Content-Length", "transfer-encoding, close", "a b"] {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("Connection", wrong).unwrap();
        let refused = settle_connection(&mut head).unwrap_err();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[test]
fn only_a_request_with_something_for_one_hop_is_searched_for_it() {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    head.insert_header("Host", "a.example.com").unwrap();
    head.insert_header("Authorization", "Bearer x").unwrap();
    assert_eq!(policy_for(&head), HttpUpstreamRequestPolicy::preserve());
    for name in [
        "Connection",
        "Upgrade",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "HTTP2-Settings",
    ] {
        let mut head = head.clone();
        head.insert_header(name, "x").unwrap();
        let standard = HttpUpstreamRequestPolicy::standard();
        assert_eq!(policy_for(&head), standard, "{name}");
        drop_for_one_hop(&mut head);
        assert_eq!(head.headers.len(), 2, "{name}");
    }
}

#[test]
fn a_response_loses_what_was_for_its_hop() {
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.append_header("Connection", "close, X-Own").unwrap();
    head.append_header("Connection", "content-length,,a b")
        .unwrap();
    for name in [
        "X-Own",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "X-Third",
    ] {
        head.insert_header(name, "1").unwrap();
    }
    head.insert_header("Content-Length", "0").unwrap();
    edit_response(&mut head, |head| settle_response(head, false));
    let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-length", "via", "x-third"]);

    let mut head = ResponseHeader::build(200, None).unwrap();
    head.insert_header("Trailer", "x-sum").unwrap();
    edit_response(&mut head, |head| settle_response(head, true));
    assert_eq!(head.headers["trailer"], "x-sum");
}

#[test]
fn a_switch_of_protocols_has_what_a_switch_has() {
    for connection in [&["upgrade, x-own, sec-websocket-accept"][..], &[]] {
        let mut head = ResponseHeader::build(101, None).unwrap();
        for value in connection {
            head.insert_header("Connection", *value).unwrap();
        }
        for (name, value) in [
            ("Upgrade", "websocket"),
            ("Keep-Alive", "5"),
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
        ] {
            head.insert_header(name, value).unwrap();
        }
        edit_response(&mut head, |head| settle_response(head, false));
        assert_eq!(head.headers["connection"], "Upgrade");
        assert_eq!(head.headers["upgrade"], "websocket");
        assert_eq!(head.headers.len(), 3, "{:?}", head.headers);
    }
}

#[test]
fn rfc9110_15_5_22_a_426_says_which_protocol_it_asks_for() {
    let settled = |status: u16, upgrade: &str| {
        let mut head = ResponseHeader::build(status, None).unwrap();
        head.insert_header("Connection", "upgrade").unwrap();
        head.insert_header("Upgrade", upgrade).unwrap();
        head.insert_header("Content-Length", "2").unwrap();
        edit_response(&mut head, |head| settle_response(head, false));
        assert_eq!(head.headers["content-length"], "2");
        let value = |name| {
            head.headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        (value("connection"), value("upgrade"))
    };
    let asked = (Some("Upgrade".to_owned()), Some("websocket".to_owned()));
    for upgrade in ["websocket", "WebSocket", "h2c, websocket"] {
        assert_eq!(settled(426, upgrade), asked, "{upgrade}");
    }
    // Nothing else would pass, and no other response needs it.
    for upgrade in ["h2c", "TLS/1.3", "websockets"] {
        assert_eq!(settled(426, upgrade), (None, None), "{upgrade}");
    }
    assert_eq!(settled(200, "websocket"), (None, None));
}

#[test]
fn a_body_leaves_no_room_for_another_protocol() {
    for (field, value, kept) in [
        ("content-length", "1", false),
        ("content-length", "0", true),
        ("transfer-encoding", "chunked", false),
        ("x-own", "1", true),
    ] {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("Upgrade", "websocket").unwrap();
        head.insert_header("Connection", "Upgrade").unwrap();
        head.insert_header(field, value).unwrap();
        assert!(settle_connection(&mut head).is_ok());
        assert_eq!(head.headers.contains_key("upgrade"), kept, "{field}");
    }
}

#[test]
fn an_upgrade_is_a_get_whose_connection_says_so() {
    for (method, connection, kept) in [
        ("GET", &["keep-alive, Upgrade"][..], true),
        ("GET", &["close", "upgrade"], true),
        ("GET", &["close"], false),
        ("GET", &["x-upgrade"], false),
        ("GET", &[], false),
        ("HEAD", &["upgrade"], false),
        ("POST", &["upgrade"], false),
    ] {
        let mut head = RequestHeader::build(method, b"/", None).unwrap();
        head.insert_header("Upgrade", "websocket").unwrap();
        for value in connection {
            head.append_header("Connection", *value).unwrap();
        }
        assert!(settle_connection(&mut head).is_ok());
        let what = format!("{method} {connection:?}");
        assert_eq!(head.headers.contains_key("upgrade"), kept, "{what}");
    }
}

#[test]
fn an_edited_request_says_the_same() {
    for target in ["/a?b=c", "*"] {
        let mut head = RequestHeader::build("OPTIONS", target.as_bytes(), None).unwrap();
        head.append_header("X-Own", "1").unwrap();
        head.set_version(Version::HTTP_2);
        head.set_send_end_stream(false);
        edit_request(&mut head, |head| {
            head.headers.append("x-own", HeaderValue::from(2))
        });
        assert_eq!(head.raw_path(), target.as_bytes());
        assert_eq!(head.method.as_str(), "OPTIONS");
        assert_eq!(head.version, Version::HTTP_2);
        assert_eq!(head.send_end_stream(), Some(false));
        let values: Vec<_> = head.headers.get_all("x-own").iter().collect();
        assert_eq!(values, ["1", "2"]);
    }
}

#[test]
fn a_reason_phrase_of_its_own_is_kept() {
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.set_reason_phrase(Some("Fine")).unwrap();
    edit_response(&mut head, |head| settle_response(head, false));
    assert_eq!(head.get_reason_phrase(), Some("Fine"));
    edit_response(&mut head, |head| head.status = StatusCode::ACCEPTED);
    assert_eq!(head.get_reason_phrase(), Some("Accepted"));
    head.set_status(StatusCode::OK).unwrap();

    head.set_reason_phrase(None).unwrap();
    head.insert_header("X-Own", "1").unwrap();
    edit_response(&mut head, |head| settle_response(head, false));
    assert!(!head.has_case());
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-own"]),
        (200, &"1".parse().unwrap())
    );
}
