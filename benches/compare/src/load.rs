//! The load: wrk, closed loop, every connection asking again as soon as it is answered.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::process::pinned;

/// How many connections ask at the same time.
pub const CONNECTIONS: u32 = 32;

/// What one round of load observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    pub requests: u64,
    pub requests_per_second: f64,
    pub p99_ms: f64,
}

/// Loads `address` for so many seconds.
///
/// # Errors
/// wrk cannot be run, or an answer was not a success: figures of failures are worth nothing.
pub fn run(
    address: SocketAddr,
    path: &str,
    headers: &[&str],
    seconds: u32,
    processors: Option<&str>,
) -> io::Result<Observed> {
    let mut command = pinned(Path::new("wrk"), processors);
    command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
    command.arg("--connections").arg(CONNECTIONS.to_string());
    command.arg("--duration").arg(format!("{seconds}s"));
    for header in headers {
        command.args(["--header", header]);
    }
    let output = command.arg(format!("http://{address}{path}")).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let observed = output.status.success().then(|| parse(&text)).flatten();
    observed.ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!(
            "expected a round without errors, wrk said:\n{text}{errors}"
        ))
    })
}

/// Reads wrk's report; nothing if it tells of an error.
fn parse(report: &str) -> Option<Observed> {
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
        p99_ms: milliseconds(p99.trim())?,
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
            p99_ms: 0.98,
        };
        assert_eq!(parse(REPORT), Some(expected));
        let micro = REPORT.replace("   0.98ms", " 250.00us");
        assert_eq!(parse(&micro).unwrap().p99_ms, 0.25);
        let slow = REPORT.replace("0.98ms", "1.50s");
        assert_eq!(parse(&slow).unwrap().p99_ms, 1500.0);
    }

    #[test]
    fn a_round_with_errors_is_none() {
        for line in [
            "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
            "  Non-2xx or 3xx responses: 7\n",
        ] {
            let report = REPORT.replace("Requests/sec", &format!("{line}Requests/sec"));
            assert_eq!(parse(&report), None);
        }
    }
}
