//! `body_limit`: refuses request bodies that are too large.

use wiregate_sdk::types::Size;
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{
    Build, Chunk, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request,
    StatusCode, header,
};

/// Refuses requests whose body is larger than this; a body of exactly this size passes.
///
/// | what happens | what the client gets |
/// |---|---|
/// | `Content-Length` tells a larger body | 413, reason `body_too_large`, before any of it is read |
/// | a body without a length turns out larger | the same, as soon as it does |
///
/// In the second case the beginning of the body may have left for the upstream, which sees the
/// request cut short. Bytes count as they are when they reach this filter: as received, unless a
/// filter before it changes the body; what filters behind it make of the body does not count. One
/// behind it that reads the whole body at once is also bound by the gateway's own limit for that. A
/// limit of 0 lets only requests without a body pass.
///
/// ```yaml
/// - body_limit: 1MiB
/// ```
///
/// ```yaml
/// - body_limit: { limit: 64KiB }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(ShortOrFull<Size, Options>);

/// The options of `body_limit`, written out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Options {
    /// The largest body that passes.
    limit: Size,
}

/// The running form of `body_limit`.
pub struct BodyLimit {
    limit: Size,
}

impl Filter for BodyLimit {
    const NAME: &'static str = "body_limit";
    type Config = Config;
    /// Bytes seen so far.
    type State = u64;

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        let limit = match config.0 {
            ShortOrFull::Short(limit) => limit,
            ShortOrFull::Full(options) => options.limit,
        };
        Ok(Self { limit })
    }

    async fn request(&self, req: &mut Request<'_>, _: &mut u64) -> Flow {
        let mut lengths = req.headers().get_all(header::CONTENT_LENGTH).iter();
        if lengths.any(|length| exceeds(length, self.limit.get())) {
            return Err(self.refuse());
        }
        // Also with a length: filters before this one may change the body.
        req.watch_body();
        Ok(())
    }

    fn request_body(&self, chunk: &mut Chunk, seen: &mut u64) -> Result<(), Reply> {
        *seen = seen.saturating_add(chunk.data.len() as u64);
        if *seen > self.limit.get() {
            return Err(self.refuse());
        }
        Ok(())
    }
}

impl BodyLimit {
    fn refuse(&self) -> Reply {
        Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").detail(format!(
            "the body is larger than the {} that are accepted",
            self.limit
        ))
    }
}

/// Whether a length is more than the limit, be it more than fits into a number. What is no length
/// at all is for the gateway to refuse; the bytes are counted in any case.
fn exceeds(length: &HeaderValue, limit: u64) -> bool {
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = length.to_str().ok().and_then(|text| text.parse().ok());
    is_number && number.unwrap_or(u64::MAX) > limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiregate_sdk::Bytes;
    use wiregate_sdk::testing::{Probe, Seen, probe, refusal};

    use super::*;

    /// Sends a body in pieces, as one whose length nobody tells.
    async fn stream(filter: &Probe, pieces: &[usize]) -> Seen {
        let pieces = pieces.iter().map(|len| Bytes::from(vec![b'x'; *len]));
        filter.request("POST", "/").stream(pieces).send().await
    }

    #[tokio::test]
    async fn lets_a_body_of_exactly_the_limit_pass() {
        let filter = probe::<BodyLimit>("10");
        let seen = filter.post("/", "0123456789").send().await;
        assert_eq!(
            (seen.status(), &seen.request_body[..]),
            (200, &b"0123456789"[..])
        );
        assert_eq!(stream(&filter, &[4, 0, 6]).await.status(), 200);
    }

    #[tokio::test]
    async fn refuses_a_longer_one_by_its_length() {
        let filter = probe::<BodyLimit>("{ limit: 10 }");
        let call = filter.get("/").header("content-length", "11");
        let seen = call.send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (413, Some("body_too_large"))
        );
    }

    #[tokio::test]
    async fn refuses_a_longer_one_while_it_comes() {
        let filter = probe::<BodyLimit>("10");
        let seen = stream(&filter, &[4, 6, 1]).await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (413, Some("body_too_large"))
        );
    }

    #[tokio::test]
    async fn refuses_lengths_beyond_all_numbers() {
        let filter = probe::<BodyLimit>("16777215TiB");
        for (length, status) in [("99999999999999999999999", 413), ("1", 200), ("x", 200)] {
            let call = filter.get("/").header("content-length", length);
            assert_eq!(call.send().await.status(), status, "{length}");
        }
    }

    #[tokio::test]
    async fn looks_at_each_of_several_lengths() {
        let call = probe::<BodyLimit>("10").get("/");
        let call = call
            .header("content-length", "1")
            .header("content-length", "11");
        assert_eq!(call.send().await.status(), 413);
    }

    #[tokio::test]
    async fn of_zero_lets_only_requests_without_a_body_pass() {
        let filter = probe::<BodyLimit>("0");
        assert_eq!(filter.get("/").send().await.status(), 200);
        assert_eq!(filter.post("/", "x").send().await.status(), 413);
        assert_eq!(stream(&filter, &[1]).await.status(), 413);
    }

    #[test]
    fn refuses_options_that_say_no_size() {
        assert!(refusal::<BodyLimit>("10 MB").contains("expected a size"));
        assert!(refusal::<BodyLimit>("{}").contains("limit"));
        assert!(refusal::<BodyLimit>("{ limit: 1MiB, max: 2MiB }").contains("max"));
    }

    proptest! {
        #[test]
        fn what_passes_is_whole_and_within_the_limit(
            pieces in prop::collection::vec(0..200_usize, 0..8),
            limit in 0..800_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let filter = probe::<BodyLimit>(&limit.to_string());
            let seen = runtime.block_on(stream(&filter, &pieces));
            let total: usize = pieces.iter().sum();
            prop_assert_eq!(seen.status() == 200, total <= limit);
            if total <= limit {
                prop_assert_eq!(seen.request_body.len(), total);
            }
        }
    }
}
