//! The spans of an exchange: its own, and one for each attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{self, Entry};
use pingora_core::upstreams::peer::Peer as _;
use pingora_http::RequestHeader;

use super::context::{Context, protocol};
use crate::cache::Dealt;
use crate::compile::Route;
use crate::config::model::Parent;
use crate::observe::access_log::Redaction;
use crate::observe::traces::context::{TRACEPARENT, TRACESTATE, Told};
use crate::observe::traces::{
    Attempt, Request, RunningAttempt, Span, SpanId, TraceContext, TraceId, Verb, What, span,
};
use crate::upstream::{Endpoint, Upstream};

/// What an exchange knows of its trace.
pub(super) struct Traced {
    pub(super) context: TraceContext,
    /// Whether it begins here: what the request came with is another one, or none.
    begins: bool,
    state: Option<Arc<str>>,
    user_agent: Option<Box<str>>,
    /// The place of the path that took the request, in the router.
    pub(super) path: Option<usize>,
}

impl Traced {
    /// The same for an exchange that follows from this one.
    pub(super) fn following(&self) -> Self {
        Self {
            context: self.context,
            begins: false,
            state: self.state.clone(),
            user_agent: None,
            path: None,
        }
    }
}

impl Context {
    /// Goes on with the trace of whoever asks, or begins one, where requests are traced.
    pub(super) fn begin_trace(&mut self, head: &RequestHeader) {
        let Some(traces) = &self.snapshot.traces else {
            return;
        };
        let heeded = match traces.parent {
            Parent::Always => true,
            Parent::TrustedProxies => self.peer.trusted_by(&self.snapshot).is_some(),
            Parent::Never => false,
        };
        let told = Told::read(&head.headers).filter(|_| heeded);
        let context = TraceContext::begin(told, traces.sampler, || fastrand::u128(..));
        let agent = head.headers.get(header::USER_AGENT);
        self.traced = Some(Traced {
            context,
            begins: told.is_none(),
            state: told
                .filter(|_| context.is_sampled())
                .and_then(|_| span::state(&head.headers)),
            user_agent: agent.filter(|_| context.is_sampled()).map(span::text),
            path: None,
        });
    }

    /// Puts this exchange in the place of whoever asked, for the filters and what they ask. What came
    /// with a trace that does not go on goes with it.
    pub(super) fn show_trace(&self, head: &mut RequestHeader) {
        let Some(traced) = &self.traced else {
            return;
        };
        let (context, begins) = (&traced.context, traced.begins);
        // A client may have had its own taken out, as one for a hop.
        if begins || context.is_sampled() || !head.headers.contains_key(TRACEPARENT) {
            let _ = head.insert_header(TRACEPARENT, context.traceparent(context.span));
        }
        if begins {
            head.remove_header(&TRACESTATE);
        }
    }

    /// Puts the present attempt in the place of the exchange, for the endpoint. Where a filter has taken
    /// the field out, the endpoint is not to know of the trace.
    pub(super) fn pass_trace(&self, fields: &mut HeaderMap) {
        if let Some(attempt) = &self.attempts.span
            && let (Some(traced), Some(span)) = (&self.traced, attempt.id())
            && let Entry::Occupied(mut there) = fields.entry(TRACEPARENT)
        {
            there.insert(traced.context.traceparent(span));
        }
    }

    /// The span of an attempt that begins, where the trace is recorded.
    pub(super) fn span_of_attempt(
        &self,
        upstream: &Upstream,
        endpoint: &Endpoint,
        now: Instant,
    ) -> Option<RunningAttempt> {
        let context = self.sampled()?;
        let exporter = &self.snapshot.traces.as_ref()?.exporter;
        let arrived = self.exchange.now;
        let begun = Span {
            context,
            id: SpanId::random(|| fastrand::u128(..)),
            parent: Some(context.span),
            state: self.trace_state(),
            start: arrived.wall + (now - arrived.instant),
            duration: Duration::ZERO,
            what: What::Attempt(Attempt {
                method: Verb::of(&self.exchange.method),
                upstream: upstream.name.clone(),
                endpoint: endpoint.label.clone(),
                tls: endpoint.peer.tls(),
                number: self.attempts.made,
                sent: None,
                status: None,
                error: None,
            }),
        };
        let clock = self.shared.clock.clone();
        Some(RunningAttempt::new(
            exporter.clone(),
            clock,
            now,
            Box::new(begun),
        ))
    }

    /// Tells of the exchange, which is over, where its trace is recorded.
    pub(super) fn tell_trace(&mut self, duration: Duration) {
        let Some(context) = self.sampled() else {
            return;
        };
        let agent = self.traced.as_mut().and_then(|it| it.user_agent.take());
        let request = self.traced_request(agent);
        if let Some(traces) = &self.snapshot.traces {
            traces.exporter.push(Box::new(Span {
                context,
                id: context.span,
                parent: context.parent,
                state: self.trace_state(),
                start: self.exchange.now.wall,
                duration,
                what: What::Request(request),
            }));
        }
    }

    fn traced_request(&self, user_agent: Option<Box<str>>) -> Request {
        let (exchange, route) = (&self.exchange, self.route());
        let client = &exchange.client;
        let consumer = (exchange.identity.as_ref()).and_then(|who| who.consumer.as_ref());
        let (path, query) = self.shown_target();
        let pattern = self.traced.as_ref().and_then(|traced| traced.path);
        Request {
            method: Verb::of(&exchange.method),
            path,
            query,
            host: self.asked_host.as_ref().and_then(span::host),
            scheme: client.scheme,
            protocol: protocol(self.version),
            route: route.map(|route| route.name.clone()),
            pattern: pattern.and_then(|path| self.snapshot.router.pattern(path)),
            status: self.end.status.map(|status| status.as_u16()),
            error: self.end.error,
            client: client.address,
            peer: (client.peer, client.port),
            user_agent,
            id: exchange.id.clone(),
            consumer: consumer.map(|consumer| consumer.name.clone()),
            refused_by: self.refused_by(route),
            cache: self.dealt().map(Dealt::word),
        }
    }

    /// Path and query as the access log has them: without secrets.
    fn shown_target(&self) -> (Box<str>, Option<Box<str>>) {
        let target = self.exchange.target.path_and_query();
        let target = target.map_or(self.exchange.target.path(), |target| target.as_str());
        let log = self.shared.access_log.load();
        let shown = match &**log {
            Some(log) => log.plan().redaction.url(target),
            None => Redaction::default().url(target),
        };
        span::parts(&shown)
    }

    /// The label of the filter that refused the request.
    pub(super) fn refused_by(&self, route: Option<&Route>) -> Option<Box<str>> {
        let link = route?.chain.links.get(self.end.refused_by?)?;
        Some(link.label.as_str().into())
    }

    /// The ids of the trace, and of the exchange's own span, where there is one.
    pub(super) fn trace_ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        let context = self.traced.as_ref().map(|traced| traced.context);
        let sampled = context.filter(TraceContext::is_sampled);
        (
            context.map(|context| context.trace),
            sampled.map(|context| context.span),
        )
    }

    fn trace_state(&self) -> Option<Arc<str>> {
        self.traced.as_ref().and_then(|traced| traced.state.clone())
    }

    /// The trace's context, where it is recorded.
    fn sampled(&self) -> Option<TraceContext> {
        let context = self.traced.as_ref()?.context;
        context.is_sampled().then_some(context)
    }
}
