//! Whose body it is, what it is made of, and what is said of it.

use wiregate_sdk::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED,
};
use wiregate_sdk::{Bytes, HeaderName, HeaderValue, Headers, Reply, StatusCode};

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transform) enum Side {
    /// The client's.
    Request,
    /// The upstream's, or the gateway's.
    Response,
}

impl Side {
    /// A refusal of what the other side has sent: a client's mistake is a 400.
    pub(in crate::transform) fn refuse(
        self,
        reason: &'static str,
        why: impl Into<String>,
    ) -> Reply {
        match self {
            Self::Request => Reply::problem(StatusCode::BAD_REQUEST, reason).detail(why),
            // What an upstream sends is no client's business.
            Self::Response => Reply::problem(StatusCode::BAD_GATEWAY, reason).log(why),
        }
    }

    /// A refusal of a body that is larger than this.
    pub(in crate::transform) fn too_large(self, limit: u64) -> Reply {
        let why = format!("the body may have {limit} bytes without its coding");
        match self {
            Self::Request => {
                Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").detail(why)
            }
            Self::Response => {
                Reply::problem(StatusCode::BAD_GATEWAY, "response_too_large").log(why)
            }
        }
    }
}

/// A body that takes another one's place.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) body: Bytes,
    /// Whether it has lost the coding that the other one had.
    pub(super) uncoded: bool,
    /// Whether who gets it could have got another coding.
    pub(super) varies: bool,
    /// The media type, where it is another one.
    pub(super) content_type: Option<HeaderValue>,
}

impl Made {
    /// Makes the fields right; the length is the gateway's.
    pub(super) fn describe(&self, headers: &mut Headers<'_>) {
        forget_the_other_body(headers);
        if self.uncoded {
            headers.remove(&CONTENT_ENCODING);
        }
        if self.varies {
            headers.vary(&ACCEPT_ENCODING);
        }
        if let Some(content_type) = &self.content_type {
            headers.set(&CONTENT_TYPE, content_type.clone());
        }
    }
}

/// What tells of the bytes that were there before (RFC 9110, 8.8 and 14.3; RFC 9530).
const OTHERS: [HeaderName; 7] = [
    ETAG,
    LAST_MODIFIED,
    ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Takes out the fields that are about another body.
pub(in crate::transform) fn forget_the_other_body(headers: &mut Headers<'_>) {
    for name in &OTHERS {
        // Compared without a hash: most are not there.
        if headers.map().keys().any(|own| own == name) {
            headers.remove(name);
        }
    }
}
