//! Responses that the gateway makes itself.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

/// A response that ends a request before, or instead of, an upstream's.
///
/// [`Reply::problem`] is for refusals and faults: the gateway writes it as
/// `application/problem+json` (RFC 9457), or as the route's error page. [`Reply::new`] is for
/// answers that are meant as such.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: StatusCode,
    /// Header fields besides `content-type` and `content-length`, which the gateway sets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What the body says.
    pub body: ReplyBody,
}

/// The body of a [`Reply`].
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// Nothing.
    Empty,
    /// Bytes as they are, with their `content-type`.
    Bytes(HeaderValue, Bytes),
    /// An RFC 9457 problem.
    Problem(Box<Problem>),
}

/// The members of a problem (RFC 9457) that the filter decides; the gateway adds the others.
#[derive(Clone, Debug)]
pub struct Problem {
    /// One word for the cause, the same in logs, metrics and the problem's `type`, such as
    /// `rate_limited`.
    pub reason: &'static str,
    /// One sentence for the caller. It must tell nothing that the caller may not know.
    pub detail: Option<String>,
    /// One sentence for the operator: access log only.
    pub log: Option<String>,
    /// Further members.
    pub members: Map<String, Value>,
}

impl Reply {
    /// An answer with this status and no body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: ReplyBody::Empty,
        }
    }

    /// A refusal or fault: a status and one word for its cause.
    pub fn problem(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: ReplyBody::Problem(Box::new(Problem {
                reason,
                detail: None,
                log: None,
                members: Map::new(),
            })),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets a body of this media type.
    #[must_use]
    pub fn body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.body = ReplyBody::Bytes(content_type, body.into());
        self
    }

    /// Tells the caller more about a problem. No effect on other bodies.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        if let ReplyBody::Problem(problem) = &mut self.body {
            problem.detail = Some(detail.into());
        }
        self
    }

    /// Tells the operator more about a problem, in the access log only.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Self {
        if let ReplyBody::Problem(problem) = &mut self.body {
            problem.log = Some(log.into());
        }
        self
    }

    /// Adds a member to a problem (RFC 9457, 3.2).
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let ReplyBody::Problem(problem) = &mut self.body {
            problem.members.insert(name.to_owned(), value.into());
        }
        self
    }

    /// The word for the cause, where this is a problem.
    pub fn reason(&self) -> Option<&'static str> {
        match &self.body {
            ReplyBody::Problem(problem) => Some(problem.reason),
            _ => None,
        }
    }
}
