//! What is told of the cache's part in a response: `Cache-Status` (RFC 9211).

use http::{HeaderName, HeaderValue};

use super::storing::Why;

/// Most of what is told is no longer than this.
const MOST: usize = 64;

/// The field.
pub static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the cache did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It answered with what was stored. `ttl` in seconds.
    Hit { ttl: i64, why: Option<Why> },
    /// The request went on.
    Forwarded {
        why: Forwarded,
        /// The status that came back, where it is not the one that leaves.
        status: Option<u16>,
        /// Whether this request waited for another one's fetch.
        collapsed: bool,
        stored: Stored,
    },
}

/// Whether the response was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was.
    Yes,
    /// It was not, and why.
    No(Option<Why>),
}

/// Why a request went on (RFC 9211, 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache was not asked.
    Bypass,
    /// The method is none that it answers.
    Method,
    /// Nothing was stored for the URL.
    UriMiss,
    /// Nothing was stored for what `Vary` names.
    VaryMiss,
    /// What was stored is fresh, but not what the request asks for.
    Request,
    /// What was stored is stale.
    Stale,
}

impl Forwarded {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

impl Told {
    /// What comes of most requests that are not answered with what is stored: there is no need to write it each time.
    const STORED: Self = Self::Forwarded {
        why: Forwarded::UriMiss,
        status: None,
        collapsed: false,
        stored: Stored::Yes,
    };

    /// The member of this cache.
    pub fn value(&self) -> HeaderValue {
        if *self == Self::STORED {
            return HeaderValue::from_static("wiregate; fwd=uri-miss; stored");
        }
        let mut text = Vec::with_capacity(MOST);
        self.put(&mut text);
        HeaderValue::try_from(text).expect("words and numbers")
    }

    /// The same, as text behind another one.
    pub fn put(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"wiregate");
        match self {
            Self::Hit { ttl, why } => {
                text.extend_from_slice(b"; hit; ttl=");
                text.extend_from_slice(itoa::Buffer::new().format(*ttl).as_bytes());
                detail(text, *why);
            }
            Self::Forwarded {
                why,
                status,
                collapsed,
                stored,
            } => {
                text.extend_from_slice(b"; fwd=");
                text.extend_from_slice(why.word().as_bytes());
                if let Some(status) = status {
                    text.extend_from_slice(b"; fwd-status=");
                    text.extend_from_slice(itoa::Buffer::new().format(*status).as_bytes());
                }
                if *stored == Stored::Yes {
                    text.extend_from_slice(b"; stored");
                }
                if *collapsed {
                    text.extend_from_slice(b"; collapsed");
                }
                if let Stored::No(why) = stored {
                    detail(text, *why);
                }
            }
        }
    }
}

fn detail(text: &mut Vec<u8>, why: Option<Why>) {
    if let Some(why) = why {
        text.extend_from_slice(b"; detail=");
        text.extend_from_slice(why.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9211_2_members_are_structured_fields() {
        let stored = Told::Forwarded {
            why: Forwarded::Stale,
            status: Some(304),
            collapsed: true,
            stored: Stored::Yes,
        };
        let refused = Told::Forwarded {
            why: Forwarded::UriMiss,
            status: None,
            collapsed: false,
            stored: Stored::No(Some("no-store")),
        };
        for (told, expected) in [
            (
                Told::Hit {
                    ttl: -30,
                    why: None,
                },
                "wiregate; hit; ttl=-30",
            ),
            (
                stored,
                "wiregate; fwd=stale; fwd-status=304; stored; collapsed",
            ),
            (refused, "wiregate; fwd=uri-miss; detail=no-store"),
            (Told::STORED, "wiregate; fwd=uri-miss; stored"),
        ] {
            let value = told.value();
            assert_eq!(value, expected);
            let list: sfv::List = sfv::Parser::new(value.as_bytes()).parse().unwrap();
            assert_eq!(list.len(), 1);
        }
    }
}
