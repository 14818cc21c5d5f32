//! What came of a request through a filter.

use bytes::Bytes;

use crate::{Exchange, Reply, RequestHead, ResponseHead};

/// What became of a request.
#[derive(Debug)]
pub struct Seen {
    /// The filter's own reply, where it ended the request.
    pub reply: Option<Reply>,
    /// The request head as an endpoint got it, or as it was when the filter replied.
    pub request: RequestHead,
    /// The request body as an endpoint got it.
    pub request_body: Bytes,
    /// The response head that left.
    pub response: ResponseHead,
    /// The response body that left; of problems only those bytes that a filter made.
    pub response_body: Bytes,
    /// Why the filter would have ended the exchange, where it is only looked at.
    pub observed: Option<&'static str>,
    /// What the filter had to do without, where it went on all the same.
    pub degraded: Option<&'static str>,
    /// Why the response was cut short, where it was.
    pub aborted: Option<&'static str>,
    /// What was known of the exchange at its end.
    pub exchange: Exchange,
}

impl Seen {
    /// The status that left.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status.as_u16()
    }

    /// The first value of a field of the response.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers.get(name)?.to_str().ok()
    }

    /// The word for the cause of a problem.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.reply.as_ref()?.reason()
    }
}
