use http::HeaderValue;

use super::*;

/// The fields, and the address and the scheme that they tell.
type Case<'a> = (&'a [(&'static str, &'a [u8])], &'a str, &'a str);

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";

fn head(fields: &[(&'static str, &[u8])]) -> RequestHeader {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value).unwrap();
        head.append_header(*name, value).unwrap();
    }
    head
}

/// What proxies say that set the first of these fields.
fn told_by(fields: &[(&'static str, &[u8])]) -> Result<Told, Unclear> {
    let by = match fields.first() {
        Some(("forwarded", _)) => TrustedFields::Rfc7239,
        _ => TrustedFields::XForwarded,
    };
    told_in(by, fields)
}

fn told_in(by: TrustedFields, fields: &[(&'static str, &[u8])]) -> Result<Told, Unclear> {
    let trusted = ["10.0.0.0/8", "127.0.0.0/8", "2001:db8::/32"];
    let trusted = trusted.map(|cidr| cidr.parse().unwrap());
    told(&trusted.into_iter().collect(), by, &head(fields))
}

fn check(cases: &[Case<'_>]) {
    for (fields, address, scheme) in cases {
        let told = told_by(fields).unwrap_or_else(|why| panic!("{why:?}: {fields:?}"));
        let expected = (!address.is_empty()).then(|| address.parse().unwrap());
        assert_eq!(told.address, expected, "{fields:?}");
        assert_eq!(told.scheme.unwrap_or(""), *scheme, "{fields:?}");
    }
}

#[test]
fn the_client_is_the_last_one_that_is_not_trusted() {
    check(&[
        (&[], "", ""),
        (&[(FOR, b"1.1.1.1, 2.2.2.2, 10.0.0.1")], "2.2.2.2", ""),
        (&[(FOR, b"10.0.0.2"), (FOR, b"10.0.0.1")], "10.0.0.2", ""),
        (&[(FOR, b"2.2.2.2"), (FOR, b"10.0.0.1")], "2.2.2.2", ""),
        (&[(FOR, b"203.0.113.9:5555")], "203.0.113.9", ""),
        (&[(FOR, b"\xe9, 203.0.113.9")], "203.0.113.9", ""),
        (&[(FOR, b"\xe9"), (FOR, b"203.0.113.9")], "203.0.113.9", ""),
        (&[(FOR, b"what, 203.0.113.9,10.0.0.1")], "203.0.113.9", ""),
        (&[(FOR, b"[2001:db9::1]:99")], "2001:db9::1", ""),
        (&[(FOR, b"[2001:db9::1]")], "2001:db9::1", ""),
        (
            &[(FOR, b"2001:db9::1, [2001:db8::1]:99")],
            "2001:db9::1",
            "",
        ),
        (&[(FOR, b"203.0.113.9,"), (FOR, b" , ,")], "203.0.113.9", ""),
        (&[(FOR, b"203.0.113.9, ::ffff:10.0.0.1")], "203.0.113.9", ""),
        (&[(FOR, b"::ffff:203.0.113.9")], "203.0.113.9", ""),
        (
            &[(FOR, b"4.4.4.4"), ("forwarded", b"for=1.1.1.1;proto=https")],
            "4.4.4.4",
            "",
        ),
    ]);
}

#[test]
fn forwarded_is_read_from_its_end() {
    let forwarded = |value: &'static [u8], address: &str, scheme: &str| {
        check(&[(&[("forwarded", value)], address, scheme)]);
    };
    forwarded(
        b"for=1.1.1.1, for=\"[2001:db8::1]:99\";proto=https",
        "1.1.1.1",
        "",
    );
    forwarded(
        b"proto=https;for=1.1.1.1, for=\"10.0.0.1:_x\";proto=http",
        "1.1.1.1",
        "https",
    );
    forwarded(
        b"for=3.3.3.3;by=\"a,b\", For=2.2.2.2:80;;PROTO=\"HTTPS\"",
        "2.2.2.2",
        "https",
    );
    forwarded(
        b"for=3.3.3.3;proto=https, host=\"a\\\",for=1.1.1.1,\\\\\";for=2.2.2.2",
        "2.2.2.2",
        "",
    );
    // What a client wrote in front, an open quote included, cannot take in what follows.
    for before in ["\"", "for=\"", "for=10.0.0.1;by=\"\\", "\\", "=;=", "for"] {
        for ours in [
            "for=2.2.2.2;host=\"a\"",
            "for=\"2.2.2.2\"",
            "host=\"\\\"\";for=2.2.2.2",
        ] {
            let value = format!("{before}, {ours}");
            check(&[(&[("forwarded", value.as_bytes())], "2.2.2.2", "")]);
        }
    }
}

#[test]
fn the_scheme_stands_where_the_address_does() {
    check(&[
        (&[(PROTO, b"https")], "", "https"),
        (&[(PROTO, b"https, http")], "", "http"),
        (&[(PROTO, b"wss")], "", ""),
        (
            &[(FOR, b"1.1.1.1"), (PROTO, b"http, HTTPS")],
            "1.1.1.1",
            "https",
        ),
        (
            &[
                (FOR, b"1.1.1.1, 10.0.0.1"),
                (PROTO, b"http, https"),
                (PROTO, b"http"),
            ],
            "1.1.1.1",
            "https",
        ),
        (
            &[(FOR, b"1.1.1.1, 10.0.0.1, 10.0.0.2"), (PROTO, b"https")],
            "1.1.1.1",
            "https",
        ),
        (
            &[("forwarded", b"for=1.1.1.1"), (PROTO, b"https")],
            "1.1.1.1",
            "",
        ),
    ]);
}

#[test]
fn what_proxies_do_not_set_is_not_believed() {
    use TrustedFields::{Rfc7239, XForwarded, XForwardedFor};
    let all: [(&'static str, &[u8]); 3] = [
        (FOR, b"1.1.1.1"),
        (PROTO, b"https"),
        ("forwarded", b"for=2.2.2.2;proto=http"),
    ];
    let address = |text: &str| Some(text.parse().unwrap());
    for (by, expected) in [
        (XForwarded, (address("1.1.1.1"), Some("https"))),
        (XForwardedFor, (address("1.1.1.1"), None)),
        (Rfc7239, (address("2.2.2.2"), Some("http"))),
    ] {
        let told = told_in(by, &all).unwrap();
        assert_eq!((told.address, told.scheme), expected, "{by:?}");
    }
    // Who sets none of them says nothing, whatever the client says in others.
    assert_eq!(told_in(Rfc7239, &all[..2]).unwrap(), Told::default());
    assert_eq!(told_in(XForwarded, &all[2..]).unwrap(), Told::default());
    for (by, left) in [
        (
            XForwarded,
            &["x-forwarded-for", "x-forwarded-host", "x-real-ip"][..],
        ),
        (XForwardedFor, &["x-forwarded-for"]),
        (Rfc7239, &["forwarded"]),
    ] {
        let mut head = head(&[
            (FOR, b"1.1.1.1"),
            ("x-forwarded-host", b"a"),
            ("x-real-ip", b"1.1.1.1"),
            ("forwarded", b"for=1.1.1.1"),
            ("x_forwarded_for", b"1.1.1.1"),
        ]);
        distrust(&mut head, |name| is_set_by(by, name));
        let names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, left, "{by:?}");
    }
}

#[test]
fn a_hop_that_cannot_be_read_is_never_another_address() {
    for list in [
        &b""[..],
        b",",
        b"unknown",
        b"_hidden",
        b"\xe9",
        b"203.0.113.9, what, 10.0.0.1",
        b"203.0.113.9, \xe9",
        b"203.0.113.9:",
        b"203.0.113.9:65536",
        b"203.0.113.9:+1",
        b"203.0.113.9:_",
        b"203.0.113.9 10.0.0.1",
        b"203.0.113.09",
        b"[203.0.113.9]",
        b"[2001:db9::1",
        b"[2001:db9::1]99",
        b"[2001:db9::1]:",
        b"fe80::1%eth0",
        b"\"203.0.113.9\"",
    ] {
        let other: (&str, &[u8]) = ("forwarded", b"for=10.6.6.6");
        let told = told_by(&[(FOR, list), other]);
        assert_eq!(told, Err(Unclear::Hop(FOR)), "{}", list.escape_ascii());
    }
    for list in [
        &b""[..],
        b"for=unknown",
        b"for=_hidden",
        b"for=1.1.1.1, for=_hidden, for=10.1.1.1",
        b"for=10.6.6.6, proto=https",
        b"for=10.6.6.6, for",
        b"for=10.6.6.6;for=203.0.113.9",
        b"for=203.0.113.9;proto=http;proto=https",
        b"for=\"203.0.113.9",
        b"for=20\"3.0.113.9",
        b"for=\xe9",
        b"for =10.6.6.6",
        b"for=",
    ] {
        let told = told_by(&[("forwarded", list)]);
        let expected = Err(Unclear::Hop("forwarded"));
        assert_eq!(told, expected, "{}", list.escape_ascii());
    }
}

#[test]
fn more_trusted_proxies_than_are_looked_at_tell_nothing() {
    let list = |hops: usize| format!("203.0.113.9, {}", vec!["10.0.0.1"; hops].join(","));
    let told = told_by(&[(FOR, list(31).as_bytes())]).unwrap();
    assert_eq!(told.address, "203.0.113.9".parse().ok());
    let told = told_by(&[(FOR, list(32).as_bytes())]);
    assert_eq!(told, Err(Unclear::Many));
}

#[test]
fn what_a_client_says_of_its_way_is_taken_out() {
    let mut head = head(&[
        ("x-forwarded-for", b"1.1.1.1"),
        ("x-forwarded-prefix", b"/a"),
        ("x-real-ip", b"1.1.1.1"),
        ("forwarded", b"for=1.1.1.1"),
        ("x_forwarded_for", b"1.1.1.1"),
        ("x-forwarded_proto", b"https"),
        ("x_real_ip", b"1.1.1.1"),
        ("x-own", b"1"),
        ("x_own", b"1"),
    ]);
    distrust(&mut head, |_| false);
    assert_eq!(head.headers.len(), 2);
    assert_eq!(head.headers["x-own"], "1");
    assert_eq!(head.headers["x_own"], "1");
}
