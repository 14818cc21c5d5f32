//! One exchange from its beginning to its end: answered here where that takes no upstream, or by way of
//! Pingora's proxy where it does.
//!
//! Pingora makes some 13 kB of state for each exchange before its first hook is called, room for a connection to an
//! upstream included. What filters refuse or answer, and what the cache has or fetches, needs none of
//! that: the request filter runs before Pingora is asked, and what it has made goes on with the request.

use std::sync::Arc;

use http::{Version, header};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::server::ShutdownWatch;
use pingora_error::{Error, Result};
use pingora_http::RequestHeader;
use pingora_proxy::HttpProxy;
use wiregate_sdk::{Chain, Origin};

use super::Engine;
use super::boxed::boxed;
use super::cache::Ahead;
use super::connection;
use super::context::Context;
use crate::upstream::Pool;

/// The gateway as a worker runs it.
pub struct Proxy {
    engine: Engine,
    pingora: Arc<HttpProxy<Engine, Pool>>,
}

impl Proxy {
    /// The gateway of an engine, and of Pingora's proxy with the same one.
    pub fn new(engine: Engine, pingora: HttpProxy<Engine, Pool>) -> Self {
        let pingora = Arc::new(pingora);
        Self { engine, pingora }
    }

    /// Serves a request, of which this was found out before. The session is dropped when it has been.
    pub(super) async fn serve(
        &self,
        session: Box<dyn CustomSession>,
        ahead: Ahead,
        stop: &ShutdownWatch,
    ) {
        let mut session = ServerSession::new_custom(session);
        spare_old_clients(session.req_header_mut());
        let mut cx = Context::arrive(&self.engine.shared, &session, ahead);
        let error = match self.engine.answer(&mut session, &mut cx).await {
            Ok(false) => {
                connection::leave(cx);
                self.pingora.process_new_http(session, stop).await;
                return;
            }
            Ok(true) => None,
            Err(error) => Some(error),
        };
        // What is rare is boxed: this future lies in that of its connection, and is as large as what it may wait for.
        if let Some(error) = &error {
            Box::pin(cx.fail(&mut session, error)).await;
        }
        cx.close(&mut session, error.as_deref()).await;
        if error.is_none() {
            // A client that is gone learns nothing.
            let _ = session.finish_body().await;
        }
    }
}

impl Engine {
    /// Answers a request where that takes nothing of Pingora's proxy. Returns whether it did.
    ///
    /// # Errors
    /// The client's, or what went wrong.
    async fn answer(&self, session: &mut ServerSession, cx: &mut Context) -> Result<bool> {
        if self.filter(session, cx).await? {
            return Ok(true);
        }
        if cx.may_be_hedged(session) && Box::pin(cx.race(session, &self.connector)).await? {
            return Ok(true);
        }
        while cx.goes_straight(session) {
            if boxed(|| cx.go_straight(session, &self.connector)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The request filter: what filters or the cache answer ends here. Returns whether one of them did.
    ///
    /// # Errors
    /// The client's, or what broke off a response.
    async fn filter(&self, session: &mut ServerSession, cx: &mut Context) -> Result<bool> {
        let patience = cx.snapshot.settings.limits.client_write.into();
        session.set_write_timeout(Some(patience));
        match cx.enter(session).await {
            Ok(()) => match cx.exchange.cache.take() {
                None => Ok(false),
                Some(plan) => boxed(|| cx.consult(session, plan, &self.connector)).await,
            },
            Err(reply) => {
                boxed(|| cx.respond(session, reply, Origin::Gateway)).await?;
                Ok(true)
            }
        }
    }
}

impl Context {
    /// The exchange is over, but for what the client still gets of a response that waited for its body.
    pub(super) async fn close(&mut self, session: &mut ServerSession, error: Option<&Error>) {
        if self.held.is_some() {
            Box::pin(self.answer_held(session, error.is_some())).await;
        }
        if Chain::has_gathered(&self.slots) {
            Box::pin(self.show_gathered(session, error.is_none())).await;
        }
        self.finish(session, error);
    }
}

/// An HTTP/1.0 client knows no interim responses, and does not mean it when it expects one
/// (RFC 9110, 10.1.1).
fn spare_old_clients(head: &mut RequestHeader) {
    if head.version < Version::HTTP_11 {
        head.remove_header(&header::EXPECT);
    }
}
