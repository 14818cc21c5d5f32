//! A response on its way out, and how an exchange ended.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{Claim, RequestHead, ResponseHead};
use crate::{Exchange, Facts, Headers};

/// Who made a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An endpoint.
    Upstream,
    /// The cache.
    Cache,
    /// The gateway itself.
    Gateway,
}

/// A response head on its way out.
pub struct Response<'a> {
    /// What is known of the exchange.
    pub exchange: &'a mut Exchange,
    /// The request that it answers, as the chain left it.
    pub request: &'a RequestHead,
    /// Who made it.
    pub origin: Origin,
    head: &'a mut ResponseHead,
    /// Whether fields that were there may be others now.
    edited: bool,
    claim: Claim,
    degraded: Option<&'static str>,
}

impl<'a> Response<'a> {
    /// Puts the view together: for the gateway and for test harnesses.
    pub fn new(
        exchange: &'a mut Exchange,
        request: &'a RequestHead,
        head: &'a mut ResponseHead,
        origin: Origin,
    ) -> Self {
        Self {
            exchange,
            request,
            origin,
            head,
            edited: false,
            claim: Claim::None,
            degraded: None,
        }
    }

    /// Says that something was not there that the filter needs, such as memory, and that the response
    /// goes on without its work. That is counted and logged; `why` is one word for it.
    pub fn degraded(&mut self, why: &'static str) {
        self.degraded = Some(why);
    }

    pub(crate) fn take_degraded(&mut self) -> Option<&'static str> {
        self.degraded.take()
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Changes the status.
    ///
    /// # Panics
    /// Where it becomes one that is for no final response (RFC 9110, 15.2): the client gets a 500.
    pub fn set_status(&mut self, status: StatusCode) {
        assert!(
            !status.is_informational() || status == self.head.status,
            "{status} is no status of a final response"
        );
        self.head.status = status;
    }

    /// The head.
    pub fn head(&self) -> &ResponseHead {
        self.head
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The header fields, to edit.
    pub fn headers_mut(&mut self) -> Headers<'_> {
        self.edited = true;
        (&mut *self.head).into()
    }

    /// Adds a value to a header field, after those that it has.
    pub fn add_header(&mut self, name: &HeaderName, value: HeaderValue) {
        self.edited |= self.head.headers.append(name, value);
    }

    /// Whether header fields that were there may be others now: a filter has added to one, or has asked for all of them to
    /// edit.
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// The first value of a header field, where it is there and visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// What expressions and templates may ask about.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            request: self.request,
            exchange: self.exchange,
            response: Some(self.head),
        }
    }

    /// Whether a body can follow: not after HEAD, nor with 1xx, 204 and 304 (RFC 9110, 6.4.1).
    pub fn may_have_body(&self) -> bool {
        let status = self.head.status;
        self.exchange.method != Method::HEAD
            && !status.is_informational()
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::NOT_MODIFIED
    }

    /// Asks for [`crate::Filter::response_body`] to be called with each piece, to rewrite it. The
    /// length is no longer known: the gateway drops `content-length` and frames the body anew.
    pub fn rewrite_body(&mut self) {
        self.claim = self.claim.max(Claim::Rewrite);
    }

    /// Asks for [`crate::Filter::response_whole`] to be called with the whole body, before the head
    /// leaves; the gateway sees to `content-length`. A body that is larger than the configuration
    /// allows (`limits.buffered_body`) becomes a 502. Where no body can follow, as after HEAD, none
    /// is waited for.
    pub fn whole_body(&mut self) {
        self.claim = Claim::Whole;
    }

    /// Asks for [`crate::Filter::response_body`] to be called with each piece, which it leaves as
    /// it is.
    pub fn watch_body(&mut self) {
        self.claim = self.claim.max(Claim::Watch);
    }

    /// The same response with another head.
    pub(crate) fn copy<'c>(&'c mut self, head: &'c mut ResponseHead) -> Response<'c> {
        Response::new(self.exchange, self.request, head, self.origin)
    }

    /// What the link just run claimed; asked once by the chain.
    pub(crate) fn take_claim(&mut self) -> Claim {
        std::mem::take(&mut self.claim)
    }
}

/// How an exchange ended.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// What is known of the exchange.
    pub exchange: &'a Exchange,
    /// The status that was sent; `None` when the client left before one was.
    pub status: Option<StatusCode>,
    /// Who made the response.
    pub origin: Origin,
    /// One word for what went wrong, where something did.
    pub error: Option<&'static str>,
    /// From the request head to the end of the response.
    pub duration: Duration,
    /// Body bytes sent to the client.
    pub bytes_sent: u64,
    /// Body bytes received from the client.
    pub bytes_received: u64,
}

#[cfg(test)]
mod tests {
    use http::header::VIA;

    use super::*;
    use crate::testing::{exchange, request_head, response_head};

    #[test]
    fn a_field_that_is_new_leaves_those_that_were_there_as_they_are() {
        let (request, mut head) = (request_head("GET", "/"), response_head(200));
        let mut exchange = exchange(&request);
        let mut res = Response::new(&mut exchange, &request, &mut head, Origin::Gateway);
        let value = HeaderValue::from_static("1.1 a");
        res.add_header(&VIA, value.clone());
        assert!(!res.is_edited());
        res.add_header(&VIA, value);
        assert!(res.is_edited());
        assert_eq!(res.headers().get_all(VIA).iter().count(), 2);
        let mut res = Response::new(&mut exchange, &request, &mut head, Origin::Gateway);
        res.headers_mut().remove(&VIA);
        assert!(res.is_edited());
    }
}
