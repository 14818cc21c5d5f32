//! Content codings of bodies that are read and written again.

use std::io::{self, Read, Write};

use wiregate_sdk::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use wiregate_sdk::{HeaderMap, HeaderValue};

use crate::transform::compress::accept;
use crate::transform::compress::encoder::{Coding as Common, Encoder};

/// A coding that can be undone, and done again (RFC 9110, 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Common(Common),
    /// The `zlib` format (RFC 1950), which HTTP calls `deflate`.
    Deflate,
}

/// A body has a coding that is not known, or several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// How large a decoded body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// In bytes.
    pub(super) limit: u64,
    /// How many times as large as it came.
    pub(super) ratio: u64,
}

/// Why a body could not be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    TooLarge,
    /// It grows too much, as what is made to use up memory does.
    Bomb,
    Broken,
}

/// A decoded body may be this large, whatever the ratio.
const HARMLESS: u64 = 64 * 1024;
/// How far back a zstd body may refer, as a power of two: 8 MiB, as RFC 9659 has it.
const WINDOW: u32 = 23;
const PIECE: usize = 32 * 1024;
/// What this filter can undo, for the upstream to choose from.
const KNOWN: [&str; 6] = ["gzip", "x-gzip", "deflate", "br", "zstd", "identity"];

impl Coding {
    /// The coding of a body; none where it has none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Unknown> {
        let mut found = None;
        for line in headers.get_all(CONTENT_ENCODING) {
            let names = line
                .to_str()
                .map_err(|_| Unknown)?
                .split(',')
                .map(str::trim);
            for name in names.filter(|name| !name.is_empty()) {
                if name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                let deflate = || {
                    name.eq_ignore_ascii_case("deflate")
                        .then_some(Self::Deflate)
                };
                let coding = Common::named(name).map(Self::Common).or_else(deflate);
                if found.replace(coding.ok_or(Unknown)?).is_some() {
                    return Err(Unknown);
                }
            }
        }
        Ok(found)
    }

    /// Whether who sent these header fields takes it.
    pub(super) fn is_taken_by(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Common(coding) => accept::choose(headers, &[coding]) == Some(coding),
            Self::Deflate => false, // clients differ about what it is; none takes it alone
        }
    }

    /// The body without its coding.
    pub(super) fn decode(self, coded: &[u8], bounds: Bounds) -> Result<Vec<u8>, Undecodable> {
        let broken = |_: io::Error| Undecodable::Broken;
        let mut source: Box<dyn Read + '_> = match self {
            Self::Common(Common::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(coded)),
            Self::Common(Common::Br) => Box::new(brotli::Decompressor::new(coded, PIECE)),
            Self::Common(Common::Zstd) => {
                let mut decoder = zstd::Decoder::with_buffer(coded).map_err(broken)?;
                decoder.window_log_max(WINDOW).map_err(broken)?;
                Box::new(decoder)
            }
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(coded)),
        };
        let largest = (coded.len() as u64)
            .saturating_mul(bounds.ratio)
            .max(HARMLESS);
        let mut plain = Vec::new();
        loop {
            let before = plain.len();
            let read = (&mut source).take(PIECE as u64).read_to_end(&mut plain);
            read.map_err(broken)?;
            match plain.len() as u64 {
                length if length > bounds.limit => return Err(Undecodable::TooLarge),
                length if length > largest => return Err(Undecodable::Bomb),
                _ if plain.len() == before => return Ok(plain),
                _ => {}
            }
        }
    }

    /// The body with the coding.
    ///
    /// # Errors
    /// The coding failed.
    pub(super) fn encode(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Common(coding) => {
                let encoder = Encoder::new(coding, coding.usual_level())?;
                Ok(encoder.finish(plain)?.into())
            }
            Self::Deflate => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(plain)?;
                encoder.finish()
            }
        }
    }
}

/// The part of `accept-encoding` whose codings can be undone, where there is such a field.
pub(super) fn known_only(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ACCEPT_ENCODING)?;
    let mut kept = Vec::new();
    for line in headers.get_all(ACCEPT_ENCODING) {
        for item in line.to_str().unwrap_or_default().split(',') {
            let name = item.split(';').next().unwrap_or_default().trim();
            if KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                kept.push(item.trim());
            }
        }
    }
    if kept.is_empty() {
        return Some(HeaderValue::from_static("identity"));
    }
    Some(HeaderValue::from_str(&kept.join(", ")).expect("parts of a value make a value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 4] = [
        Coding::Common(Common::Gzip),
        Coding::Common(Common::Br),
        Coding::Common(Common::Zstd),
        Coding::Deflate,
    ];
    const BOUNDS: Bounds = Bounds {
        limit: 1 << 20,
        ratio: 100,
    };

    fn headers(name: wiregate_sdk::HeaderName, value: &'static str) -> HeaderMap {
        [(name, HeaderValue::from_static(value))]
            .into_iter()
            .collect()
    }

    #[test]
    fn what_is_coded_is_decoded() {
        for coding in ALL {
            for plain in [&b""[..], b"{}", &[b'x'; 100_000]] {
                let bounds = Bounds {
                    ratio: 100_000,
                    ..BOUNDS
                };
                let coded = coding.encode(plain).unwrap();
                assert_eq!(coding.decode(&coded, bounds).unwrap(), plain, "{coding:?}");
            }
        }
    }

    #[test]
    fn what_grows_too_much_is_given_up() {
        for coding in ALL {
            let coded = coding.encode(&vec![b' '; 1 << 20]).unwrap();
            let bounds = Bounds {
                ratio: 10,
                ..BOUNDS
            };
            assert_eq!(
                coding.decode(&coded, bounds),
                Err(Undecodable::Bomb),
                "{coding:?}"
            );
            let bounds = Bounds {
                limit: 100_000,
                ratio: 1 << 20,
            };
            assert_eq!(
                coding.decode(&coded, bounds),
                Err(Undecodable::TooLarge),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn what_is_cut_short_or_no_coding_is_broken() {
        for coding in ALL {
            let coded = coding
                .encode(b"a text that is long enough to be cut")
                .unwrap();
            let cut = &coded[..coded.len() - 5];
            assert_eq!(
                coding.decode(cut, BOUNDS),
                Err(Undecodable::Broken),
                "{coding:?}"
            );
            assert_eq!(
                coding.decode(b"no coding", BOUNDS),
                Err(Undecodable::Broken),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn knows_one_coding() {
        let of = |value| Coding::of(&headers(CONTENT_ENCODING, value));
        assert_eq!(of("gzip"), Ok(Some(ALL[0])));
        assert_eq!(of("identity, X-GZIP"), Ok(Some(ALL[0])));
        assert_eq!(of("deflate"), Ok(Some(Coding::Deflate)));
        assert_eq!(of("identity"), Ok(None));
        assert_eq!(of("compress"), Err(Unknown));
        assert_eq!(of("gzip, br"), Err(Unknown));
    }

    #[test]
    fn the_upstream_is_asked_for_what_can_be_undone() {
        for (asked, left) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
            ("dcb, br;q=0.5, *;q=0.1", "br;q=0.5"),
            ("*", "identity"),
            ("", "identity"),
        ] {
            assert_eq!(known_only(&headers(ACCEPT_ENCODING, asked)).unwrap(), left);
        }
    }
}
