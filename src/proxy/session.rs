//! What the sessions of ours have in common, whatever protocol they speak.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::body_buffer::FixedBuffer;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::failure::{ANSWERED, SILENT_ENDPOINT};
use super::grpc;
use super::pace::{Pace, TooLong, within};
use crate::listen::until::{Late, Over, Until};

/// A request body may be silent for this long.
pub(super) const BODY_SILENCE: Duration = Duration::from_secs(60);
/// How much of a request body is kept for a second attempt.
const KEPT: usize = 64 * 1024;

/// What a session knows of its exchange.
pub(super) struct Account {
    pub(super) head: RequestHeader,
    /// The last response head that was written.
    pub(super) written: Option<Box<ResponseHeader>>,
    /// Bytes of the bodies.
    pub(super) received: usize,
    pub(super) sent: usize,
    /// Who hears of both, should the exchange be cut off.
    until: Arc<Until>,
    pub(super) kept: Option<FixedBuffer>,
    pub(super) digest: Arc<Digest>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) drain_timeout: Option<Duration>,
}

impl Account {
    /// Of an exchange that begins.
    pub(super) fn new(head: RequestHeader, digest: Arc<Digest>, until: Arc<Until>) -> Self {
        Self {
            head,
            written: None,
            received: 0,
            sent: 0,
            until,
            kept: None,
            digest,
            read_timeout: Some(BODY_SILENCE),
            write_timeout: None,
            drain_timeout: None,
        }
    }

    /// What comes of waiting for the request body: at its pace, but for a gRPC call over HTTP/2, which
    /// may be silent for a while.
    pub(super) async fn read_within<T>(
        &self,
        pace: &mut Pace,
        next: impl Future<Output = T>,
    ) -> std::result::Result<T, TooLong> {
        let limit = self.read_timeout;
        let mut next = pin!(next);
        match pace.wait(limit, next.as_mut()).await {
            Err(TooLong::Slow) if grpc::may_stream(&self.head) => {
                within(limit, next).await.ok_or(TooLong::Silent)
            }
            other => other,
        }
    }

    /// A piece of the request body has come.
    pub(super) fn came(&mut self, data: &Bytes) {
        self.received += data.len();
        self.tell();
        if let Some(kept) = &mut self.kept {
            kept.write_to_buffer(data);
        }
    }

    /// So much of the response body has gone to the client.
    pub(super) fn went(&mut self, bytes: usize) {
        self.sent += bytes;
        self.tell();
    }

    fn tell(&self) {
        self.until.moved(self.received as u64, self.sent as u64);
    }

    /// Keeps what comes of the request body, for a second attempt.
    pub(super) fn keep(&mut self) {
        self.kept.get_or_insert_with(|| FixedBuffer::new(KEPT));
    }
}

/// The error for a request body that does not come in time.
pub(super) fn late(why: TooLong) -> Box<Error> {
    let why = match why {
        TooLong::Silent => "the request body is silent",
        TooLong::Slow => "the request body is slower than `limits.body_rate`",
    };
    Error::explain(ErrorType::ReadTimedout, why).into_down()
}

/// What ends an exchange whose response has left before the request had come to its end: its endpoint, which has
/// answered, gets no more of it (RFC 9112, 9.3 and 11.2).
pub(super) fn answered() -> Box<Error> {
    let why = "the response has ended before the request";
    Error::explain(ANSWERED, why).into_down()
}

/// The error for a response that is not taken in time.
pub(super) fn untaken(why: TooLong) -> Box<Error> {
    let why = match why {
        TooLong::Silent => "the client takes no response",
        TooLong::Slow => "the client takes the response slower than `limits.response_rate`",
    };
    Error::explain(ErrorType::WriteTimedout, why).into_down()
}

/// What comes of reading the rest of a request body that nobody wants, in this time.
///
/// # Errors
/// It takes longer, or cannot be read.
pub(super) async fn drained_within(
    limit: Option<Duration>,
    rest: impl Future<Output = Result<()>>,
) -> Result<()> {
    let late = || Error::e_explain(ErrorType::ReadTimedout, "the request body goes on");
    within(limit, rest).await.unwrap_or_else(late)
}

/// What comes of waiting for the client, unless the exchange is over by then, or its endpoint has
/// been silent for too long.
///
/// # Errors
/// That it is, or what comes of waiting.
pub(super) async fn unless_late<T>(
    until: Option<&Until>,
    wait: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        if let Poll::Ready(waited) = wait.as_mut().poll(cx) {
            return Poll::Ready(waited);
        }
        match until.map(|until| until.poll(cx)) {
            Some(Poll::Ready(Late::Exchange)) => Poll::Ready(Error::e_because(
                ErrorType::ReadError,
                "while the client is awaited",
                Over,
            )),
            Some(Poll::Ready(Late::Endpoint)) => Poll::Ready(Error::e_explain(
                SILENT_ENDPOINT,
                "while the endpoint is awaited",
            )),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Returns when the client is gone, the exchange is over, or its endpoint has been silent for too long: which of
/// these it is.
pub(super) async fn gone(session: &mut ServerSession) -> Box<Error> {
    let gone = session.read_body_or_idle(true).await;
    let closed = || Error::new(ErrorType::ConnectionClosed);
    gone.err().unwrap_or_else(closed).into_down()
}

/// What Pingora asks of a session and its [`Account`] answers, which is the session's `account`.
macro_rules! by_account {
    () => {
        fn req_header(&self) -> &::pingora_http::RequestHeader {
            &self.account.head
        }

        fn req_header_mut(&mut self) -> &mut ::pingora_http::RequestHeader {
            &mut self.account.head
        }

        fn set_read_timeout(&mut self, timeout: Option<::std::time::Duration>) {
            self.account.read_timeout = timeout;
        }

        fn get_read_timeout(&self) -> Option<::std::time::Duration> {
            self.account.read_timeout
        }

        fn set_write_timeout(&mut self, timeout: Option<::std::time::Duration>) {
            self.account.write_timeout = timeout;
        }

        fn get_write_timeout(&self) -> Option<::std::time::Duration> {
            self.account.write_timeout
        }

        fn set_total_drain_timeout(&mut self, timeout: Option<::std::time::Duration>) {
            self.account.drain_timeout = timeout;
        }

        fn get_total_drain_timeout(&self) -> Option<::std::time::Duration> {
            self.account.drain_timeout
        }

        fn request_summary(&self) -> String {
            format!("{} {}", self.account.head.method, self.account.head.uri)
        }

        fn response_written(&self) -> Option<&::pingora_http::ResponseHeader> {
            self.account.written.as_deref()
        }

        fn body_bytes_sent(&self) -> usize {
            self.account.sent
        }

        fn body_bytes_read(&self) -> usize {
            self.account.received
        }

        fn digest(&self) -> Option<&::pingora_core::protocols::Digest> {
            Some(&self.account.digest)
        }

        fn digest_mut(&mut self) -> Option<&mut ::pingora_core::protocols::Digest> {
            ::std::sync::Arc::get_mut(&mut self.account.digest)
        }

        fn client_addr(&self) -> Option<&::pingora_core::protocols::l4::socket::SocketAddr> {
            self.account.digest.socket_digest.as_ref()?.peer_addr()
        }

        fn server_addr(&self) -> Option<&::pingora_core::protocols::l4::socket::SocketAddr> {
            self.account.digest.socket_digest.as_ref()?.local_addr()
        }

        fn pseudo_raw_h1_request_header(&self) -> ::bytes::Bytes {
            let wire = ::pingora_core::protocols::http::v1::client::http_req_header_to_wire(
                &self.account.head,
            );
            wire.map_or_else(::bytes::Bytes::new, |wire| wire.freeze())
        }

        fn retry_buffer_truncated(&self) -> bool {
            (self.account.kept.as_ref()).is_some_and(|kept| kept.is_truncated())
        }

        fn get_retry_buffer(&self) -> Option<::bytes::Bytes> {
            let kept = self.account.kept.as_ref()?;
            kept.get_buffer().filter(|_| !kept.is_truncated())
        }
    };
}

/// What a session answers about messages beside the bodies, which Pingora knows for sessions of
/// protocols of one's own: ours have none.
macro_rules! no_messages {
    () => {
        fn take_custom_message_reader(&mut self) -> Option<$crate::proxy::session::Reader> {
            None
        }

        fn restore_custom_message_reader(
            &mut self,
            _reader: $crate::proxy::session::Reader,
        ) -> ::pingora_error::Result<()> {
            $crate::proxy::session::no_message()
        }

        fn take_custom_message_writer(&mut self) -> Option<$crate::proxy::session::Writer> {
            None
        }

        fn restore_custom_message_writer(
            &mut self,
            _writer: $crate::proxy::session::Writer,
        ) -> ::pingora_error::Result<()> {
            $crate::proxy::session::no_message()
        }
    };
}

pub(super) use {by_account, no_messages};

pub(super) type Reader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;
pub(super) type Writer = Box<dyn CustomMessageWrite>;

pub(super) fn no_message() -> Result<()> {
    Error::e_explain(ErrorType::InternalError, "there are no custom messages")
}
