//! A fetch with nobody behind it: it validates what was served stale, or its client has left.

use std::sync::Arc;

use http::header;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::RequestHeader;
use wiregate_sdk::Attempt;

use super::super::super::context::{Attempts, Context};
use super::super::super::heads;
use super::super::{Caching, nobody};
use super::Fetch;
use super::ask::{Asked, Begun};
use crate::cache::rules::vary::Wanted;
use crate::cache::store::{Entry, Lead};
use crate::overload::Place;
use crate::upstream::Connector;

/// A fetch that is an exchange of the cache's own.
pub(super) struct Detached {
    cx: Box<Context>,
    session: ServerSession,
    connector: Arc<Connector>,
    /// It counts like the requests of clients.
    _place: Place,
}

impl Detached {
    /// A fetch of what this exchange asks for. The filters' `upstream` hooks run here, once, while there
    /// is no endpoint yet.
    ///
    /// # Errors
    /// A filter panicked.
    pub(super) fn new(
        of: &mut Context,
        session: &ServerSession,
        fetch: Fetch,
        connector: Arc<Connector>,
        place: Place,
    ) -> Result<Self> {
        let mut head = session.req_header().clone();
        head.remove_header(&header::EXPECT);
        of.hooks(&mut head)?;
        let mut cx = of.apart();
        let asked = Box::new(session.req_header().clone());
        let caching = of.caching().detached(asked, Some(fetch));
        cx.caching = Some(Box::new(caching));
        Ok(Self {
            cx,
            session: nobody::session(head),
            connector,
            _place: place,
        })
    }

    /// Takes over the attempts of another exchange, which still knows who was asked.
    pub(super) fn take_attempts(&mut self, of: &mut Context) {
        self.cx.attempts = hand_over(&mut of.attempts);
    }

    /// Runs, from where it was begun.
    pub(super) fn go_on(mut self, begun: Option<Begun>) {
        // What is spawned is moved several times: it is small.
        tokio::spawn(Box::pin(async move { self.run(begun).await }));
    }

    async fn run(&mut self, begun: Option<Begun>) {
        let (cx, session) = (&mut self.cx, &mut self.session);
        match cx.ask(session, &self.connector, begun).await {
            Ok(Asked::Head(head)) => {
                // What is for nobody else is dropped.
                drop(cx.settle(session, head).await);
                cx.fill_up(session).await;
            }
            Ok(Asked::Left(..)) => {} // there is nobody who could
            Err(error) => drop(cx.fail_for_all(&error)),
        }
    }
}

/// The attempts of an exchange that goes on without one of its parts, which keeps what is told of them.
fn hand_over(attempts: &mut Attempts) -> Attempts {
    let told = Attempts {
        upstream: attempts.upstream.clone(),
        tried: attempts.tried.clone(),
        times: attempts.times,
        made: attempts.made,
        waited: attempts.waited,
        ..Attempts::default()
    };
    std::mem::replace(attempts, told)
}

impl Context {
    /// Validates what is stored, for others than this request, where there is a place for one more.
    ///
    /// # Errors
    /// A filter panicked.
    pub(in crate::proxy::cache) fn validate_apart(
        &mut self,
        session: &ServerSession,
        lead: Lead,
        stale: Arc<Entry>,
        connector: Arc<Connector>,
    ) -> Result<()> {
        if let (place, true) = self.occupy() {
            let fetch = Fetch::new(lead, Some(stale));
            Detached::new(self, session, fetch, connector, place)?.go_on(None);
        }
        Ok(())
    }

    /// A fill that this exchange has begun and not ended goes on without it. Nothing comes of it where
    /// the worker ends.
    pub(in crate::proxy) fn let_fill_go_on(&mut self) {
        let Some(caching) = self
            .caching
            .as_mut()
            .filter(|caching| caching.asked.is_none())
        else {
            return; // it has nothing to fill, or goes on already
        };
        let Some(filling) = caching.filling.take() else {
            return;
        };
        self.until.heard(); // from here on it is no concern of this exchange
        let (true, Ok(worker)) = (
            filling.is_for_others(),
            tokio::runtime::Handle::try_current(),
        ) else {
            return;
        };
        let asked = RequestHeader::build_no_case("GET", b"/", None).expect("a request");
        let mut caching = caching.detached(Box::new(asked.clone()), None);
        caching.filling = Some(filling);
        let mut cx = self.apart();
        cx.caching = Some(Box::new(caching));
        cx.attempts = hand_over(&mut self.attempts);
        let (place, _) = self.occupy();
        worker.spawn(Box::pin(async move {
            let _place = place;
            cx.fill_up(&nobody::session(asked)).await;
        }));
    }

    /// A place among the requests under way, for what goes on without this one; whether one was free.
    pub(super) fn occupy(&self) -> (Place, bool) {
        let live = self.shared.live.load();
        (self.shared.overload).occupy(&self.peer.load, &live.settings.limits)
    }

    /// An exchange of the cache's own, which begins now: how long its client would have waited is nothing to the others.
    fn apart(&self) -> Box<Self> {
        let mut cx = self.detached();
        cx.exchange.now = self.shared.clock.now();
        cx
    }

    /// Whether this is an exchange of the cache's own.
    pub(super) fn is_detached(&self) -> bool {
        let caching = self.caching.as_ref();
        caching.is_some_and(|caching| caching.asked.is_some())
    }

    /// The `upstream` hooks of the filters, on the head of a fetch. There is no endpoint yet.
    fn hooks(&mut self, head: &mut RequestHeader) -> Result<()> {
        let (Some(position), Some(upstream)) = (self.route, &self.attempts.upstream) else {
            return Ok(());
        };
        let chain = &self.snapshot.routes[position].chain;
        let hooks = heads::edit_request(head, |head| {
            let mut attempt = Attempt {
                exchange: &self.exchange,
                head,
                upstream: &upstream.name,
                endpoint: "",
                number: 1,
            };
            chain.upstream(&mut attempt, &mut self.slots)
        });
        hooks.map_err(|reply| self.fault(reply))
    }
}

impl Caching {
    /// The same for an exchange of the cache's own.
    fn detached(&self, asked: Box<RequestHeader>, fetch: Option<Fetch>) -> Self {
        Self {
            plan: self.plan.clone(),
            store: self.store.clone(),
            key: None,
            plain: false,
            nothing: false,
            wishes: self.wishes,
            wanted: Wanted::default(),
            upstream: self.upstream.clone(),
            forwarded: self.forwarded,
            collapsed: false,
            stale: None,
            told: None,
            dealt: self.dealt,
            asked: Some(asked),
            fetch,
            filling: None,
        }
    }
}
