//! Requests that are shed: answered before a route is looked for, at as little cost as can be.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderValue, Response, StatusCode, Version, header};
use pingora_core::protocols::http::date::get_cached_date;
use pingora_http::RequestHeader;
use wiregate_sdk::{Client, Facts, Reply, RequestHead};

use super::context::{exchange, protocol};
use super::conversation::Conversation;
use super::heads::REQUEST_ID;
use super::http1::wants_more;
use super::trusted::sender;
use super::{grpc, request};
use crate::listen::http1::Gate;
use crate::observe::access_log::{self, Entry, Plan, Target};
use crate::observe::metrics::Ended;
use crate::overload::{Place, Shed};

/// What is told in every place: logs, the problem's type, `Proxy-Status` (RFC 9209, 2.3.29).
const REASON: &str = "overloaded";
const PROXY_STATUS: &str = "wiregate; error=proxy_internal_response; details=\"overloaded\"";
const STATUS: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
/// As much of a body as has come already is read, so that the connection can go on.
const MOST_READ: usize = 64 * 1024;
/// How long a client that still sends gets to take notice of its reply, over HTTP/2.
const LINGER: Duration = Duration::from_millis(500);

/// The reply to one shed request.
struct Answer {
    id: Box<str>,
    retry_after: u64,
    body: String,
}

impl Conversation {
    /// A place for a request with this path that has come.
    ///
    /// # Errors
    /// It is shed.
    pub(super) fn admit(&self, path: &str) -> Result<Place, Shed> {
        let live = self.shared.live.load();
        let limits = &live.settings.limits;
        (self.shared.overload).admit(&self.peer.load, limits, path)
    }

    /// Sheds a request over HTTP/1.1; says whether its connection goes on.
    pub(super) async fn shed_http1(
        &self,
        gate: &mut Gate,
        head: &RequestHeader,
        why: Shed,
    ) -> bool {
        let answer = self.answer(why);
        let whole = gate.skip_what_came(MOST_READ).await;
        let goes_on = whole && wants_more(head) && !self.peer.is_closing();
        self.log(&answer, head, why);
        let patience = self.shared.live.load().settings.limits.client_write;
        let connection = match (goes_on, head.version) {
            (false, _) => "connection: close\r\n",
            (true, Version::HTTP_10) => "connection: keep-alive\r\n",
            (true, _) => "",
        };
        let bytes = answer.http1(connection, head.method == http::Method::HEAD);
        let written = tokio::time::timeout(patience.into(), gate.write(&bytes)).await;
        if gate.has_begun() {
            // More is there already: others come first.
            tokio::task::yield_now().await;
        }
        goes_on && matches!(written, Ok(Ok(())))
    }

    /// Sheds a request over HTTP/2.
    pub(super) fn shed_http2(
        &self,
        body: RecvStream,
        respond: &mut SendResponse<Bytes>,
        head: &RequestHeader,
        why: Shed,
    ) {
        let answer = self.answer(why);
        self.log(&answer, head, why);
        let call = grpc::is_call(head).then(|| head.headers.get(header::CONTENT_TYPE));
        let response = match call.flatten() {
            Some(content_type) => answer.of_call(content_type, why),
            None => answer.http2(),
        };
        let alone = call.is_some() || head.method == http::Method::HEAD;
        // A client that has gone meanwhile learns nothing.
        if let Ok(mut sending) = respond.send_response(response, alone)
            && !alone
        {
            let _ = sending.send_data(answer.body.into(), true);
        }
        if !body.is_end_stream() {
            tokio::spawn(take_leave(body));
        }
    }

    fn answer(&self, why: Shed) -> Answer {
        let least = (self.shared.live.load().settings.limits.retry_after)
            .as_secs()
            .max(1);
        let id = request::new_id(SystemTime::now());
        let body = format!(
            "{{\"type\":\"urn:wiregate:{REASON}\",\"title\":\"Service Unavailable\",\"status\":503,\
             \"detail\":\"{why}\",\"instance\":\"urn:request:{id}\"}}\n"
        );
        Answer {
            id,
            retry_after: fastrand::u64(least..=least.saturating_mul(2)),
            body,
        }
    }

    fn log(&self, answer: &Answer, head: &RequestHeader, why: Shed) {
        let metrics = &self.shared.live.load().unrouted;
        metrics.begin();
        metrics.end(&Ended {
            method: &head.method,
            status: Some(STATUS),
            error: Some(REASON),
            duration: None,
            received: 0,
            sent: answer.body.len() as u64,
        });
        let Some(log) = &**self.shared.access_log.load() else {
            return;
        };
        let sender = sender(&self.peer, &self.shared.live.load(), head);
        let (client, method) = (sender.address, Entry::method(&head.method));
        if !self.has_line(log.plan(), answer, head, sender) {
            return;
        }
        log.write(Entry {
            // Without the query: no filter has taken the keys of callers out of it.
            target: Target::new(head.uri.path()),
            host: Some(Entry::text(&wiregate_sdk::host_of(head))),
            protocol: protocol(head.version),
            status: Some(STATUS.as_u16()),
            bytes_out: answer.body.len() as u64,
            error: Some(REASON),
            detail: Some(why.word().into()),
            ..Entry::unserved(answer.id.clone(), client, method)
        });
    }

    /// Whether a shed request has a line in the log.
    fn has_line(&self, plan: &Plan, answer: &Answer, head: &RequestHead, sender: Client) -> bool {
        let ended = access_log::Ended {
            status: Some(STATUS),
            failed: true,
            duration: Duration::ZERO,
        };
        if plan.choice.when.is_none() {
            return plan.takes(ended, None);
        }
        let (id, now) = (answer.id.clone(), self.shared.clock.now());
        let exchange = exchange(id, now, sender, head, &self.peer);
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = STATUS;
        let facts = Facts {
            request: head,
            exchange: &exchange,
            response: Some(&response),
        };
        plan.takes(ended, Some(&facts))
    }
}

/// Throws away what still comes of a body, for a moment: were the stream reset at once, some clients
/// would forget the reply.
async fn take_leave(mut body: RecvStream) {
    let rest = async {
        while let Some(Ok(data)) = body.data().await {
            // A stream that is gone has no capacity to give back.
            let _ = body.flow_control().release_capacity(data.len());
        }
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

impl Answer {
    fn http1(&self, connection: &str, head_only: bool) -> Vec<u8> {
        let Self {
            id,
            retry_after,
            body,
        } = self;
        let date = get_cached_date();
        let date = date.to_str().unwrap_or_default();
        let sent = if head_only { "" } else { body };
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ndate: {date}\r\n\
             content-type: application/problem+json\r\ncache-control: no-store\r\n\
             retry-after: {retry_after}\r\nproxy-status: {PROXY_STATUS}\r\nx-request-id: {id}\r\n\
             {connection}content-length: {}\r\n\r\n{sent}",
            body.len(),
        )
        .into_bytes()
    }

    fn http2(&self) -> Response<()> {
        let mut response = self.head(
            STATUS,
            &HeaderValue::from_static("application/problem+json"),
        );
        let fields = response.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::CONTENT_LENGTH, self.body.len().into());
        response
    }

    /// The status of a gRPC call, and nothing else.
    fn of_call(&self, content_type: &HeaderValue, why: Shed) -> Response<()> {
        let mut response = self.head(StatusCode::OK, content_type);
        let reply = Reply::problem(STATUS, REASON).detail(why.to_string());
        let fields = response.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in grpc::fields(&reply) {
            fields.insert(name, value);
        }
        response
    }

    fn head(&self, status: StatusCode, content_type: &HeaderValue) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, content_type.clone());
        fields.insert(header::DATE, get_cached_date());
        fields.insert(header::RETRY_AFTER, self.retry_after.into());
        fields.insert("proxy-status", HeaderValue::from_static(PROXY_STATUS));
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            fields.insert(&REQUEST_ID, id);
        }
        response
    }
}
