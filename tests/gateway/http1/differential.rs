//! Thousands of requests that are a little wrong: each is refused, or means one thing to the origin.

use super::origin::{CUT, Got, Request};
use super::{Origin, ask, gateway, status};

const CASES: usize = 3000;
const SECOND: &str = "GET /second HTTP/1.1\r\nhost: a\r\n\r\n";

/// A request, what the client means by it, and what may become of it.
struct Case {
    bytes: Vec<u8>,
    /// The body; `None` where nobody can tell, so that it has to be refused.
    meant: Option<Vec<u8>>,
    /// Whether a byte of the head was changed at random, so that it may say anything.
    wild: bool,
    /// Whether another request follows on the connection.
    pair: bool,
}

fn pick<'a>(random: &mut fastrand::Rng, all: &[&'a str]) -> &'a str {
    all[random.usize(..all.len())]
}

fn body(random: &mut fastrand::Rng) -> Vec<u8> {
    let pieces = [
        "",
        "abc",
        "\r\n",
        "0\r\n\r\n",
        "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n",
        "\0\n",
        "5;",
    ];
    (0..random.usize(..4))
        .flat_map(|_| pick(random, &pieces).bytes())
        .collect()
}

/// A chunked body, and whether it is one.
fn chunks(random: &mut fastrand::Rng, body: &[u8], wrong: bool) -> (Vec<u8>, bool) {
    let (one, two) = body.split_at(random.usize(..=body.len()));
    let mut out = Vec::new();
    for chunk in [one, two].into_iter().filter(|chunk| !chunk.is_empty()) {
        let size = chunk.len();
        let size = match random.usize(..4) {
            0 => format!("{size:X}"),
            1 => format!("00{size:x}"),
            _ => format!("{size:x}"),
        };
        let extension = pick(random, &["", "", ";a", ";a=b", ";a=\"b;\"", "; a"]);
        out.extend(format!("{size}{extension}\r\n").into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    let end = pick(
        random,
        &[
            "0\r\n\r\n",
            "0\r\n\r\n",
            "000\r\n\r\n",
            "0;a\r\n\r\n",
            "0\r\nt: u\r\n\r\n",
        ],
    );
    if wrong {
        let bad = [
            "0\n\r\n",
            "0\r\n\n",
            "0 \r\n\r\n",
            " 0\r\n\r\n",
            "0x0\r\n\r\n",
            "-0\r\n\r\n",
            "\r\n0\r\n\r\n",
            "0;\n\r\n\r\n",
            "0;\0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\na0\r\n\r\n",
            "0\r\n t: u\r\n\r\n",
            "0\r\nt : u\r\n\r\n",
            "fffffffffffffffff\r\n",
            "1\na\r\n0\r\n\r\n",
            "0\r\r\n\r\n",
        ];
        out.extend(pick(random, &bad).bytes());
        return (out, false);
    }
    out.extend(end.bytes());
    (out, true)
}

/// How the body is framed: the fields, the bytes, and whether there is one way to read them.
fn framed(random: &mut fastrand::Rng, body: &[u8], old: bool) -> (String, Vec<u8>, bool) {
    let length = body.len();
    match random.usize(..10).saturating_sub(2) {
        0 if body.is_empty() => (String::new(), Vec::new(), true),
        0 | 1 => (format!("Content-Length: {length}\r\n"), body.to_vec(), true),
        2 | 3 => {
            let (bytes, good) = chunks(random, body, false);
            let te = pick(random, &["chunked", "Chunked", " chunked\t"]);
            (format!("transfer-encoding: {te}\r\n"), bytes, good && !old)
        }
        4 => {
            let (bytes, _) = chunks(random, body, true);
            ("Transfer-Encoding: chunked\r\n".into(), bytes, false)
        }
        5 => {
            let (bytes, _) = chunks(random, body, false);
            let te = pick(
                random,
                &[
                    "xchunked",
                    "chunked, chunked",
                    "gzip, chunked",
                    "chunked, gzip",
                    "identity",
                    "\"chunked\"",
                    "chunked;q=1",
                    "\x0bchunked",
                    "chunked\r\n , x",
                    "chunked,",
                    ", chunked",
                    "chunked\r\nTransfer-Encoding: identity",
                    "identity\r\ntransfer-encoding: chunked",
                ],
            );
            (format!("Transfer-Encoding: {te}\r\n"), bytes, false)
        }
        6 => {
            let (bytes, _) = chunks(random, body, false);
            let both = [
                format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                format!("Transfer-Encoding: chunked\r\ncontent-length: {length}\r\n"),
                format!("Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n"),
                format!("Transfer_Encoding: chunked\r\nContent-Length: {length}\r\n"),
                format!("Transfer-Encoding:\r\n chunked\r\nContent-Length: {length}\r\n"),
                format!("x: y\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            ];
            (both[random.usize(..both.len())].clone(), bytes, false)
        }
        _ => {
            let wrong = [
                format!("+{length}"),
                format!("-{length}"),
                format!("0{length}"),
                format!("{length}, {length}"),
                format!("{length},{}", length + 1),
                format!("{length}\r\nContent-Length: {length}"),
                format!("{length}\r\ncontent-length: {}", length + 3),
                format!("0x{length}"),
                format!("{length}.0"),
                format!("{length} 0"),
                format!("\x0c{length}"),
                format!("{length}\0"),
                format!("{length}\r\n 1"),
                format!("99999999999999999999{length}"),
                String::new(),
            ];
            let wrong = &wrong[random.usize(..wrong.len())];
            (format!("Content-Length: {wrong}\r\n"), body.to_vec(), false)
        }
    }
}

fn case(random: &mut fastrand::Rng) -> Case {
    let old = random.usize(..8) == 0;
    let body = body(random);
    let (framing, framed, mut clear) = framed(random, &body, old);
    let mut fields = vec!["Host: a\r\n".to_owned(), framing];
    let (extra, good) = [
        ("", true),
        ("X-Own: 1\r\n", true),
        ("Connection: close\r\n", true),
        ("Expect: 100-continue\r\n", true),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        ("Connection: x-own\r\nX-Own: 1\r\n", true),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", true),
        ("X: a\nY: b\r\n", false),
        ("X: \0\r\n", false),
        ("X: a\r\n b\r\n", false),
        ("X : a\r\n", false),
        ("X: a\rb\r\n", false),
        ("Host: b\r\n", false),
        ("X\r\n", false),
    ][if random.bool() {
        random.usize(..7)
    } else {
        random.usize(..14)
    }];
    clear &= good;
    fields.insert(random.usize(1..3), extra.to_owned());
    let version = if old { "1.0" } else { "1.1" };
    let mut head = format!("POST /case HTTP/{version}\r\n{}\r\n", fields.concat()).into_bytes();
    let wild = random.usize(..4) == 0;
    if wild {
        // Not in the framing, where another byte means another body.
        let at = random.usize(..12);
        let byte = *b"\0\n\r\t :a/\x7f\xff".get(random.usize(..10)).unwrap();
        match random.usize(..3) {
            0 => head[at] = byte,
            1 => head.insert(at, byte),
            _ => drop(head.remove(at)),
        }
    }
    let pair = random.bool();
    let mut bytes = [head, framed].concat();
    if pair {
        bytes.extend(SECOND.bytes());
    }
    let meant = clear.then_some(body);
    Case {
        bytes,
        meant,
        wild,
        pair,
    }
}

fn check(case: &Case, answer: &str, got: Vec<Got>) -> Result<bool, String> {
    // A body that turns out wrong on the way is cut off, and the connection with it.
    let whole = got
        .into_iter()
        .filter(|got| !matches!(got, Err(wrong) if wrong.starts_with(CUT)));
    let got: Vec<Request> = whole.collect::<Result<_, _>>()?;
    let interim = answer
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(answer);
    let refused = status(interim) >= 400;
    match (&got[..], refused) {
        ([], true) if !case.wild && case.meant.is_some() => return Err("refused".into()),
        ([], true) => return Ok(false),
        ([], false) => return Err("neither an answer nor a request".into()),
        (_, true) => return Err("refused, and yet sent on".into()),
        ([_, _, ..], _) if !case.pair => return Err("one request became two".into()),
        ([_, _, _, ..], _) => return Err("two requests became three".into()),
        _ => {}
    }
    match &case.meant {
        None => return Err("it can be read in two ways".into()),
        Some(meant) if got[0].body != *meant => return Err("another body".into()),
        Some(_) => {}
    }
    if !case.wild && got[0].first_line() != "POST /case HTTP/1.1" {
        return Err("another request".into());
    }
    match got.get(1) {
        Some(second) if second.first_line() != "GET /second HTTP/1.1" => {
            Err("another second".into())
        }
        _ => Ok(true),
    }
}

#[test]
fn a_request_means_one_thing_or_is_refused() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    let mut random = fastrand::Rng::with_seed(0x5713);
    let (mut served, mut refused) = (0, 0);
    for number in 0..CASES {
        let case = case(&mut random);
        let answer = ask(&gateway, &case.bytes);
        match check(&case, &answer, origin.take()) {
            Ok(true) => served += 1,
            Ok(false) => refused += 1,
            Err(wrong) => panic!(
                "case {number}: {wrong}\n{}\n{answer}",
                case.bytes.escape_ascii()
            ),
        }
    }
    assert!(
        served > CASES / 6 && refused > CASES / 3,
        "{served} served, {refused} refused"
    );
    eprintln!("{served} served, {refused} refused");
}
