//! One line of the access log.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use wiregate_sdk::Method;

use crate::observe::traces::{SpanId, TraceId};

/// The facts of one exchange that operators see. Fields without a value are left out of the line.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// When the request head was complete; in the line UTC with milliseconds (RFC 3339).
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The request's id, as the client was told it.
    pub request_id: Box<str>,
    /// The trace that it is a part of, where requests are traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// Its own span, where the trace is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
    /// The client, as far as trusted proxies tell.
    pub client: IpAddr,
    #[serde(serialize_with = "method")]
    pub method: Method,
    /// The request target as received, query included.
    pub target: Target,
    /// The host that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<str>>,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The route that won.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Arc<str>>,
    /// The address of the endpoint that was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Arc<str>>,
    /// The status that the client got; none if it left before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the request body that were read.
    pub bytes_in: u64,
    /// Bytes of the response body that were sent.
    pub bytes_out: u64,
    /// From the request head to the end of the exchange; `duration_ms` in the line.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// What came of the request in the cache, where its route has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<&'static str>,
    /// From the choice of an endpoint to the head of its response, without the time that the
    /// client has taken for its body; `upstream_ms` in the line.
    #[serde(
        rename = "upstream_ms",
        serialize_with = "some_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub upstream_time: Option<Duration>,
    /// How many endpoints were tried, one as often as it was.
    pub attempts: u32,
    /// The name of the verified caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Arc<str>>,
    /// The name of the configured consumer that this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Arc<str>>,
    /// The label of the filter that refused the request, or failed at it, with a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<Box<str>>,
    /// The labels of filters that are only looked at and would have ended the request, each with
    /// the word for why.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "pairs")]
    pub observed: Vec<(Box<str>, &'static str)>,
    /// The labels of filters that had to do without something, such as a store, and went on all the
    /// same, each with the word for what.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "pairs")]
    pub degraded: Vec<(Box<str>, &'static str)>,
    /// Why the exchange failed: a word of a fixed set, the same in logs, metrics and replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// What there is to say beyond that word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<str>>,
}

/// A request target, cut at 2 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Target(Box<str>);

impl Target {
    /// The most bytes that are kept.
    pub const LIMIT: usize = 2 << 10;

    /// Keeps the start of `target`, up to the limit and never half a character.
    pub fn new(target: &str) -> Self {
        Self(target[..target.floor_char_boundary(Self::LIMIT)].into())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

fn pairs<S: Serializer>(
    pairs: &[(Box<str>, &'static str)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match u32::try_from(time.as_micros()) {
        Ok(microseconds) => serializer.serialize_f64(f64::from(microseconds) / 1000.0),
        // More than an hour: nobody misses the fraction.
        Err(_) => serializer.serialize_u128(time.as_millis()),
    }
}

fn some_milliseconds<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    milliseconds(&time.unwrap_or_default(), serializer)
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since_epoch.as_secs() / 86400, since_epoch.as_secs() % 86400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    serializer.collect_str(&format_args!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z",
        second % 60,
        since_epoch.subsec_millis()
    ))
}

/// The date that is `days` after 1970-01-01: Howard Hinnant's `civil_from_days`, whose years
/// begin in March so that the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = [
            0, 58, 59, 364, 365, 789, 11_016, 11_017, 19_782, 19_783, 47_540, 47_541,
        ];
        let input = days.map(|day: u64| format!("@{}\n", day * 86400)).concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), input).unwrap();
        let date = Command::new("date")
            .args(["-u", "+%Y-%m-%d", "-f"])
            .arg(file.path())
            .output()
            .unwrap();
        let ours = days.map(|day| {
            let (year, month, day) = civil(day);
            format!("{year:04}-{month:02}-{day:02}\n")
        });
        assert_eq!(ours.concat(), String::from_utf8(date.stdout).unwrap());
    }

    #[test]
    fn a_long_target_is_cut_between_characters() {
        assert_eq!(Target::new("/short").to_string(), "/short");
        let long = format!("/{}", "é".repeat(Target::LIMIT));
        let kept = Target::new(&long).to_string();
        assert_eq!(kept.len(), Target::LIMIT - 1);
        assert!(long.starts_with(&kept));
    }

    #[test]
    fn a_very_long_time_is_whole_milliseconds() {
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        milliseconds(&Duration::from_secs(86400), &mut serializer).unwrap();
        assert_eq!(line, b"86400000");
    }
}
