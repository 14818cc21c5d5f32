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
mod shared;
mod shed;
mod straight;
mod timing;
mod traced;
mod trusted;
mod websocket;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

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

use crate::upstream::{Connector, Pool};
use context::Context;
use negotiated::Way;

pub use crate::listen::stream::Connection;
pub use cache::key::normalised as normalised_url;
pub use connection::Peer;
pub use conversation::Conversation;
pub use serve::Proxy;
pub use shared::{Phase, Shared};

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
