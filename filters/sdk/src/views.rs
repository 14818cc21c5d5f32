//! What a filter sees of an exchange at each of its hooks.

mod response;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::chain::{Entered, Stopped};
use crate::{Exchange, Facts, Headers, Now, Reply};
pub use http::request::Parts as RequestHead;
pub use http::response::Parts as ResponseHead;
pub use response::{Origin, Outcome, Response};

/// A request on its way in.
pub struct Request<'a> {
    /// What is known of the exchange.
    pub exchange: &'a mut Exchange,
    inbound: &'a mut dyn Inbound,
    entered: Entered<'a>,
    claim: Claim,
    replacement: Option<Bytes>,
    /// What ends the request whatever the filter makes of it: its body is not whole.
    broken: Option<Box<Stopped>>,
    /// What the filter had to do without.
    pub(crate) degraded: Option<&'static str>,
}

/// What comes of reading a body.
pub type Read<'a, T> = Pin<Box<dyn Future<Output = Result<T, Stopped>> + Send + 'a>>;

/// The connection that a request comes from. The gateway implements it, and the test harness.
///
/// A body that is read goes through the links entered so far, each of which sees it once.
pub trait Inbound: Send {
    /// The request head.
    fn head(&self) -> &RequestHead;
    /// The request head, to change.
    fn head_mut(&mut self) -> &mut RequestHead;
    /// Removes a field of the request head with all its values.
    fn remove_field(&mut self, name: &HeaderName) {
        self.head_mut().headers.remove(name);
    }
    /// Reads the body to its end and keeps it, so that it is sent on, also on a retry.
    fn read_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes>;
    /// Reads the body for a link that is only looked at, and leaves all that is sent on as it is, framing included. What
    /// was read of a body that cannot be had whole goes on as well, and the rest behind it; that the link goes without is
    /// an error of its own position.
    fn copy_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes>;
    /// Reads the body to its end, forgets it, and sends these bytes on in its place.
    fn replace_body<'a>(&'a mut self, body: Bytes, entered: &'a mut Entered<'_>) -> Read<'a, ()>;
}

/// What a link of the chain wants of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// To let it pass.
    #[default]
    None,
    /// To see each piece, and leave it as it is.
    Watch,
    /// To change it, piece by piece.
    Rewrite,
    /// To have all of it before the head leaves. Only of a response: a request's is read by the
    /// link itself.
    Whole,
}

impl<'a> Request<'a> {
    /// What one link sees, behind those already entered.
    pub(crate) fn new(
        exchange: &'a mut Exchange,
        inbound: &'a mut dyn Inbound,
        entered: Entered<'a>,
    ) -> Self {
        Self {
            exchange,
            inbound,
            entered,
            claim: Claim::None,
            replacement: None,
            broken: None,
            degraded: None,
        }
    }

    /// The head, as it will leave for the upstream.
    pub fn head(&self) -> &RequestHead {
        self.inbound.head()
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.head().method
    }

    /// The target.
    pub fn uri(&self) -> &Uri {
        &self.head().uri
    }

    /// The path, normalised, still percent-encoded.
    pub fn path(&self) -> &str {
        self.uri().path()
    }

    /// The query without its `?`; empty where there is none.
    pub fn query(&self) -> &str {
        self.uri().query().unwrap_or("")
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.head().headers
    }

    /// The header fields, to edit.
    pub fn headers_mut(&mut self) -> Headers<'_> {
        self.inbound.head_mut().into()
    }

    /// The first value of a header field, where it is there and visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// Removes a header field with all its values: for less than an edit through [`Self::headers_mut`] takes.
    pub fn remove_header(&mut self, name: &HeaderName) {
        self.inbound.remove_field(name);
    }

    /// Sets the path and query that the upstream will see.
    pub fn set_target(&mut self, path_and_query: Uri) {
        self.inbound.head_mut().uri = path_and_query;
    }

    /// Sets the method that the upstream will see.
    pub fn set_method(&mut self, method: Method) {
        self.inbound.head_mut().method = method;
    }

    /// Sets the `Host` that the upstream will see.
    pub fn set_host(&mut self, host: HeaderValue) {
        self.headers_mut().set(&http::header::HOST, host);
    }

    /// When the request arrived.
    pub fn now(&self) -> Now {
        self.exchange.now
    }

    /// What expressions and templates may ask about.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            request: self.inbound.head(),
            exchange: self.exchange,
            response: None,
        }
    }

    /// The whole body, as the filters before this one leave it, read to its end before an upstream
    /// is chosen.
    ///
    /// # Errors
    /// `Err` is the reply to end the request with: 413 beyond the configured size, 408 when the
    /// client is too slow, 503 when the gateway's memory for bodies is used up, or what a filter
    /// before this one says of the body. A request whose body could not be read, or whose reading
    /// was given up, ends in any case.
    pub async fn body(&mut self) -> Result<Bytes, Reply> {
        if let Some(broken) = &self.broken {
            return Err(broken.reply.clone());
        }
        if let Some(own) = &self.replacement {
            return Ok(own.clone());
        }
        self.broken = Some(Box::new(self.entered.stop(given_up())));
        match self.inbound.read_body(&mut self.entered).await {
            Ok(body) => {
                self.broken = None;
                Ok(body)
            }
            Err(stopped) => {
                let reply = stopped.reply.clone();
                self.broken = Some(Box::new(stopped));
                Err(reply)
            }
        }
    }

    /// Sends these bytes on in place of the body; `content-length` follows.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.replacement = Some(body.into());
    }

    /// Says that something was not there that the filter needs, such as a store, and that it decides
    /// without it, as its options have it. That is counted and logged, whatever becomes of the request;
    /// `why` is one word for it.
    pub fn degraded(&mut self, why: &'static str) {
        self.degraded = Some(why);
    }

    /// Asks for [`crate::Filter::request_body`] to be called with each piece, to read or rewrite.
    pub fn stream_body(&mut self) {
        self.claim = Claim::Rewrite;
    }

    /// Asks for [`crate::Filter::request_body`] to be called with each piece, which it leaves as
    /// it is, so that `content-length` can stand.
    pub fn watch_body(&mut self) {
        self.claim = self.claim.max(Claim::Watch);
    }

    /// What the link claimed, where it has let the request pass and has not read its body.
    pub(crate) fn left_alone(&self, flow: &Result<(), Box<Reply>>) -> Option<Claim> {
        let alone = flow.is_ok() && self.broken.is_none() && self.replacement.is_none();
        alone.then_some(self.claim)
    }

    /// The link has run, and this is what it says: what it did to the body is done, and what it
    /// claimed is returned.
    pub(crate) async fn settle(mut self, flow: Result<(), Box<Reply>>) -> Result<Claim, Stopped> {
        match (flow, self.broken) {
            (Err(reply), broken) => {
                let link = broken.map_or(self.entered.count(), |broken| broken.link);
                let reply = *reply;
                Err(Stopped { link, reply })
            }
            (Ok(()), Some(broken)) => Err(*broken),
            (Ok(()), None) => {
                if let Some(body) = self.replacement {
                    self.inbound.replace_body(body, &mut self.entered).await?;
                }
                Ok(self.claim)
            }
        }
    }

    /// A link that is only looked at has run: what it did to the body is dropped, and it sees at
    /// most the pieces that come. Where it could not have the body it sees none, and what would have ended the request
    /// is returned.
    ///
    /// # Errors
    /// One before it has refused what was read.
    pub(crate) fn settle_copy(self) -> Result<(Claim, Option<Reply>), Stopped> {
        match self.broken {
            None => Ok((self.claim.at_most_watch(), None)),
            Some(broken) if broken.link == self.entered.count() => {
                Ok((Claim::None, Some(broken.reply)))
            }
            Some(broken) => Err(*broken),
        }
    }
}

/// The reply to a request of whose body a filter has read a part, which nobody can send on.
fn given_up() -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "body_given_up")
        .log("a filter began to read the body and gave up")
}

impl Claim {
    /// The same for whoever may not change anything.
    pub(crate) fn at_most_watch(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Watch | Self::Rewrite | Self::Whole => Self::Watch,
        }
    }
}

/// A try to reach one endpoint.
pub struct Attempt<'a> {
    /// What is known of the exchange.
    pub exchange: &'a Exchange,
    /// The head that this endpoint will get: a copy, made anew for each attempt.
    pub head: &'a mut RequestHead,
    /// The upstream's name.
    pub upstream: &'a str,
    /// The endpoint's address and port, or `unix:` and the path of its socket; empty where the cache
    /// fetches: it asks the filters once, before an endpoint is chosen.
    pub endpoint: &'a str,
    /// 1 for the first attempt.
    pub number: u32,
}

impl Attempt<'_> {
    /// The header fields, to edit.
    pub fn headers_mut(&mut self) -> Headers<'_> {
        (&mut *self.head).into()
    }
}
