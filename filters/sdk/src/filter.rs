//! The one trait that a filter implements.

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::cache::Policy;
use crate::{Abort, Attempt, Build, Bytes, Chunk, Invalid, Outcome, Reply, Request, Response};

/// What a request hook says: go on, or end the request with this reply.
pub type Flow = Result<(), Reply>;

/// One link of a route's chain.
pub trait Filter: Sized + Send + Sync + 'static {
    /// The word that selects this filter in a configuration: `snake_case`.
    const NAME: &'static str;
    /// Whether it answers every request that reaches it, so that a route needs no upstream.
    const ANSWERS: bool = false;
    /// Whether it answers preflights (Fetch standard, 4.8): a route with such a filter takes those
    /// that ask for one of its methods.
    const PREFLIGHTS: bool = false;
    /// What the user writes under that word. Its doc comment is the reference page. An option
    /// `mode` ([`crate::Mode`]) is there without being asked for, and never seen here.
    type Config: DeserializeOwned + JsonSchema;
    /// What one request's hooks tell each other; `()` for nothing. Dropped when the exchange ends.
    type State: Default + Send + Sync + 'static;

    /// Makes the running form. Whatever can be parsed, compiled or refused is settled here.
    fn build(config: Self::Config, cx: &mut Build<'_>) -> Result<Self, Invalid>;

    /// The request has arrived. `Err(reply)` ends it with that reply.
    ///
    /// Required, so that no guard is ever skipped by omission.
    fn request(
        &self,
        req: &mut Request<'_>,
        state: &mut Self::State,
    ) -> impl Future<Output = Flow> + Send;

    /// What the cache is to do with every request that is let through, where planning that, and taking
    /// [`Policy::tags`] out of responses, is all that the filter does, and nothing of the request decides about it. Where
    /// such a filter is alone on its route, the gateway does both by itself for requests that ask for nothing special: none
    /// of its hooks runs, `done` included.
    fn plan_for_all(&self) -> Option<&Arc<Policy>> {
        None
    }

    /// An endpoint is about to be tried; runs again on each retry.
    fn upstream(&self, _attempt: &mut Attempt<'_>, _state: &mut Self::State) {}

    /// A response head is about to leave: from upstream, from cache, or made by the gateway.
    fn response(&self, _res: &mut Response<'_>, _state: &mut Self::State) {}

    /// The whole body of a response, of a filter that called [`Response::whole_body`]. The head has
    /// not left yet, and can be changed; what is returned is sent as the body.
    ///
    /// `Err(reply)` is sent in the response's place. It goes through the response hooks like any
    /// reply, but this hook runs once in an exchange.
    fn response_whole(
        &self,
        _res: &mut Response<'_>,
        body: Bytes,
        _state: &mut Self::State,
    ) -> impl Future<Output = Result<Bytes, Reply>> + Send {
        async move { Ok(body) }
    }

    /// One piece of the request body, of a filter that called [`Request::stream_body`].
    ///
    /// `Err(reply)` ends the exchange with that reply, or cuts it when the response has begun.
    fn request_body(&self, _chunk: &mut Chunk, _state: &mut Self::State) -> Result<(), Reply> {
        Ok(())
    }

    /// One piece of the response body, of a filter that called [`Response::rewrite_body`] or
    /// [`Response::watch_body`].
    fn response_body(&self, _chunk: &mut Chunk, _state: &mut Self::State) -> Result<(), Abort> {
        Ok(())
    }

    /// The exchange is over, however it ended.
    fn done(&self, _outcome: &Outcome<'_>, _state: &mut Self::State) {}
}
