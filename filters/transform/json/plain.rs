//! Bodies that are read, and not written again.

use wiregate_sdk::header::CONTENT_TYPE;
use wiregate_sdk::types::MediaRange;
use wiregate_sdk::{HeaderMap, Reply};

use super::charset::Charset;
use super::coding::{Bounds, Coding, Undecodable};
use super::entity::Side;
use super::scan;

/// How large a body may be without its coding.
const BOUNDS: Bounds = Bounds {
    limit: 8 * 1024 * 1024,
    ratio: 100,
};

/// A body without its coding and its charset.
pub(in crate::transform) enum Plain {
    /// Checked to be JSON.
    Json(Vec<u8>),
    Text(String),
    /// Neither, or nothing.
    Other,
}

impl Plain {
    /// What a body is, by its fields.
    ///
    /// # Errors
    /// A refusal, where it is not what they say.
    pub(in crate::transform) fn of(
        side: Side,
        body: &[u8],
        headers: &HeaderMap,
    ) -> Result<Self, Reply> {
        let invalid = |why: String| side.refuse("invalid_json", why);
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let Some(content_type) = content_type.filter(|_| !body.is_empty()) else {
            return Ok(Self::Other);
        };
        let is = |range: &str| {
            let range: MediaRange = range.parse().expect("a media range");
            range.contains(content_type)
        };
        let is_json = is("application/json") || is("application/*+json");
        if !is_json && !is("text/*") {
            return Ok(Self::Other);
        }
        let coding = Coding::of(headers)
            .map_err(|_| invalid("expected one coding of gzip, br, zstd and deflate".into()))?;
        let decoded = match coding {
            None => body.to_vec(),
            Some(coding) => coding.decode(body, BOUNDS).map_err(|why| match why {
                Undecodable::Broken => invalid("expected a body in its coding".into()),
                Undecodable::TooLarge | Undecodable::Bomb => side.too_large(BOUNDS.limit),
            })?,
        };
        let charset = Charset::of(headers).map_err(|why| invalid(why.into()))?;
        let text = charset.decode(&decoded).map_err(invalid)?.into_owned();
        if is_json {
            scan::check(&text).map_err(invalid)?;
            return Ok(Self::Json(text));
        }
        let text = String::from_utf8(text).map_err(|_| invalid("expected UTF-8".into()))?;
        Ok(Self::Text(text))
    }
}
