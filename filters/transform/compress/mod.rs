//! `compress`: makes response bodies smaller.

pub(super) mod accept;
pub(super) mod encoder;
mod room;
#[cfg(test)]
mod tests;
mod validators;

use wiregate_sdk::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG,
};
use wiregate_sdk::types::{MediaRange, OneOrMany, Size};
use wiregate_sdk::{
    Abort, Build, Chunk, Deserialize, Filter, Flow, HeaderMap, HeaderName, Invalid, JsonSchema,
    Method, Request, Response, StatusCode,
};

use std::sync::Arc;

use encoder::{Coding, Encoder, MOST_TAKEN};
use room::{Room, Taken};
use validators::{asks_for, is_had, weakened};

/// Checksums of the bytes that leave, which are others now (RFC 9530; the older ones as well).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];
/// What is compressed where `types` is not written.
const TYPES: [&str; 16] = [
    "application/json",
    "text/*",
    "application/javascript",
    "*/*+json",
    "*/*+xml",
    "application/xml",
    "application/wasm",
    "application/x-ndjson",
    "application/yaml",
    "application/toml",
    "application/graphql",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

/// Makes response bodies smaller, with the coding that the client likes best (RFC 9110, 12.5.3).
///
/// Of the codings to which the client gives equal weight in `Accept-Encoding`, the first of
/// `codings` is used. A body goes through in pieces, and each piece leaves at once, so that
/// streams of events (`text/event-stream`) and slow responses are not held back. That costs up to
/// 2 % of size where pieces are 8 KiB or more, and more where they are smaller.
///
/// A response passes as it is where it has no body, is part of one (206), has a
/// `Content-Encoding` already, is not of the `types`, is known to be shorter than `min_size`, or
/// where the request or the response says `Cache-Control: no-transform`. Calls of gRPC pass, too:
/// they compress their messages themselves.
///
/// Where a body is compressed, `Content-Encoding` is set, a strong `ETag` becomes a weak one
/// (RFC 9110, 8.8.1), checksums (`Content-Digest`, `Repr-Digest`, `Digest`, `Content-MD5`),
/// `Content-Length` and `Accept-Ranges` are removed. `Vary: Accept-Encoding` is also on responses
/// that would be compressed for another client, so that caches keep them apart.
///
/// While it is being compressed, a response takes about 1.5 MiB of memory with zstd, 3 MiB with br
/// and 0.4 MiB with gzip, and 4 MiB at most at the highest levels. All responses together, of all
/// such filters, are compressed only as long as that is within `memory`: clients that take their
/// time cannot fill the gateway's memory with it. Beyond that a response passes as it is, and is
/// counted (`wiregate_filter_degraded_total`).
///
/// Compressed text whose length can be watched tells what is in it, where the client can add to it
/// (BREACH). Leave out routes that answer with a secret and with parts of the request in one body.
///
/// ```yaml
/// - compress
/// - compress: { codings: [br, gzip], min_size: 4KiB, level: { br: 6 } }
/// - compress: { codings: gzip, types: [text/*, "application/*+json"] }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// The codings to use, the best first; `[zstd, br, gzip]` when absent: zstd is the fastest,
    /// br makes the smallest, and every client knows gzip.
    #[serde(default)]
    codings: Option<OneOrMany<Coding>>,
    /// Media types to compress; when absent, text and what is like it: `text/*`, JSON,
    /// JavaScript, XML (SVG as well), YAML, WebAssembly, and fonts and images without a
    /// compression of their own.
    #[serde(default)]
    types: Option<OneOrMany<MediaRange>>,
    /// Bodies known to be shorter pass as they are. A body of unknown length is compressed.
    #[serde(default = "one_kib")]
    min_size: Size,
    /// How hard each coding tries.
    #[serde(default)]
    level: Levels,
    /// What all responses that are being compressed may take together for this filter to compress one
    /// more; at least 4MiB.
    #[serde(default = "quarter_of_a_gib")]
    memory: Size,
}

/// How hard each coding tries: higher is smaller and slower.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
struct Levels {
    /// 1 to 12; 3 when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 12))]
    zstd: Option<u8>,
    /// 0 to 6; 5 when absent.
    #[serde(default)]
    #[schemars(range(min = 0, max = 6))]
    br: Option<u8>,
    /// 1 to 9; 6 when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    gzip: Option<u8>,
}

fn one_kib() -> Size {
    Size::kib(1)
}

fn quarter_of_a_gib() -> Size {
    Size::mib(256)
}

/// The running form of `compress`.
pub struct Compress {
    codings: Vec<Coding>,
    /// By [`Coding`].
    levels: [u8; 3],
    types: Vec<MediaRange>,
    min_size: u64,
    room: Arc<Room>,
    memory: u64,
}

/// What a client takes, and its response on its way.
#[derive(Default)]
pub struct State {
    /// What to do with the response, if it can be compressed.
    coding: Option<Coding>,
    body: Body,
    /// The memory for it.
    taken: Option<Taken>,
}

#[derive(Default)]
enum Body {
    /// It passes, or is through.
    #[default]
    Passing,
    /// It is to be coded. What it takes is only taken once there is something to code.
    Awaited { left: Option<u64> },
    /// It is being coded; `left` is what is still to come, where that is known.
    Coding { encoder: Encoder, left: Option<u64> },
}

impl Filter for Compress {
    const NAME: &'static str = "compress";
    type Config = Config;
    type State = State;

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        let codings = match config.codings {
            Some(codings) => codings.into_vec(),
            None => vec![Coding::Zstd, Coding::Br, Coding::Gzip],
        };
        for (position, coding) in codings.iter().enumerate() {
            if codings[..position].contains(coding) {
                let message = format!("expected each coding once, found `{}` again", coding.name());
                invalid.and(Invalid::at(format!("codings[{position}]"), message));
            }
        }
        let levels = config.level.check(&codings, &mut invalid);
        if config.memory.get() < MOST_TAKEN {
            let (least, found) = (Size::bytes(MOST_TAKEN), config.memory);
            invalid.and(Invalid::at(
                "memory",
                format!("expected at least {least}, found {found}"),
            ));
        }
        invalid.into_result()?;
        Ok(Self {
            codings,
            levels,
            types: match config.types {
                Some(types) => types.into_vec(),
                None => TYPES
                    .map(|range| range.parse().expect("a media range"))
                    .into(),
            },
            min_size: config.min_size.get(),
            room: cx.share("compress", Room::default),
            memory: config.memory.get(),
        })
    }

    async fn request(&self, req: &mut Request<'_>, state: &mut State) -> Flow {
        if !has_no_transform(req.headers()) {
            state.coding = accept::choose(req.headers(), &self.codings);
        }
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, state: &mut State) {
        if res.status() == StatusCode::NOT_MODIFIED {
            return self.revalidate(res);
        }
        let left = length(res.headers());
        if !self.can_code(res, left) {
            return;
        }
        let mut headers = res.headers_mut();
        headers.vary(&ACCEPT_ENCODING);
        let Some(coding) = state.coding else {
            return;
        };
        if res.may_have_body() && !is_had(res) {
            state.taken = self.take(coding);
            if state.taken.is_none() {
                return res.degraded("no_memory");
            }
        }
        let mut headers = res.headers_mut();
        headers.set(&CONTENT_ENCODING, coding.value());
        for name in &DIGESTS {
            headers.remove(name);
        }
        if let Some(weak) = headers.get(&ETAG).and_then(weakened) {
            headers.set(&ETAG, weak);
        }
        state.body = Body::Awaited { left };
        res.rewrite_body();
    }

    fn response_body(&self, chunk: &mut Chunk, state: &mut State) -> Result<(), Abort> {
        let (mut encoder, left) = match std::mem::take(&mut state.body) {
            Body::Passing => return Ok(()),
            Body::Coding { encoder, left } => (encoder, left),
            Body::Awaited { left } => {
                let coding = state.coding.expect("a body is only awaited with a coding");
                if state.taken.is_none() {
                    // A filter in front has made another one of what the client had.
                    state.taken = Some(self.take(coding).ok_or(FAILED)?);
                }
                let encoder = Encoder::new(coding, self.levels[coding as usize]);
                (encoder.map_err(failed)?, left)
            }
        };
        if chunk.last {
            chunk.data = encoder.finish(&chunk.data).map_err(failed)?;
            state.taken = None;
            return Ok(());
        }
        let left = left.map(|left| left.saturating_sub(chunk.data.len() as u64));
        if !chunk.data.is_empty() {
            // The end follows at once where nothing is left, and needs no flush before it.
            chunk.data = encoder
                .piece(&chunk.data, left != Some(0))
                .map_err(failed)?;
        }
        state.body = Body::Coding { encoder, left };
        Ok(())
    }
}

impl Compress {
    /// The memory to encode a body, where it is there.
    fn take(&self, coding: Coding) -> Option<Taken> {
        let takes = coding.takes(self.levels[coding as usize]);
        self.room.take(takes, self.memory)
    }

    /// Whether a response would be compressed for a client that takes one of the codings.
    fn can_code(&self, res: &Response<'_>, length: Option<u64>) -> bool {
        let headers = res.headers();
        // A response to HEAD gets the fields that one to GET would get (RFC 9110, 9.3.2).
        let has_body = !res.status().is_informational()
            && !matches!(
                res.status(),
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
            )
            && res.exchange.method != Method::CONNECT
            && length.is_none_or(|length| length > 0 && length >= self.min_size);
        has_body
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && res
                .header(&CONTENT_TYPE)
                .is_some_and(|text| self.is_meant(text))
            && !has_no_transform(headers)
    }

    /// Says what a response says whose body the client has. It varies as with its body, of which
    /// nothing but its fields may be known here (RFC 9110, 15.4.5). Where the client asks with the
    /// weak form of the tag that the upstream confirms, what it has is what this filter made of it.
    fn revalidate(&self, res: &mut Response<'_>) {
        let is_other = |text| !self.is_meant(text);
        if res.header(&CONTENT_TYPE).is_some_and(is_other) || has_no_transform(res.headers()) {
            return;
        }
        res.headers_mut().vary(&ACCEPT_ENCODING);
        let Some(weak) = res.headers().get(ETAG).and_then(weakened) else {
            return;
        };
        if asks_for(&res.request.headers, weak.as_bytes()) {
            res.headers_mut().set(&ETAG, weak);
        }
    }

    fn is_meant(&self, content_type: &str) -> bool {
        const GRPC: &str = "application/grpc";
        let start = content_type.get(..GRPC.len());
        !start.is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
            && self.types.iter().any(|range| range.contains(content_type))
    }
}

impl Levels {
    fn check(&self, codings: &[Coding], invalid: &mut Invalid) -> [u8; 3] {
        let mut levels = [0; 3];
        for (coding, written) in [
            (Coding::Zstd, self.zstd),
            (Coding::Br, self.br),
            (Coding::Gzip, self.gzip),
        ] {
            let name = coding.name();
            let level = written.unwrap_or(coding.usual_level());
            levels[coding as usize] = level;
            let (least, most) = coding.levels().into_inner();
            if written.is_some() && !codings.contains(&coding) {
                let message = format!("expected levels of the `codings` only, found `{name}`");
                invalid.and(Invalid::at(format!("level.{name}"), message));
            } else if !coding.levels().contains(&level) {
                let message = format!("expected a level from {least} to {most}, found `{level}`");
                invalid.and(Invalid::at(format!("level.{name}"), message));
            }
        }
        levels
    }
}

/// RFC 9111, 5.2.1.6 and 5.2.2.6.
fn has_no_transform(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

const FAILED: Abort = Abort {
    reason: "compression_failed",
};

fn failed(_: std::io::Error) -> Abort {
    FAILED
}
