//! One try to bring a batch to its receiver (OTLP/HTTP).

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};
use tokio::time::{Instant, timeout_at};

use crate::cache::rules;
use crate::config::model::Compression;

/// More of an answer is not read, in bytes.
const LARGEST_ANSWER: usize = 64 << 10;
/// More of what a receiver says is not shown.
const SHOWN: usize = 300;
/// How much a message that is compressed costs and saves: the quickest is four fifths of the best.
const LEVEL: Level = Level::fast();

/// Where spans go, and how.
pub struct Receiver {
    client: Client,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    compression: Compression,
}

impl fmt::Debug for Receiver {
    /// Nothing of the URL and the fields, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// What came of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The receiver has the spans, but for some that it did not take; and what it says of that.
    Taken { rejected: u64, said: String },
    /// It does not want them, and never will.
    Refused(String),
    /// It may take them later: after this time, where it has said so.
    Later {
        why: String,
        after: Option<Duration>,
    },
}

impl Receiver {
    /// A receiver at this URL. It is asked with these fields besides those of OTLP, and within this
    /// time. `ca` has the authorities that it is to be known to, in PEM; those of the system where
    /// there is none.
    ///
    /// # Errors
    /// What is wrong with the authorities.
    pub fn new(
        url: Url,
        mut headers: HeaderMap,
        ca: Option<&[u8]>,
        timeout: Duration,
        compression: Compression,
    ) -> Result<Self, String> {
        let mut client = Client::builder()
            .user_agent(concat!("wiregate/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(1);
        if let Some(ca) = ca {
            let authorities = Certificate::from_pem_bundle(ca).map_err(|why| words(&why))?;
            if authorities.is_empty() {
                return Err("expected certificates in PEM, found none".to_owned());
            }
            client = client.tls_certs_only(authorities);
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        if compression == Compression::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self {
            client: client.build().map_err(|why| words(&why))?,
            url,
            headers,
            timeout,
            compression,
        })
    }

    /// A message as it is sent.
    pub(super) fn packed(&self, message: Vec<u8>) -> Bytes {
        match self.compression {
            Compression::None => message.into(),
            Compression::Gzip => {
                let mut packed = GzEncoder::new(Vec::with_capacity(message.len() / 4), LEVEL);
                packed.write_all(&message).expect("memory takes everything");
                packed.finish().expect("memory takes everything").into()
            }
        }
    }

    /// Sends a message.
    pub(super) async fn post(&self, body: Bytes) -> Sent {
        let deadline = Instant::now() + self.timeout;
        let request = self.client.post(self.url.clone());
        let request = request.headers(self.headers.clone()).body(body);
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let why = words(&error.without_url());
                return Sent::Later { why, after: None };
            }
            Err(_) => {
                let why = format!("no answer within {:?}", self.timeout);
                return Sent::Later { why, after: None };
            }
        };
        if !response.status().is_success() {
            return refusal(&response);
        }
        // It has the spans, whatever becomes of the rest of its answer.
        let answer = timeout_at(deadline, start_of(response)).await;
        let answer = ExportTraceServiceResponse::decode(answer.unwrap_or_default().as_slice());
        let partial = answer.unwrap_or_default().partial_success;
        let partial = partial.unwrap_or_default();
        Sent::Taken {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
            said: shown(&partial.error_message),
        }
    }
}

/// What an answer means that is no success.
fn refusal(response: &Response) -> Sent {
    let status = response.status();
    let why = format!("the receiver answers with {}", status.as_u16());
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = response.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|after| retry_after(after, SystemTime::now()));
            Sent::Later { why, after }
        }
        _ => Sent::Refused(why),
    }
}

/// The body of an answer; nothing of one that is too large, or that breaks off.
async fn start_of(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST_ANSWER => {
                body.extend_from_slice(&chunk);
            }
            Ok(None) => return body,
            Ok(Some(_)) | Err(_) => return Vec::new(),
        }
    }
}

/// The time that `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.as_bytes().trim_ascii();
    if let Some(seconds) = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let then = rules::date(text, now)?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// What a receiver says, fit for a log.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN).collect()
}

/// What lies at the bottom of an error.
fn words(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let after = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(after(date), Some(Duration::from_secs(10)));
        let past = "Sun, 06 Nov 1994 08:49:07 GMT";
        assert_eq!(after(past), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn what_a_receiver_says_stays_on_one_line() {
        let said = shown(&format!("a\nb\u{1b}[31m{}", "x".repeat(1000)));
        assert!(said.starts_with("a b [31m"), "{said}");
        assert_eq!(said.chars().count(), SHOWN);
    }
}
