//! One request through a filter.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, StatusCode};

use super::bodies::{Inner, draft, pass_request_body, pass_response_body};
use super::seen::Seen;
use super::{exchange, request_head, response_head};
use crate::chain::{Slots, Stopped};
use crate::views::Claim;
use crate::{
    Attempt, Chain, Exchange, Identity, Now, Origin, Outcome, Reply, RequestHead, Response,
    ResponseHead,
};

/// A request that is about to be sent through a filter, and the response that waits behind it.
pub struct Call {
    chain: Arc<Chain>,
    head: RequestHead,
    exchange: Exchange,
    body: Vec<Bytes>,
    response: ResponseHead,
    response_body: Vec<Bytes>,
    /// How large a request's body may be that is read as a whole.
    limit: usize,
}

impl Call {
    pub(super) fn new(chain: Arc<Chain>, now: Now, method: &str, target: &str) -> Self {
        let mut head = request_head(method, target);
        (head.headers).insert(HOST, HeaderValue::from_static("example.com"));
        let mut exchange = exchange(&head);
        exchange.now = now;
        exchange.route = "probe".into();
        Self {
            chain,
            head,
            exchange,
            body: Vec::new(),
            response: response_head(200),
            response_body: Vec::new(),
            limit: usize::MAX,
        }
    }

    /// Sets how large the request body may be for a filter that reads the whole of it.
    #[must_use]
    pub fn within(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Adds a request header field.
    ///
    /// # Panics
    /// Where it is not a valid one.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.header_bytes(name, value.as_bytes())
    }

    /// The same with any bytes that a field may have.
    ///
    /// # Panics
    /// Where it is not a valid one.
    #[must_use]
    pub fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        let name: HeaderName = name.parse().expect("a valid field name");
        let value = HeaderValue::from_bytes(value).expect("a valid field value");
        if name == HOST {
            self.head.headers.remove(HOST);
        }
        self.head.headers.append(name, value);
        self
    }

    /// Removes all request header fields of this name.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.head.headers.remove(name);
        self
    }

    /// Sets the target, as an earlier filter would have.
    ///
    /// # Panics
    /// Where it is not a valid one.
    #[must_use]
    pub fn rewritten(mut self, target: &str) -> Self {
        self.head.uri = target.parse().expect("a valid target");
        self
    }

    /// Sets the request body, which comes in one piece.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.pieces([body.into()])
    }

    /// Sets the request body, which comes in these pieces.
    ///
    /// # Panics
    /// Never: a length is a valid field value.
    #[must_use]
    pub fn pieces(mut self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        self.body = pieces.into_iter().collect();
        let length: usize = self.body.iter().map(Bytes::len).sum();
        self.head.headers.insert(CONTENT_LENGTH, length.into());
        self
    }

    /// Sets the request body, which comes in these pieces and whose length is not told before.
    #[must_use]
    pub fn stream(mut self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        self.body = pieces.into_iter().collect();
        self
    }

    /// Sets the client's address.
    ///
    /// # Panics
    /// Where it is not one.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        let address = address.parse().expect("a valid address");
        self.exchange.client.address = address;
        self.exchange.client.peer = address;
        self
    }

    /// Sets the client's scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: &'static str) -> Self {
        self.exchange.client.scheme = scheme;
        self
    }

    /// Sets who is calling, as an earlier filter would have.
    #[must_use]
    pub fn identity(self, name: &str) -> Self {
        self.caller(Identity {
            name: name.into(),
            ..Identity::default()
        })
    }

    /// Sets all that is known of who is calling, as an earlier filter would have.
    #[must_use]
    pub fn caller(mut self, identity: Identity) -> Self {
        self.exchange.identity = Some(Arc::new(identity));
        self
    }

    /// Sets a path parameter.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.exchange.params.push((name.into(), value.to_owned()));
        self
    }

    /// Sets the status that the endpoint answers with.
    ///
    /// # Panics
    /// Where it is not a valid one.
    #[must_use]
    pub fn answer(mut self, status: u16) -> Self {
        self.response.status = StatusCode::from_u16(status).expect("a valid status");
        self
    }

    /// Adds a header field that the endpoint answers with.
    ///
    /// # Panics
    /// Where it is not a valid one.
    #[must_use]
    pub fn answer_header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a valid field name");
        let value = HeaderValue::from_str(value).expect("a valid field value");
        self.response.headers.append(name, value);
        self
    }

    /// Sets the body that the endpoint answers with, in these pieces.
    ///
    /// # Panics
    /// Never: a length is a valid field value.
    #[must_use]
    pub fn answer_body(mut self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        self.response_body = pieces.into_iter().collect();
        let length: usize = self.response_body.iter().map(Bytes::len).sum();
        (self.response.headers).insert(CONTENT_LENGTH, length.into());
        self
    }

    /// Sends the request through the filter, and the response back.
    pub async fn send(mut self) -> Seen {
        let chain = self.chain.clone();
        let mut slots = Slots::new();
        let mut inbound = Inner {
            head: &mut self.head,
            pieces: &self.body,
            body: None,
            passed: 0,
            limit: self.limit,
        };
        let entered = chain
            .request(&mut self.exchange, &mut inbound, &mut slots, |_| {})
            .await;
        let (whole, passed) = (inbound.body, inbound.passed);
        let mut sent = Bytes::new();
        let stopped = match entered {
            Err(stopped) => Some(stopped),
            Ok(()) => match pass_request_body(&chain, &mut slots, passed, whole, &self.body) {
                Ok(body) => {
                    sent = body;
                    None
                }
                Err(stopped) => Some(stopped),
            },
        };
        let reply = stopped.map(|stopped| stopped.reply);
        let origin = match &reply {
            Some(reply) => {
                (self.response, self.response_body) = draft(reply);
                Origin::Gateway
            }
            None => {
                let mut attempt = Attempt {
                    exchange: &self.exchange,
                    head: &mut self.head,
                    upstream: "probe",
                    endpoint: "192.0.2.2:80",
                    number: 1,
                };
                chain
                    .upstream(&mut attempt, &mut slots)
                    .expect("no filter panics");
                Origin::Upstream
            }
        };
        self.finish(&chain, slots, reply, origin, sent).await
    }

    async fn finish(
        mut self,
        chain: &Chain,
        mut slots: Slots,
        mut reply: Option<Reply>,
        mut origin: Origin,
        request_body: Bytes,
    ) -> Seen {
        let (response_body, aborted) = loop {
            match self.respond(chain, &mut slots, origin).await {
                Ok(left) => break left,
                Err(stopped) => {
                    (self.response, self.response_body) = draft(&stopped.reply);
                    (reply, origin) = (Some(stopped.reply), Origin::Gateway);
                }
            }
        };
        chain
            .show_gathered(&self.exchange, &self.head, &mut slots)
            .await;
        let outcome = Outcome {
            exchange: &self.exchange,
            status: Some(self.response.status),
            origin,
            error: reply.as_ref().and_then(Reply::reason),
            duration: std::time::Duration::ZERO,
            bytes_sent: response_body.len() as u64,
            bytes_received: request_body.len() as u64,
        };
        chain.done(&outcome, &mut slots);
        let observed = chain.observed(&slots).map(|(_, why)| why).next();
        let degraded = chain.degraded(&slots).map(|(_, why)| why).next();
        Seen {
            reply,
            request: self.head,
            request_body,
            response: self.response,
            response_body,
            observed,
            degraded,
            aborted,
            exchange: self.exchange,
        }
    }
}

impl Call {
    /// Sends the response through the filter: what left of the body, and why it was cut, or the
    /// reply in its place.
    async fn respond(
        &mut self,
        chain: &Chain,
        slots: &mut Slots,
        origin: Origin,
    ) -> Result<(Bytes, Option<&'static str>), Stopped> {
        let mut view = Response::new(&mut self.exchange, &self.head, &mut self.response, origin);
        let waiting = chain
            .response(&mut view, slots, false)
            .expect("no filter panics");
        let may_have_body = view.may_have_body();
        if let Some(link) = waiting {
            let (body, aborted) = pass_response_body(chain, slots, &self.response_body, link + 1);
            assert_eq!(aborted, None, "nothing stands behind the filter");
            let body = chain.climb(&mut view, body, slots, link, false).await?;
            (self.response.headers).insert(CONTENT_LENGTH, body.len().into());
            return Ok((body, None));
        }
        if Chain::response_claim(slots) >= Claim::Rewrite {
            self.response.headers.remove(CONTENT_LENGTH);
        }
        Ok(match may_have_body {
            true => pass_response_body(chain, slots, &self.response_body, 0),
            false => (Bytes::new(), None),
        })
    }
}
