//! A conversation over HTTP/2: each stream is an exchange.
//!
//! The loop is ours, not Pingora's, so that the connection of a client that asks too much is ended
//! with a GOAWAY that says why (RFC 9113, 10.5).

mod arrival;
mod rest;
mod session;
mod streams;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection as Http2, SendResponse};
use http::Request;
use pingora_core::protocols::{Digest, IO};
use tokio::time::Instant;

use super::Proxy;
use super::cache::Ahead;
use super::connection::{HERE, Here};
use super::conversation::{Conversation, digest_of};
use super::pace::Paces;
use crate::config::http2::Http2 as Limits;
use crate::listen::http2::{Excess, Metered, Seen};
use crate::listen::{Ending, LEAVE};
use arrival::head_of;
use rest::{Bounds, Rest};
use session::Session;
use streams::Streams;

/// Malformed requests that a connection survives: each is reset alone.
const MALFORMED: u32 = 32;
/// Local errors that `h2` answers with a RST_STREAM before it gives the connection up.
const LOCAL_ERRORS: usize = 256;
/// How often what is left of responses is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long the last frames may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What happens on a connection next.
#[expect(
    clippy::large_enum_variant,
    reason = "a request is the common case, and taken apart at once"
)]
enum Next {
    Request(Request<h2::RecvStream>, SendResponse<Bytes>),
    Excess(Excess),
    Broken(h2::Error),
    /// It has no streams, and others wait for its place.
    InTheWay,
    Closed,
}

impl Conversation {
    /// Serves streams until one side has had enough.
    pub(super) async fn http2<C: IO>(self: &Arc<Self>, connection: C, ending: &Ending) {
        let digest = digest_of(&connection);
        let snapshot = self.shared.live.load_full();
        let limits = &snapshot.settings.limits.http2;
        let bounds = Bounds {
            silence: snapshot.settings.limits.client_write.into(),
            rate: snapshot.settings.limits.response_rate,
        };
        let socket = digest.socket_digest.clone();
        let resets = self.shared.metrics.resets();
        let (metered, seen) = Metered::new(connection, socket, limits, resets);
        let handshake = builder(limits).handshake(metered);
        drop(snapshot);
        let Ok(Ok(connection)) = tokio::time::timeout(self.peer.idle, handshake).await else {
            return; // the client has gone, or has nothing to say
        };
        let mut open = Open {
            connection,
            seen,
            digest,
            streams: Arc::default(),
            malformed: 0,
            bounds,
            rest: None,
        };
        self.serve(&mut open, ending).await;
    }

    async fn serve<C: IO>(self: &Arc<Self>, open: &mut Open<C>, ending: &Ending) {
        let mut told_to_stop = pin!(ending.stopped());
        let (mut stopping, mut patience) = (false, self.peer.idle);
        let mut timer = pin!(tokio::time::sleep(patience));
        loop {
            let next = tokio::select! {
                biased;
                () = &mut told_to_stop, if !stopping => {
                    // Streams in flight finish; the client learns that it is to open no more.
                    open.connection.graceful_shutdown();
                    (stopping, patience) = (true, LEAVE);
                    open.streams.touch();
                    timer.as_mut().reset(Instant::now() + patience);
                    continue;
                }
                next = open.next(ending) => next,
                () = &mut timer => match open.left(patience, ending) {
                    Some(left) => {
                        timer.as_mut().reset(Instant::now() + left);
                        continue;
                    }
                    None => return open.end(Reason::NO_ERROR).await,
                },
            };
            match next {
                Next::Request(request, respond) => {
                    if let Err(reason) = self.begin(open, request, respond, ending) {
                        self.tell("malformed");
                        return open.end(reason).await;
                    }
                }
                Next::Excess(excess) => {
                    self.tell(excess.word());
                    return open.end(excess.code()).await;
                }
                Next::InTheWay => return open.end(Reason::NO_ERROR).await,
                Next::Broken(error) => return self.tell_broken(&error),
                Next::Closed => return,
            }
        }
    }

    /// Starts the exchange that a request asks for.
    ///
    /// # Errors
    /// The reason to end the connection for: there were too many malformed ones.
    fn begin<C: IO>(
        self: &Arc<Self>,
        open: &mut Open<C>,
        request: Request<h2::RecvStream>,
        mut respond: SendResponse<Bytes>,
        ending: &Ending,
    ) -> Result<(), Reason> {
        let (parts, body) = request.into_parts();
        let fragment = open.seen.has_fragment(respond.stream_id().into());
        let head = match head_of(Request::from_parts(parts, ()), fragment) {
            Ok(head) => head,
            Err(error) => {
                tracing::debug!(%error, "a malformed request is reset");
                respond.send_reset(Reason::PROTOCOL_ERROR);
                open.malformed += 1;
                let few = open.malformed < MALFORMED;
                return few.then_some(()).ok_or(Reason::ENHANCE_YOUR_CALM);
            }
        };
        let place = match self.admit(head.uri.path()) {
            Ok(place) => place,
            Err(why) => {
                self.shed_http2(body, &mut respond, &head, why);
                return Ok(());
            }
        };
        let paces = Paces::of(&self.shared.live.load().settings.limits);
        let (digest, ending) = (open.digest.clone(), ending.clone());
        let session = Session::new(head, body, respond, digest, ending.clone(), paces);
        let session = session.keeping_fields_for(self.clone());
        let here = Here::new(self.peer.clone(), session.until.clone());
        let until = session.until.clone();
        let session = Box::new(session);
        let (this, held) = (self.clone(), (open.streams.hold(), place));
        open.rest = None;
        tokio::spawn(HERE.scope(here, async move {
            let _held = held;
            // Boxed, since what is spawned is moved several times.
            let exchange = Box::pin(exchange(&this.proxy, session, &ending));
            until.unless_stuck(exchange).await;
        }));
        Ok(())
    }

    /// Counts a connection that ends because of what the client has sent.
    fn tell(&self, reason: &'static str) {
        tracing::debug!(client = %self.peer.address, reason, "an HTTP/2 connection is ended");
        self.shared.metrics.http2_ended(reason);
    }

    /// Counts a connection that the protocol's own rules have ended.
    fn tell_broken(&self, error: &h2::Error) {
        if error.is_go_away() && error.is_library() {
            self.tell(match error.reason() {
                Some(Reason::ENHANCE_YOUR_CALM) => "too_much",
                _ => "protocol_error",
            });
        }
    }
}

async fn exchange(proxy: &Proxy, session: Box<Session>, ending: &Ending) {
    let _woken = ending.wake_me().await;
    let exchange = pin!(proxy.serve(session, Ahead::default(), ending.stop()));
    // Nothing comes back: a stream carries one exchange. Cut off, it is reset, or says why.
    let _ = ending.unless_over(exchange, || true).await;
}

/// An open connection.
struct Open<C> {
    connection: Http2<Metered<C>, Bytes>,
    seen: Arc<Seen>,
    digest: Arc<Digest>,
    streams: Arc<Streams>,
    malformed: u32,
    /// How slowly that may be taken which is left of responses.
    bounds: Bounds,
    /// What is left to do, where that is to send what `h2` or the system holds of responses.
    rest: Option<Rest>,
}

impl<C: IO> Open<C> {
    async fn next(&mut self, ending: &Ending) -> Next {
        std::future::poll_fn(|cx| self.poll_next(cx, ending)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, ending: &Ending) -> Poll<Next> {
        let accepted = pin!(self.connection.accept()).poll(cx);
        if let Some(excess) = self.seen.excess() {
            return Poll::Ready(Next::Excess(excess));
        }
        if accepted.is_pending()
            && let Some(crowded) = ending.crowded()
            && self.left(crowded, ending).is_none()
        {
            return Poll::Ready(Next::InTheWay);
        }
        accepted.map(|accepted| match accepted {
            Some(Ok((request, respond))) => Next::Request(request, respond),
            Some(Err(error)) => Next::Broken(error),
            None => Next::Closed,
        })
    }

    /// How long it may go on as it is; nothing where it is to end. What its last exchanges have left
    /// behind may still be on its way: a client may take it as slowly as any response.
    fn left(&mut self, patience: Duration, ending: &Ending) -> Option<Duration> {
        if let Some(left) = self.streams.left(patience) {
            return Some(left);
        }
        if ending.is_over() || !self.seen.is_sending() {
            return None;
        }
        let (taken, now) = (self.seen.taken(), Instant::now());
        let bounds = &self.bounds;
        let rest = (self.rest).get_or_insert_with(|| Rest::new(bounds, taken, now));
        let left = rest.look(bounds, taken, now, ending.crowded());
        left.map(|left| left.min(LOOK))
    }

    /// Ends the connection, and says why.
    async fn end(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        let closed = std::future::poll_fn(|cx| Pin::new(&mut self.connection).poll_closed(cx));
        // A client that reads nothing does not learn it.
        let _ = tokio::time::timeout(LAST_WORDS, closed).await;
    }
}

fn builder(limits: &Limits) -> Builder {
    // The configuration allows no size beyond what fits.
    let size = |size: wiregate_sdk::types::Size| u32::try_from(size.get()).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams.get())
        .max_header_list_size(size(limits.header_list))
        .initial_window_size(size(limits.stream_window))
        .initial_connection_window_size(size(limits.connection_window))
        .max_send_buffer_size(limits.send_buffer.len())
        .max_local_error_reset_streams(Some(LOCAL_ERRORS));
    builder
}
