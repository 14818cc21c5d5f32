//! The load, closed loop, every connection asking again as soon as it is answered: wrk over
//! HTTP/1.1, h2load over HTTP/2.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::awake::Awake;
use crate::process::pinned;
use crate::scenario::Scenario;

/// How many connections ask at the same time.
pub const CONNECTIONS: u32 = 32;
/// How many requests each of them has under way over HTTP/2.
pub const STREAMS: u32 = 4;
/// What numbers the requests of a scenario whose URLs differ.
const NUMBERED: &str = include_str!("../conf/numbered.lua");
/// More than a round can use up.
const NUMBERS_IN_A_ROUND: u64 = 1_000_000_000;

/// What one round of load observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    pub requests: u64,
    pub requests_per_second: f64,
    /// h2load does not tell.
    pub p99_ms: Option<f64>,
}

/// One round of load.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub scenario: Scenario,
    pub address: SocketAddr,
    pub headers: &'a [&'a str],
    pub seconds: u32,
    pub processors: Option<&'a str>,
    /// What keeps it awake.
    pub awake: Option<&'a Awake>,
    /// A folder for the script of requests that are numbered.
    pub folder: &'a Path,
    /// How many rounds went before: no number is used in two of them.
    pub before: u32,
}

impl Load<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// The program cannot be run, or an answer was not a success: figures of failures are worth
    /// nothing.
    pub fn run(&self) -> io::Result<Observed> {
        let (mut command, parse) = match self.scenario.http2() {
            true => (self.h2load(), parse_h2load as fn(&str) -> _),
            false => (self.wrk()?, parse_wrk as fn(&str) -> _),
        };
        if let Some(awake) = self.awake {
            awake.keep(&mut command);
        }
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let observed = output.status.success().then(|| parse(&text)).flatten();
        observed.ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            io::Error::other(format!(
                "expected a round without errors, the load said:\n{text}{errors}"
            ))
        })
    }

    fn url(&self) -> String {
        let scheme = if self.scenario.tls() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, self.scenario.path())
    }

    fn wrk(&self) -> io::Result<Command> {
        let mut command = pinned(Path::new("wrk"), self.processors);
        command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
        command.arg("--connections").arg(CONNECTIONS.to_string());
        command.arg("--duration").arg(format!("{}s", self.seconds));
        for header in self.headers {
            command.arg("--header").arg(header);
        }
        if self.scenario.is_numbered() {
            let script = self.folder.join("numbered.lua");
            fs::write(&script, NUMBERED)?;
            let first = u64::from(self.before) * NUMBERS_IN_A_ROUND;
            command.arg("--script").arg(script).arg(self.url());
            command.arg("--").arg(first.to_string());
        } else {
            command.arg(self.url());
        }
        Ok(command)
    }

    fn h2load(&self) -> Command {
        let mut command = pinned(Path::new("h2load"), self.processors);
        command.arg(format!("--clients={CONNECTIONS}"));
        command.arg(format!("--max-concurrent-streams={STREAMS}"));
        command.arg(format!("--duration={}", self.seconds));
        for header in self.headers {
            // The host is the authority: two of them are a malformed request.
            let header = match header.strip_prefix("Host: ") {
                Some(host) => format!(":authority: {host}"),
                None => (*header).to_owned(),
            };
            command.arg("--header").arg(header);
        }
        command.arg(self.url());
        command
    }
}

/// Reads wrk's report; nothing if it tells of an error.
fn parse_wrk(report: &str) -> Option<Observed> {
    if report.contains("Socket errors:") || report.contains("Non-2xx or 3xx responses:") {
        return None;
    }
    let mut lines = report.lines().map(str::trim);
    let p99 = lines.find_map(|line| line.strip_prefix("99%"))?;
    let requests = lines.find_map(|line| line.split_once(" requests in "))?.0;
    let rate = lines.find_map(|line| line.strip_prefix("Requests/sec:"))?;
    Some(Observed {
        requests: requests.parse().ok()?,
        requests_per_second: rate.trim().parse().ok()?,
        p99_ms: Some(milliseconds(p99.trim())?),
    })
}

/// Reads h2load's report; nothing if it tells of an error. Requests that were under way when the
/// time was over are none.
fn parse_h2load(report: &str) -> Option<Observed> {
    let line = |start: &str| report.lines().find_map(|line| line.strip_prefix(start));
    let counts = line("requests: ")?;
    let count = |word: &str| -> Option<u64> {
        let part = counts.split(", ").find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse().ok()
    };
    let succeeded = count("succeeded")?;
    let clean = count("failed")? == 0 && count("errored")? == 0 && count("timeout")? == 0;
    let rate = line("finished in ")?.split(", ").nth(1)?;
    (clean && succeeded > 0).then_some(())?;
    Some(Observed {
        requests: succeeded,
        requests_per_second: rate.strip_suffix(" req/s")?.parse().ok()?,
        p99_ms: None,
    })
}

fn milliseconds(time: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((time.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Running 5s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   618.48us  110.73us   2.61ms   81.34%
    Req/Sec    51.67k     2.09k   54.37k    80.39%
  Latency Distribution
     50%  609.00us
     75%  664.00us
     90%  735.00us
     99%    0.98ms
  262100 requests in 5.10s, 39.00MB read
Requests/sec:  51393.35
Transfer/sec:      7.65MB
";

    #[test]
    fn reads_a_report() {
        let expected = Observed {
            requests: 262_100,
            requests_per_second: 51_393.35,
            p99_ms: Some(0.98),
        };
        assert_eq!(parse_wrk(REPORT), Some(expected));
        let micro = REPORT.replace("   0.98ms", " 250.00us");
        assert_eq!(parse_wrk(&micro).unwrap().p99_ms, Some(0.25));
        let slow = REPORT.replace("0.98ms", "1.50s");
        assert_eq!(parse_wrk(&slow).unwrap().p99_ms, Some(1500.0));
    }

    #[test]
    fn a_round_with_errors_is_none() {
        for line in [
            "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
            "  Non-2xx or 3xx responses: 7\n",
        ] {
            let report = REPORT.replace("Requests/sec", &format!("{line}Requests/sec"));
            assert_eq!(parse_wrk(&report), None);
        }
    }

    const H2_REPORT: &str = "\
finished in 5.01s, 23456.78 req/s, 3.40MB/s
requests: 117284 total, 117412 started, 117284 done, 117284 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 117284 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn reads_a_report_of_h2load() {
        let expected = Observed {
            requests: 117_284,
            requests_per_second: 23_456.78,
            p99_ms: None,
        };
        assert_eq!(parse_h2load(H2_REPORT), Some(expected));
        for wrong in ["3 failed", "3 errored", "3 timeout"] {
            let word = wrong.replace('3', "0");
            assert_eq!(parse_h2load(&H2_REPORT.replace(&word, wrong)), None);
        }
    }
}
