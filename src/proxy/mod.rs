//! The only place that knows Pingora's callbacks: what each of them means for an exchange.

mod again;
mod attempt;
mod begun;
mod body;
mod boxed;
mod budget;
mod cache;
mod connection;
mod context;
mod conversation;
mod ending;
mod failure;
mod forward;
mod forwarded;
mod framing;
mod gathered;
mod grpc;
mod heads;
mod hedge;
mod held;
mod http1;
mod http2;
mod inbound;
mod malformed;
mod negotiated;
mod pace;
mod replay;
mod request;
mod responder;
mod response;
pub mod rules;
mod scrape;
mod serve;
mod session;
mod shed;
mod straight;
mod timing;
mod traced;
mod trusted;
mod websocket;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use tokio::sync::watch;
use wiregate_sdk::Clock;

use crate::compile::Snapshot;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Metrics;
use crate::observe::traces::Exporters;
use crate::overload::Overload;
use crate::upstream::{Connector, Pool};
use budget::Budget;
use context::Context;
use negotiated::Way;

pub use crate::listen::stream::Connection;
pub use cache::key::normalised as normalised_url;
pub use connection::Peer;
pub use conversation::Conversation;
pub use serve::Proxy;

/// How far a gateway is from its start, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all that is to be known before the first request is known yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It was told to stop, and finishes what it has.
    Draining,
    /// Another process has taken its place, and it finishes what it has.
    HandedOver,
}

impl Phase {
    /// The word for it, in answers and states.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ok",
            Self::Draining | Self::HandedOver => "draining",
        }
    }
}

/// What all workers share.
pub struct Shared {
    /// The live configuration.
    pub live: ArcSwap<Snapshot>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// Where a line for each request goes.
    pub access_log: ArcSwap<Option<AccessLog>>,
    /// Whether that looks at what requests and responses have said: true before such a log is there, and until it is gone.
    logs_heads: AtomicBool,
    /// What sends spans.
    pub exporters: Exporters,
    /// Where time comes from.
    pub clock: Clock,
    /// How far the gateway is from its start, or its end.
    pub phase: watch::Sender<Phase>,
    /// What the gateway has taken on.
    pub overload: Arc<Overload>,
    budget: Budget,
    /// Log lines that logs dropped which another one has replaced since.
    formerly_dropped: AtomicU64,
}

impl Shared {
    /// Whether no log looks at what requests and responses have said.
    fn logs_no_heads(&self) -> bool {
        !self.logs_heads.load(Ordering::Acquire)
    }

    /// Puts another log in the place of the one that there is, which it gives.
    pub fn change_log(&self, log: Option<AccessLog>) -> Arc<Option<AccessLog>> {
        let looks = looks_at_heads(log.as_ref());
        if looks {
            self.logs_heads.store(true, Ordering::Release);
        }
        let former = self.access_log.swap(Arc::new(log));
        if !looks {
            self.logs_heads.store(false, Ordering::Release);
        }
        former
    }

    /// Shared parts around a first configuration, of a process that may open this many files.
    pub fn new(
        snapshot: Arc<Snapshot>,
        metrics: Arc<Metrics>,
        access_log: Option<AccessLog>,
        clock: Clock,
        descriptors: usize,
    ) -> Self {
        Self {
            live: ArcSwap::new(snapshot),
            overload: Arc::new(Overload::new(metrics.clone(), descriptors)),
            budget: Budget::new(metrics.body_memory().clone()),
            metrics,
            logs_heads: AtomicBool::new(looks_at_heads(access_log.as_ref())),
            access_log: ArcSwap::from_pointee(access_log),
            exporters: Exporters::default(),
            clock,
            phase: watch::Sender::new(Phase::Starting),
            formerly_dropped: AtomicU64::new(0),
        }
    }

    /// How far the gateway is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether another process has taken this one's place.
    pub fn is_handed_over(&self) -> bool {
        self.phase() == Phase::HandedOver
    }

    /// Whether the log asks about fields of responses.
    fn log_asks_response(&self) -> bool {
        let log = self.access_log.load();
        (log.as_ref().as_ref()).is_some_and(|log| log.plan().asks_response)
    }

    /// Closes a log that another one has replaced, and takes over its count, with what it drops
    /// while it is closed.
    pub fn retire_log(&self, log: &AccessLog, grace: Duration) {
        log.close(grace);
        self.formerly_dropped
            .fetch_add(log.dropped(), Ordering::Relaxed);
    }
}

/// The gateway, as Pingora sees it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    pool: Pool,
    /// For all that does not go by way of Pingora's proxy.
    connector: Arc<Connector>,
}

impl Engine {
    /// An engine around the shared parts, for a worker with this configuration. Blocks: it reads the system's certificates.
    pub fn new(shared: Arc<Shared>, conf: &ServerConf) -> Self {
        let pool = Pool::new(conf);
        Self {
            shared,
            connector: Arc::new(Connector::new(conf, pool.clone())),
            pool,
        }
    }

    /// Where the connections to endpoints come from.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// An exchange's context; it is there as soon as the request filter runs.
pub type Ctx = Option<Box<Context>>;

#[async_trait]
impl ProxyHttp for Engine {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        connection::left()
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // Filters compress: Pingora's own module would only be asked whether it is off.
    }

    async fn request_filter(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        // It ran before Pingora was asked (`serve.rs`). What has not been through it goes no further.
        here(ctx).map(|_| false)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let cx = here(ctx)?;
        let Way { mut peer, http1 } = cx.next_way(session).await?;
        cx.time_reads(session, &mut peer.options, http1);
        peer.options.http_upstream_request_policy = heads::policy_for(session.req_header());
        if http1 {
            self.pool.serve(&mut peer.options);
        }
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Ctx,
        error: Box<Error>,
    ) -> Box<Error> {
        match ctx {
            Some(cx) if cx.chose_otherwise(&error) => cx.take_other_way(peer, error, true),
            Some(cx) => cx.end_unconnected(session, error),
            None => error,
        }
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _connection: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        here(ctx)?.connected(reused || self.pool.had_rested());
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let cx = here(ctx)?;
        cx.check_choice(head)?;
        cx.await_upload(session);
        cx.answer_expectation(session, head).await?;
        cx.forward(session, head)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let cx = here(ctx)?;
        cx.request_body(session, body, end)?;
        cx.passed_on(end);
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        here(ctx)?.upstream_head(session, head)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        here(ctx)?.response_head(session, head)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        here(ctx)?.response_body(body, end)?;
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut HeaderMap,
        ctx: &mut Ctx,
    ) -> Result<Option<Bytes>> {
        // The body's end did not come as a piece of the body: what the filters held back leaves now.
        here(ctx)?.response_trailers()
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Ctx,
        _reused: bool,
    ) -> Box<Error> {
        match ctx {
            Some(cx) if cx.chose_otherwise(&error) => cx.take_other_way(peer, error, false),
            Some(cx) => cx.end_broken(session, error, cx.attempts.reused),
            None => error,
        }
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Ctx,
    ) -> FailToProxy {
        let error_code = match ctx {
            Some(cx) => cx.fail(session, error).await,
            None => 0,
        };
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        if let Some(mut cx) = ctx.take() {
            cx.close(session, error).await;
        }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        true // the access log and the metrics tell
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Ctx,
        _error: &Error,
        _what: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

fn here(ctx: &mut Ctx) -> Result<&mut Context> {
    ctx.as_deref_mut().ok_or_else(|| {
        Error::explain(
            pingora_error::ErrorType::InternalError,
            "the request filter comes first",
        )
    })
}

fn looks_at_heads(log: Option<&AccessLog>) -> bool {
    log.is_some_and(|log| !log.plan().asks_nothing())
}
