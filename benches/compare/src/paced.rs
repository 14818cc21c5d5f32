//! A load of a steady rate: h2load, which logs each request, so that the longest wait is seen.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::process::pinned;

/// How many connections share the load.
pub const CONNECTIONS: u32 = 16;

/// How long requests took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub requests: usize,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What is asked for, and how often.
pub struct Pace<'a> {
    pub address: SocketAddr,
    pub host: &'a str,
    pub path: &'a str,
    /// Requests per second, of all connections together.
    pub rate: u32,
    pub seconds: u32,
}

/// Loads `address` at a steady rate; the log of the requests is kept in a folder in `folder` meanwhile:
/// what is written where the configuration lies wakes the gateway.
///
/// # Errors
/// h2load cannot be run, or an answer was not a 200.
pub fn run(pace: &Pace<'_>, folder: &Path, processors: Option<&str>) -> io::Result<Latency> {
    let apart = folder.join("paced");
    fs::create_dir_all(&apart)?;
    let log = apart.join("requests.log");
    let mut command = pinned(Path::new("h2load"), processors);
    command.args(["--h1", "--clients", &CONNECTIONS.to_string()]);
    command.arg(format!("--requests={}", pace.rate * pace.seconds));
    command.arg(format!("--rps={}", pace.rate / CONNECTIONS));
    command.arg(format!("--connect-to={}", pace.address));
    command.arg("--log-file").arg(&log);
    let url = format!("http://{}{}", pace.host, pace.path);
    let output = command.arg(url).output()?;
    let text = fs::read_to_string(&log)?;
    fs::remove_file(&log)?;
    let latency = output.status.success().then(|| parse(&text)).flatten();
    latency.ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stdout);
        io::Error::other(format!(
            "expected a round without errors, h2load said:\n{said}"
        ))
    })
}

/// Reads h2load's log: when a request began, its status, how many microseconds it took. Nothing
/// where one failed, or none was sent.
fn parse(log: &str) -> Option<Latency> {
    let took = log.lines().map(|line| {
        let mut columns = line.split('\t').skip(1);
        (columns.next()? == "200").then_some(())?;
        columns.next()?.parse::<u64>().ok()
    });
    let mut took = took.collect::<Option<Vec<u64>>>()?;
    took.sort_unstable();
    let last = took.len().checked_sub(1)?;
    let at = |share: f64| took[(last as f64 * share) as usize] as f64 / 1000.0;
    Some(Latency {
        requests: took.len(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_log() {
        let log: String = (1..=1000)
            .map(|took| format!("1764093600000000\t200\t{took}\n"))
            .collect();
        let expected = Latency {
            requests: 1000,
            p50: 0.5,
            p99: 0.99,
            p999: 0.999,
            max: 1.0,
        };
        assert_eq!(parse(&log), Some(expected));
    }

    #[test]
    fn a_round_with_a_failure_is_none() {
        assert_eq!(parse("1\t200\t5\n2\t503\t5\n"), None);
        assert_eq!(parse("1\t-1\t5\n"), None);
        assert_eq!(parse(""), None);
    }
}
