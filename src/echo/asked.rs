//! What a request asks the answer to be, read from its path and query.

use std::time::Duration;

use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{StatusCode, Uri};
use percent_encoding::percent_decode_str;

const LONGEST_WAIT: Duration = Duration::from_secs(60);
const MOST_BYTES: u64 = 10 << 30;
const MOST_CHUNKS: u64 = 1_000_000;
const ALSO_BY_PATH: [&str; 6] = ["delay", "status", "bytes", "stream", "sse", "fail"];

/// The answer to make. The default one is the plain echo.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) delay: Duration,
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) content: Content,
    pub(super) every: Duration,
    pub(super) failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Content {
    /// The request as it was seen.
    #[default]
    Seen,
    Bytes(u64),
    Chunks(u64),
    Events(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    Close,
    Reset,
    Midway,
}

impl Asked {
    /// Reads the wishes of `uri`, as far as they are meant for this `port`. Keys that are not
    /// known are left alone: they are part of what is echoed.
    ///
    /// # Errors
    /// A text for the client that says which value was not understood.
    pub(super) fn read(uri: &Uri, port: u16) -> Result<Self, String> {
        let mut asked = Self::default();
        if let Some((key, value)) = by_path(uri.path()) {
            asked.set(key, value)?;
        }
        let mut here = true;
        for pair in uri.query().unwrap_or_default().split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match key {
                "at" => here = number(key, &value, u64::from(u16::MAX))? == u64::from(port),
                _ => asked.set(key, &value)?,
            }
        }
        Ok(if here { asked } else { Self::default() })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "delay" => self.delay = duration(key, value)?,
            "every" => self.every = duration(key, value)?,
            "status" => self.status = status(value)?,
            "header" => self.headers.push(header(value)?),
            "bytes" => self.content = Content::Bytes(number(key, value, MOST_BYTES)?),
            "stream" => self.content = Content::Chunks(number(key, value, MOST_CHUNKS)?),
            "sse" => self.content = Content::Events(number(key, value, MOST_CHUNKS)?),
            "fail" => self.failure = Some(failure(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// A final status, 200 to 599.
pub(super) fn status(value: &str) -> Result<StatusCode, String> {
    StatusCode::from_bytes(value.as_bytes())
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| format!("status: expected 200 to 599, found {value:?}"))
}

fn by_path(path: &str) -> Option<(&str, &str)> {
    let (key, value) = path.strip_prefix('/')?.split_once('/')?;
    (ALSO_BY_PATH.contains(&key) && !value.contains('/')).then_some((key, value))
}

fn number(key: &str, value: &str, most: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| *number <= most)
        .ok_or_else(|| format!("{key}: expected a number up to {most}, found {value:?}"))
}

fn duration(key: &str, value: &str) -> Result<Duration, String> {
    let parsed = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(number), _) => number.parse().ok().map(Duration::from_millis),
        (None, Some(number)) => number.parse().ok().map(Duration::from_secs),
        (None, None) => None,
    };
    parsed
        .filter(|duration| *duration <= LONGEST_WAIT)
        .ok_or_else(|| format!("{key}: expected 0ms to 60s, found {value:?}"))
}

fn header(value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = value.split_once(':').and_then(|(name, value)| {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = HeaderValue::from_str(value.trim()).ok()?;
        // The framing is this server's own business.
        let ours = name == CONTENT_LENGTH || name == TRANSFER_ENCODING;
        (!ours).then_some((name, value))
    });
    parsed.ok_or_else(|| {
        format!("header: expected name:value, not about the framing, found {value:?}")
    })
}

fn failure(value: &str) -> Result<Failure, String> {
    match value {
        "close" => Ok(Failure::Close),
        "reset" => Ok(Failure::Reset),
        "midway" => Ok(Failure::Midway),
        _ => Err(format!(
            "fail: expected close, reset or midway, found {value:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Result<Asked, String> {
        Asked::read(&uri.parse().unwrap(), 9001)
    }

    #[test]
    fn reads_every_wish_of_a_query() {
        let asked = read("/?delay=200ms&status=503&stream=3&every=1s&header=x-a:%20b&fail=midway");
        let expected = Asked {
            delay: Duration::from_millis(200),
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: vec![("x-a".parse().unwrap(), "b".parse().unwrap())],
            content: Content::Chunks(3),
            every: Duration::from_secs(1),
            failure: Some(Failure::Midway),
        };
        assert_eq!(asked, Ok(expected));
    }

    #[test]
    fn a_path_of_two_segments_is_a_wish_and_a_longer_one_is_not() {
        assert_eq!(read("/status/404").unwrap().status, StatusCode::NOT_FOUND);
        assert_eq!(read("/bytes/7").unwrap().content, Content::Bytes(7));
        assert_eq!(read("/status/404/x"), Ok(Asked::default()));
        assert_eq!(read("/header/x:y"), Ok(Asked::default()));
    }

    #[test]
    fn wishes_for_another_port_are_not_followed() {
        assert_eq!(read("/?status=503&at=9002"), Ok(Asked::default()));
        assert_eq!(read("/?at=9001&status=503").unwrap().status, 503);
    }

    #[test]
    fn other_keys_are_left_alone() {
        assert_eq!(read("/orders?id=7&flag&=&&"), Ok(Asked::default()));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for (query, found) in [
            ("delay=61s", "61s"),
            ("delay=5", "5"),
            ("delay=-1s", "-1s"),
            ("status=101", "101"),
            ("status=abc", "abc"),
            ("bytes=10737418241", "10737418241"),
            ("stream=1000001", "1000001"),
            ("header=novalue", "novalue"),
            ("header=content-length:7", "content-length:7"),
            ("header=x:a%0d%0ab", "x:a\\r\\nb"),
            ("fail=often", "often"),
            ("at=70000", "70000"),
        ] {
            let error = read(&format!("/?{query}")).unwrap_err();
            let key = query.split('=').next().unwrap();
            assert!(error.starts_with(&format!("{key}: expected ")), "{error}");
            assert!(error.ends_with(&format!("found \"{found}\"")), "{error}");
        }
    }
}
