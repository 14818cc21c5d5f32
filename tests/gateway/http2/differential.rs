//! Requests that are a little wrong: each is reset, or means one thing to an origin that speaks
//! HTTP/1.1.

use super::super::http1::gateway;
use super::super::http1::origin::{CUT, Got, Origin, Request};
use super::wire::*;

const CASES: usize = 1500;

/// A request, and what becomes of it.
struct Case {
    block: Vec<u8>,
    body: Vec<u8>,
    /// What the origin may see as the target; `None` where the request has to be refused.
    meant: Option<&'static str>,
}

const HOSTS: [(&str, bool); 21] = [
    ("a", true),
    ("a:80", true),
    ("a:", true),
    ("a_b.example.", true),
    ("[::1]:80", true),
    ("1.2.3.4", true),
    ("a,b", false),
    ("a;b", false),
    ("a:99999", false),
    ("a:-1", false),
    ("a:80:80", false),
    ("[v1.a]", false),
    ("[::1", false),
    ("u@a", false),
    ("a b", false),
    ("a/b", false),
    ("a%2fb", false),
    ("a#b", false),
    (":80", false),
    ("\u{e9}", false),
    ("", false),
];

const PATHS: [(&str, Option<&str>); 15] = [
    ("/case", Some("/case")),
    ("/case?x=/y", Some("/case?x=/y")),
    ("/case?", Some("/case?")),
    ("/case#y", None),
    ("/case?x#y", None),
    ("#y", None),
    ("case", None),
    ("*", None),
    ("?x", None),
    ("", None),
    ("http://b/case", None),
    ("/a b", None),
    ("/a HTTP/1.1\r\nhost: b", None),
    ("/a\0", None),
    ("/a\t", None),
];

fn body(random: &mut fastrand::Rng) -> Vec<u8> {
    let pieces = [
        "",
        "abc",
        "0\r\n\r\n",
        "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n",
        "\0\n",
    ];
    (0..random.usize(..4))
        .flat_map(|_| pieces[random.usize(..pieces.len())].bytes())
        .collect()
}

/// A field or two about the framing, and whether they are right.
fn framing(random: &mut fastrand::Rng, length: usize) -> (Vec<(&'static str, String)>, bool) {
    let (right, more) = (length.to_string(), (length + 1).to_string());
    let chunked = || "chunked".to_owned();
    let all = [
        (vec![("content_length", right.clone())], false),
        (vec![("content_length", "5".to_owned())], false),
        (vec![("transfer_encoding", chunked())], false),
        (vec![("transfer-encoding", chunked())], false),
        (
            vec![
                ("transfer_encoding", chunked()),
                ("content-length", right.clone()),
            ],
            false,
        ),
        (vec![("content-length", format!("0{right}"))], false),
        (vec![("content-length", format!("+{right}"))], false),
        (vec![("content-length", format!(" {right}"))], false),
        (vec![("content-length", format!("{right}, {right}"))], false),
        (vec![("content-length", format!("0x{right}"))], false),
        (
            vec![("content-length", format!("99999999999999999999{right}"))],
            false,
        ),
        (vec![("content-length", String::new())], false),
        (
            vec![
                ("content-length", right.clone()),
                ("content-length", right.clone()),
            ],
            false,
        ),
        (
            vec![
                ("content-length", right.clone()),
                ("content-length", more.clone()),
            ],
            false,
        ),
        (vec![("content-length", more)], false),
        (vec![("Content-Length", right.clone())], false),
        (vec![("connection", "close".to_owned())], false),
        (vec![("upgrade", "h2c".to_owned())], false),
        (vec![("te", "chunked".to_owned())], false),
        (vec![("x y", "1".to_owned())], false),
        (vec![("x", "1\r\ny: 2".to_owned())], false),
        (vec![("x", "1\0".to_owned())], false),
        (vec![("te", "trailers".to_owned())], true),
        (vec![("x-own", "1".to_owned())], true),
    ];
    match random.usize(..4) {
        0 => (Vec::new(), true),
        1 => (vec![("content-length", right)], true),
        _ => all[random.usize(..all.len())].clone(),
    }
}

fn case(random: &mut fastrand::Rng) -> Case {
    // One thing is wrong at a time, so that nothing hides behind another.
    let wrong = random.usize(..6);
    let (host, good_host) = HOSTS[random.usize(..if wrong == 0 { HOSTS.len() } else { 6 })];
    let (path, mut meant) = PATHS[random.usize(..if wrong == 1 { PATHS.len() } else { 3 })];
    let body = body(random);
    let (fields, good) = match wrong {
        0 | 1 => (Vec::new(), true),
        _ => framing(random, body.len()),
    };
    let mut block = field(":method", "POST");
    block.extend(field(":scheme", "http"));
    block.extend(field(":path", path));
    let hosts = random.usize(..8);
    if hosts > 0 {
        block.extend(field(":authority", host));
    }
    if hosts < 3 {
        block.extend(field("host", host));
    }
    if hosts == 7 && wrong == 0 {
        block.extend(field("host", "other"));
    }
    for (name, value) in fields {
        block.extend(field(name, &value));
    }
    if !good_host || !good || (hosts == 7 && wrong == 0) {
        meant = None;
    }
    Case { block, body, meant }
}

/// Sends it over a connection of its own; returns whether it was served.
fn served(address: std::net::SocketAddr, case: &Case, random: &mut fastrand::Rng) -> bool {
    let mut client = Client::open(address);
    if case.body.is_empty() && random.bool() {
        client.write(&headers(1, END_HEADERS | END_STREAM, &case.block));
    } else {
        let (one, two) = case.body.split_at(random.usize(..=case.body.len()));
        let frames = [
            headers(1, END_HEADERS, &case.block),
            frame(DATA, 0, 1, one),
            frame(DATA, END_STREAM, 1, two),
        ];
        client.write(&frames.concat());
    }
    let mut status = 0;
    while let Some(frame) = client.next() {
        match frame.kind {
            RST_STREAM | GOAWAY => return false,
            HEADERS => status = frame.payload[0],
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            return status == 0x88;
        }
    }
    false
}

fn check(case: &Case, served: bool, got: Vec<Got>) -> Result<(), String> {
    // A body that turns out wrong on the way is cut off, and the connection with it.
    let whole = got
        .into_iter()
        .filter(|got| !matches!(got, Err(wrong) if wrong.starts_with(CUT)));
    let got: Vec<Request> = whole.collect::<Result<_, _>>()?;
    match (case.meant, served, &got[..]) {
        (None, false, []) => Ok(()),
        (Some(target), true, [one]) => {
            if one.first_line() != format!("POST {target} HTTP/1.1") {
                return Err(format!("another request: {}", one.head));
            }
            let same = one.body == case.body;
            same.then_some(()).ok_or("another body".to_owned())
        }
        (meant, ..) => Err(format!(
            "meant {meant:?}, served: {served}, the origin got {got:?}"
        )),
    }
}

#[test]
fn a_request_means_one_thing_to_an_http1_origin_or_is_reset() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    let mut random = fastrand::Rng::with_seed(0x9113);
    let (address, mut count) = (gateway.address(), 0);
    for number in 0..CASES {
        let case = case(&mut random);
        let served = served(address, &case, &mut random);
        if let Err(wrong) = check(&case, served, origin.take()) {
            panic!("case {number}: {wrong}\n{}", case.block.escape_ascii());
        }
        count += usize::from(served);
    }
    assert!(
        count > CASES / 4 && count < CASES * 3 / 4,
        "{count} of {CASES} were served"
    );
}
