//! Whether contenders do what they are measured for: a filter that lets everything through, or a cache
//! that stores nothing, would be fast.

use std::io;
use std::net::SocketAddr;

use crate::contender::Contender;
use crate::process::Probe;
use crate::scenario::Scenario;

/// Asks a contender that is ready a few times, and looks at what it does.
///
/// # Errors
/// It does something else.
pub fn behaviour(contender: Contender, scenario: Scenario, address: SocketAddr) -> io::Result<()> {
    let headers = contender.headers(scenario);
    let ask = |headers: &[&str]| Probe::new(scenario, address, headers).answer();
    let good = ask(headers)?;
    expect(&good, "a 200", status(&good) == Some("200"))?;
    let body = body(&good);
    match contender {
        Contender::Token => {
            let none = ask(&headers[..1])?;
            expect(&none, "a 401 without a token", status(&none) == Some("401"))?;
            let forged = headers[1].replace(".GmFq", ".GmFr");
            let bad = ask(&[headers[0], &forged])?;
            expect(
                &bad,
                "a 401 for a forged token",
                status(&bad) == Some("401"),
            )?;
        }
        Contender::Limit => {
            let counts = field(&good, "ratelimit").is_some_and(|value| value.contains(";r=9"));
            expect(&good, "a RateLimit of which something is used", counts)?;
        }
        Contender::Cache => {
            let again = ask(headers)?;
            let hit = field(&again, "cache-status");
            let hit = hit.is_some_and(|value| value.starts_with("wiregate; hit"));
            expect(&again, "a hit in Cache-Status", hit)?;
            let same = body == self::body(&again) && field(&again, "age").is_some();
            expect(&again, "the same again, with its Age", same)?;
        }
        Contender::Json => {
            let read = serde_json::from_str::<serde_json::Value>(body);
            let set =
                read.is_ok_and(|all| all["served_by"] == "wiregate" && !all["items"].is_null());
            expect(&good, "a member that is set, and the others", set)?;
        }
        _ => {}
    }
    let grown = contender == Contender::Json;
    let size = scenario.answer();
    let whole = body.len() == size || grown && body.len() > size;
    expect(&good, &format!("a body of {size} bytes"), whole)
}

fn expect(answer: &str, what: &str, holds: bool) -> io::Result<()> {
    match holds {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "expected {what}, got:\n{answer:.1000}"
        ))),
    }
}

fn status(answer: &str) -> Option<&str> {
    answer.split(' ').nth(1)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let found = fields.find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// Whether the origin has got as many requests in a round as there must have been.
///
/// # Errors
/// Others answered in its place, or should have.
pub fn origin_asked(
    contender: Contender,
    scenario: Scenario,
    answered: u64,
    asked: u64,
) -> io::Result<()> {
    let cache = matches!(contender, Contender::Cache | Contender::NginxCache);
    let (holds, what) = match cache && scenario.is_hit() {
        true => (asked == 0, "none of them to reach the origin".to_owned()),
        false => (
            asked >= answered,
            "all of them to reach the origin".to_owned(),
        ),
    };
    match holds {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{}: {answered} requests were answered; expected {what}, which got {asked}",
            contender.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nAge: 3\r\nCache-Status: wiregate; hit\r\n\r\nbody: 1";

    #[test]
    fn an_answer_is_taken_apart() {
        assert_eq!(status(ANSWER), Some("200"));
        assert_eq!(body(ANSWER), "body: 1");
        assert_eq!(field(ANSWER, "cache-status"), Some("wiregate; hit"));
        assert_eq!(field(ANSWER, "body"), None);
    }

    #[test]
    fn a_hit_reaches_no_origin_and_everything_else_does() {
        let hit = Scenario::CacheHit1k;
        assert!(origin_asked(Contender::Cache, hit, 100, 0).is_ok());
        assert!(origin_asked(Contender::NginxCache, hit, 100, 1).is_err());
        assert!(origin_asked(Contender::Plain, hit, 100, 100).is_ok());
        assert!(origin_asked(Contender::Cache, Scenario::CacheFill, 100, 99).is_err());
    }
}
