//! The codings, and bodies on their way through them.

use std::io::{self, Write};

use wiregate_sdk::{Bytes, Deserialize, HeaderValue, JsonSchema};
use zstd::stream::raw::CParameter;

/// A content coding (RFC 9110, 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub(in crate::transform) enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Br,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// The coding that goes by this name.
    pub(in crate::transform) fn named(name: &str) -> Option<Self> {
        let is = |other| name.eq_ignore_ascii_case(other);
        match () {
            () if is("zstd") => Some(Self::Zstd),
            () if is("br") => Some(Self::Br),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () => None,
        }
    }

    /// Its name.
    pub(in crate::transform) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Its name as the value of a field.
    pub(in crate::transform) const fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The levels that are fit for responses in passing: higher ones hold up the other requests
    /// of their worker with each piece, and of br, take 10 MiB and more.
    pub(in crate::transform) const fn levels(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Zstd => 1..=12,
            Self::Br => 0..=6,
            Self::Gzip => 1..=9,
        }
    }

    /// The level where none is written.
    pub(in crate::transform) const fn usual_level(self) -> u8 {
        match self {
            Self::Zstd => 3,
            Self::Br => 5,
            Self::Gzip => 6,
        }
    }

    /// About how much memory a body takes while it is being compressed, in bytes.
    pub(in crate::transform) const fn takes(self, level: u8) -> u64 {
        const KIB: u64 = 1024;
        match self {
            Self::Zstd if level <= 3 => 1536 * KIB,
            Self::Br if level <= 5 => 3072 * KIB,
            Self::Zstd | Self::Br => MOST_TAKEN,
            Self::Gzip => 400 * KIB,
        }
    }
}

/// No coding takes more than this, in bytes.
pub(in crate::transform) const MOST_TAKEN: u64 = 4 * 1024 * 1024;

/// How far back zstd and br look for what repeats, as a power of two: 512 KiB. Their own choice is
/// 2 MiB and more, and with it the memory of each response; RFC 9659 allows 8 MiB.
const WINDOW: u32 = 19;
/// How many bytes br hands over at a time.
const BR_BUFFER: usize = 8 * 1024;

/// A body on its way through a coding.
pub(in crate::transform) enum Encoder {
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// # Errors
    /// There is no memory for it.
    pub(in crate::transform) fn new(coding: Coding, level: u8) -> io::Result<Self> {
        let level = u32::from(level);
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), level.cast_signed())?;
                encoder.window_log(WINDOW)?;
                if level > 5 {
                    // Larger tables, as these levels have them, are of no use for such a window.
                    encoder.set_parameter(CParameter::HashLog(WINDOW))?;
                    encoder.set_parameter(CParameter::ChainLog(WINDOW))?;
                }
                Self::Zstd(encoder)
            }
            Coding::Br => {
                let encoder = brotli::CompressorWriter::new(Vec::new(), BR_BUFFER, level, WINDOW);
                Self::Br(Box::new(encoder))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(level);
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
        })
    }

    /// Takes a piece, and gives what is ready. With `flush` that is all of it, so that the client
    /// can decode the whole piece at once.
    ///
    /// # Errors
    /// The coding failed.
    pub(in crate::transform) fn piece(&mut self, data: &[u8], flush: bool) -> io::Result<Bytes> {
        let writer: &mut dyn Write = match self {
            Self::Zstd(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        };
        writer.write_all(data)?;
        if flush {
            writer.flush()?;
        }
        let ready = match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        Ok(std::mem::take(ready).into())
    }

    /// Takes the last piece, and gives the rest.
    ///
    /// # Errors
    /// The coding failed.
    pub(in crate::transform) fn finish(mut self, data: &[u8]) -> io::Result<Bytes> {
        let mut coded = Vec::from(self.piece(data, false)?);
        let rest = match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Br(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        };
        coded.extend_from_slice(&rest);
        Ok(coded.into())
    }
}
