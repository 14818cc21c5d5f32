//! What an HTTP/2 client may ask of one connection.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use wiregate_sdk::types::{Period, Rate, Size};

/// The least and the most that a flow-control window may hold (RFC 9113, 6.9).
const WINDOW: [u64; 2] = [65_535, (1 << 31) - 1];
const HEADER_LIST: [u64; 2] = [1 << 10, 1 << 20];
const SEND_BUFFER: [u64; 2] = [16 << 10, 64 << 20];

/// Bounds for each HTTP/2 connection. Beyond a rate the connection ends with GOAWAY
/// `ENHANCE_YOUR_CALM`; the whole count may come at once.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Streams that a client may have open at once (RFC 9113, 5.1.2); more are refused.
    pub streams: NonZeroU32,
    /// The largest list of header fields, uncompressed and with 32 bytes for each field (RFC 9113,
    /// 6.5.2), from 1KiB to 1MiB; 431 beyond.
    #[serde(deserialize_with = "header_list")]
    pub header_list: Size,
    /// How much of a request body a client may send ahead on one stream, from 65535 bytes to
    /// 2147483647: the memory that a stream's upload can take.
    #[serde(deserialize_with = "window")]
    pub stream_window: Size,
    /// The same for all streams of a connection together: the memory that its uploads can take.
    #[serde(deserialize_with = "window")]
    pub connection_window: Size,
    /// How much of a response waits in memory for a client that reads slowly, for each stream,
    /// from 16KiB to 64MiB.
    #[serde(deserialize_with = "send_buffer")]
    pub send_buffer: Size,
    /// CONTINUATION frames in one list of header fields (RFC 9113, 6.10). Above 5, `header_list`
    /// must be larger as well: no more are taken than 5 for each 64KiB of it.
    pub continuations: NonZeroU32,
    /// PING frames, beyond one for each DATA frame that the client was sent. Answers to none are counted as well.
    pub pings: Rate,
    /// SETTINGS frames.
    pub settings: Rate,
    /// PRIORITY and PRIORITY_UPDATE frames, beyond four for each stream.
    pub priorities: Rate,
    /// WINDOW_UPDATE frames, beyond four for each DATA frame that the client was sent and for each
    /// stream.
    pub window_updates: Rate,
    /// DATA frames that bring nothing: no byte, and not the end of the body.
    pub empty_data: Rate,
    /// RST_STREAM frames, beyond one for each response that the client was sent to its end.
    pub resets: Rate,
    /// Frames of types that HTTP/2 does not know.
    pub unknown_frames: Rate,
}

impl Default for Http2 {
    fn default() -> Self {
        let number = |count| NonZeroU32::new(count).expect("not zero");
        let each_minute = |count| Rate::new(number(count), Period::seconds(60));
        Self {
            streams: number(100),
            header_list: Size::kib(64),
            stream_window: Size::kib(256),
            connection_window: Size::mib(1),
            send_buffer: Size::kib(256),
            continuations: number(5),
            pings: each_minute(600),
            settings: each_minute(60),
            priorities: each_minute(600),
            window_updates: each_minute(1200),
            empty_data: each_minute(600),
            resets: each_minute(300),
            unknown_frames: each_minute(600),
        }
    }
}

fn between<'de, D: Deserializer<'de>>(
    source: D,
    [least, most]: [u64; 2],
) -> Result<Size, D::Error> {
    let size = Size::deserialize(source)?;
    if (least..=most).contains(&size.get()) {
        return Ok(size);
    }
    let (least, most) = (Size::bytes(least), Size::bytes(most));
    Err(de::Error::custom(format!(
        "expected a size from {least} to {most}, found {size}"
    )))
}

fn window<'de, D: Deserializer<'de>>(source: D) -> Result<Size, D::Error> {
    between(source, WINDOW)
}

fn header_list<'de, D: Deserializer<'de>>(source: D) -> Result<Size, D::Error> {
    between(source, HEADER_LIST)
}

fn send_buffer<'de, D: Deserializer<'de>>(source: D) -> Result<Size, D::Error> {
    between(source, SEND_BUFFER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_sizes_that_http2_cannot_have() {
        for (text, least) in [
            (r#"{"stream_window": "1KiB"}"#, "expected a size from 65535"),
            (r#"{"connection_window": "4GiB"}"#, "expected a size from"),
            (r#"{"header_list": 0}"#, "expected a size from 1KiB to 1MiB"),
            (
                r#"{"send_buffer": 1}"#,
                "expected a size from 16KiB to 64MiB",
            ),
        ] {
            let problem = serde_json::from_str::<Http2>(text).unwrap_err().to_string();
            assert!(problem.contains(least), "{problem}");
        }
        assert!(serde_json::from_str::<Http2>(r#"{"stream_window": 65535}"#).is_ok());
    }
}
