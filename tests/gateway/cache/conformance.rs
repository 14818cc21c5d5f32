//! What RFC 9111 and its relatives ask of a shared cache, as tables: a request, its response, another request, and
//! whether that is answered from the store. Each table is named by the section that it is about.

mod freshness;
mod requests;
mod storing;
mod targeted;
mod vary;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::harness::Gateway;
use super::super::origin::{self, Seen};

/// What becomes of the second request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// What is stored answers, and the origin is not asked.
    Hit,
    /// The same, with this status.
    Says(u16),
    /// The origin is asked for the whole response, and that is what the client gets.
    Miss,
    /// The origin is asked with this line in its request whether what is stored is good, and that is what the client
    /// gets.
    Validated(&'static str),
}

use Expected::{Hit, Miss, Says, Validated};

/// The fields of the first request; the status and the fields of its response; the fields of the second request; what
/// becomes of that. Fields have ` | ` between them, and `{+60}` stands for the date in 60 seconds.
type Row = (&'static str, &'static str, &'static str, Expected);

/// A response that is the same for two requests with these fields.
const fn reply(said: &'static str, expected: Expected) -> Row {
    ("", said, "", expected)
}

/// Holds the rows against a gateway whose `cache` has these options.
fn hold(options: &str, rows: &[Row]) {
    let dates = Dates::from_now();
    let texts = rows.iter().map(|(_, said, ..)| dates.fill(said));
    let texts: Vec<_> = texts.collect();
    let counts: Vec<_> = rows.iter().map(|_| AtomicUsize::new(0)).collect();
    let counts = Arc::new(counts);
    let asked = counts.clone();
    let (seen, address) = Seen::by(move |head| {
        let row: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let is_first = asked[row].fetch_add(1, Ordering::SeqCst) == 0;
        answer(&texts[row], head, is_first)
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {options}], upstream: app }}]\n"
    ));
    let mut client = Client(TcpStream::connect(gateway.address()).unwrap());
    for (number, (first, said, second, expected)) in rows.iter().enumerate() {
        let row = format!("{first:?} got {said:?}, then {second:?}");
        client.get(number, &dates.fill(first));
        assert_eq!(counts[number].load(Ordering::SeqCst), 1, "{row}");
        let before = seen.count();
        let (status, body) = client.get(number, &dates.fill(second));
        let found = match (seen.count() - before, body.as_str()) {
            (0, _) if matches!(expected, Says(_)) => Says(status),
            (0, _) => Hit,
            (1, "second") => Miss,
            (1, _) => match expected {
                // It was asked whether what is stored is good, and that is what came back.
                Validated(line) if seen.last().contains(&dates.fill(line).to_ascii_lowercase()) => {
                    *expected
                }
                _ => Validated("in another way"),
            },
            (more, _) => panic!("{row}: the origin was asked {more} times"),
        };
        assert_eq!(found, *expected, "{row}: {status}, {body:?}");
    }
}

/// What the origin answers: a 304 where it is asked with a condition, and else a body that tells which one it is.
fn answer(said: &str, head: &str, is_first: bool) -> String {
    let mut parts = said.split(" | ");
    let mut status = parts.next().unwrap();
    let asks = ["if-none-match:", "if-modified-since:"];
    let head = head.to_ascii_lowercase();
    let mut body = if is_first { "first" } else { "second" };
    if !is_first && asks.iter().any(|field| head.contains(field)) {
        status = "304";
    }
    let fields: String = parts.map(|field| format!("{field}\r\n")).collect();
    let bodiless = ["204", "304"].contains(&status);
    if bodiless {
        body = "";
    }
    let length = match bodiless {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    format!("HTTP/1.1 {status} Said\r\n{fields}{length}\r\n{body}")
}

/// Dates around the moment at which a test began, in seconds since 1970.
struct Dates(i64);

impl Dates {
    fn from_now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(i64::try_from(since.as_secs()).unwrap())
    }

    /// The text with dates in their places.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        while let Some(start) = text.find('{') {
            let end = start + text[start..].find('}').unwrap();
            let place = &text[start + 1..end];
            let (offset, form) = place
                .split_once(' ')
                .unwrap_or((place, "%a, %d %b %Y %T GMT"));
            let date = self.at(offset.parse().unwrap(), form);
            text.replace_range(start..=end, &date);
        }
        text
    }

    fn at(&self, offset: i64, form: &str) -> String {
        let output = Command::new("date")
            .env("LC_ALL", "C")
            .args([
                "-u",
                "-d",
                &format!("@{}", self.0 + offset),
                &format!("+{form}"),
            ])
            .output();
        let date = String::from_utf8(output.unwrap().stdout).unwrap();
        date.trim().to_owned()
    }
}

/// A client that keeps its connection.
struct Client(TcpStream);

impl Client {
    /// The status and the body of what is answered.
    fn get(&mut self, row: usize, fields: &str) -> (u16, String) {
        let fields = fields.split(" | ").filter(|field| !field.is_empty());
        let fields: String = fields.map(|field| format!("{field}\r\n")).collect();
        let request = format!("GET /{row} HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        let head = origin::head(&mut self.0).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.split_once("content-length: ");
        let length = length.map_or(0, |(_, rest)| {
            rest.split("\r\n").next().unwrap().parse().unwrap()
        });
        let mut body = vec![0; if status == 304 { 0 } else { length }];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}
