//! Filters whose types are forgotten, so that a chain can hold all of them.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::cache::Policy;
use crate::{Abort, Attempt, Bytes, Chunk, Filter, Outcome, Reply, Request, Response};

pub(super) type Hook<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Filter`].
pub(super) trait Erased: Send + Sync {
    fn state(&self) -> Box<dyn Any + Send + Sync>;
    /// A reply is boxed, so that what nearly every request gets, which is none, is small.
    fn request<'a>(
        &'a self,
        req: &'a mut Request<'_>,
        state: &'a mut (dyn Any + Send + Sync),
    ) -> Hook<'a, Result<(), Box<Reply>>>;
    fn plan_for_all(&self) -> Option<&Arc<Policy>>;
    fn upstream(&self, attempt: &mut Attempt<'_>, state: &mut (dyn Any + Send + Sync));
    fn response(&self, res: &mut Response<'_>, state: &mut (dyn Any + Send + Sync));
    fn response_whole<'a>(
        &'a self,
        res: &'a mut Response<'_>,
        body: Bytes,
        state: &'a mut (dyn Any + Send + Sync),
    ) -> Hook<'a, Result<Bytes, Reply>>;
    fn request_body(
        &self,
        chunk: &mut Chunk,
        state: &mut (dyn Any + Send + Sync),
    ) -> Result<(), Reply>;
    fn response_body(
        &self,
        chunk: &mut Chunk,
        state: &mut (dyn Any + Send + Sync),
    ) -> Result<(), Abort>;
    fn done(&self, outcome: &Outcome<'_>, state: &mut (dyn Any + Send + Sync));
}

impl<F: Filter> Erased for F {
    fn state(&self) -> Box<dyn Any + Send + Sync> {
        Box::<F::State>::default()
    }

    fn request<'a>(
        &'a self,
        req: &'a mut Request<'_>,
        state: &'a mut (dyn Any + Send + Sync),
    ) -> Hook<'a, Result<(), Box<Reply>>> {
        let state = own::<F>(state);
        Box::pin(async move { Filter::request(self, req, state).await.map_err(Box::new) })
    }

    fn plan_for_all(&self) -> Option<&Arc<Policy>> {
        Filter::plan_for_all(self)
    }

    fn upstream(&self, attempt: &mut Attempt<'_>, state: &mut (dyn Any + Send + Sync)) {
        Filter::upstream(self, attempt, own::<F>(state));
    }

    fn response(&self, res: &mut Response<'_>, state: &mut (dyn Any + Send + Sync)) {
        Filter::response(self, res, own::<F>(state));
    }

    fn response_whole<'a>(
        &'a self,
        res: &'a mut Response<'_>,
        body: Bytes,
        state: &'a mut (dyn Any + Send + Sync),
    ) -> Hook<'a, Result<Bytes, Reply>> {
        Box::pin(async move { Filter::response_whole(self, res, body, own::<F>(state)).await })
    }

    fn request_body(
        &self,
        chunk: &mut Chunk,
        state: &mut (dyn Any + Send + Sync),
    ) -> Result<(), Reply> {
        Filter::request_body(self, chunk, own::<F>(state))
    }

    fn response_body(
        &self,
        chunk: &mut Chunk,
        state: &mut (dyn Any + Send + Sync),
    ) -> Result<(), Abort> {
        Filter::response_body(self, chunk, own::<F>(state))
    }

    fn done(&self, outcome: &Outcome<'_>, state: &mut (dyn Any + Send + Sync)) {
        Filter::done(self, outcome, own::<F>(state));
    }
}

fn own<F: Filter>(state: &mut (dyn Any + Send + Sync)) -> &mut F::State {
    state
        .downcast_mut()
        .expect("a slot holds the state of its link's filter")
}
