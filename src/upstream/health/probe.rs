//! One check of one endpoint: a health check as Pingora's balancers know it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::{Connections, grpc};
use crate::config::model::upstream as model;
use crate::config::model::upstream::health::{Body, Statuses};
use crate::descriptors::Purpose;
use crate::upstream::timeouts::open_for;
use crate::upstream::{Address, Endpoint, State};

/// More of a body than this is not looked at.
const MOST_BODY: usize = 64 << 10;

/// One check of one endpoint.
pub(super) struct Probe {
    peer: HttpPeer,
    kind: Kind,
    healthy_after: u32,
    unhealthy_after: u32,
    connections: Arc<Connections>,
    state: Arc<State>,
}

enum Kind {
    Http {
        head: RequestHeader,
        expect: Statuses,
        body: Option<Body>,
    },
    Tcp,
    Grpc {
        head: RequestHeader,
        message: Bytes,
    },
}

impl Probe {
    pub(super) fn new(
        config: &model::Health,
        endpoint: &Endpoint,
        connections: Arc<Connections>,
    ) -> Self {
        let mut peer = peer(config, endpoint);
        let kind = if let Some(path) = &config.http {
            Kind::Http {
                head: head("GET", path, &host(config, endpoint)),
                expect: (config.expect.as_ref())
                    .map_or_else(|| Statuses::range(200, 299), |at| at.value.clone()),
                body: config.body.as_ref().map(|at| at.value.clone()),
            }
        } else if let Some(service) = &config.grpc {
            peer.options.alpn = ALPN::H2;
            peer.options.set_http_version(2, 2);
            Kind::Grpc {
                head: grpc::head(head("POST", grpc::PATH, &host(config, endpoint))),
                message: grpc::request(service),
            }
        } else {
            Kind::Tcp
        };
        Self {
            peer,
            kind,
            healthy_after: config.healthy_after.get(),
            unhealthy_after: config.unhealthy_after.get(),
            connections,
            state: endpoint.state.clone(),
        }
    }

    async fn http(
        &self,
        head: &RequestHeader,
        expect: &Statuses,
        body: Option<&Body>,
    ) -> Result<()> {
        let mut session = self.send(head, None).await?;
        let status = session.response_header().map(|head| head.status);
        let status = status.expect("the head was just read");
        if !expect.contain(status) {
            let unexpected = ErrorType::CustomCode("unexpected status", status.as_u16());
            return Error::e_explain(unexpected, "in a health check");
        }
        let (start, whole) = start_of_body(&mut session).await?;
        if body.is_some_and(|expected| !fits(expected, &start)) {
            return unfit("the body is not what was expected");
        }
        if whole {
            self.release(session).await;
        }
        Ok(())
    }

    async fn grpc(&self, head: &RequestHeader, message: &Bytes) -> Result<()> {
        let mut session = self.send(head, Some(message.clone())).await?;
        let (answer, whole) = start_of_body(&mut session).await?;
        let head = session.response_header().expect("the head was read");
        if head.status != http::StatusCode::OK || !grpc::is_ok(&head.headers) {
            return unfit("the call failed");
        }
        if !grpc::is_serving(&answer) {
            return unfit("the service does not serve");
        }
        if let HttpSession::H2(session) = &mut session
            && let Some(trailers) = session.read_trailers().await?
            && !grpc::is_ok(&trailers)
        {
            return unfit("the call failed");
        }
        if whole {
            self.release(session).await;
        }
        Ok(())
    }

    /// Sends a request and reads the head of the response.
    async fn send(&self, head: &RequestHeader, body: Option<Bytes>) -> Result<HttpSession> {
        let connector = &self.connections.http;
        let (mut session, reused) = connector.get_http_session(&self.peer).await?;
        if !reused && self.peer.options.alpn == ALPN::H2H1 {
            let http2 = matches!(session, HttpSession::H2(_));
            self.state.settled.chose(http2);
        }
        session.set_write_timeout(self.peer.options.write_timeout);
        session.write_request_header(Box::new(head.clone())).await?;
        if let Some(body) = body {
            session.write_request_body(body, true).await?;
        }
        session.finish_request_body().await?;
        session.set_read_timeout(self.peer.options.read_timeout);
        session.read_response_header().await?;
        Ok(session)
    }

    async fn release(&self, session: HttpSession) {
        let (connector, idle) = (&self.connections.http, self.peer.idle_timeout());
        connector
            .release_http_session(session, &self.peer, idle)
            .await;
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, _target: &Backend) -> Result<()> {
        match &self.kind {
            Kind::Http { head, expect, body } => self.http(head, expect, body.as_ref()).await,
            Kind::Tcp => self
                .connections
                .transport
                .new_stream(&self.peer)
                .await
                .map(drop),
            Kind::Grpc { head, message } => self.grpc(head, message).await,
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        let checks = if success {
            self.healthy_after
        } else {
            self.unhealthy_after
        };
        usize::try_from(checks).unwrap_or(usize::MAX)
    }
}

fn unfit<T>(why: &'static str) -> Result<T> {
    Error::e_explain(ErrorType::Custom("unhealthy"), why)
}

/// The body up to a bound, and whether that was all of it.
async fn start_of_body(session: &mut HttpSession) -> Result<(Vec<u8>, bool)> {
    let mut start = Vec::new();
    while let Some(piece) = session.read_response_body().await? {
        let room = MOST_BODY - start.len();
        start.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            return Ok((start, false));
        }
    }
    Ok((start, true))
}

fn fits(expected: &Body, body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let contained = (expected.contains.as_ref()).is_none_or(|part| text.contains(part.as_str()));
    let matched = (expected.matches.as_ref()).is_none_or(|pattern| pattern.is_match(&text));
    contained && matched
}

fn head(method: &str, path: &str, host: &str) -> RequestHeader {
    let mut head =
        RequestHeader::build(method, path.as_bytes(), None).expect("the path was checked at load");
    head.insert_header("host", host)
        .expect("the host was checked at load");
    head
}

fn host(config: &model::Health, endpoint: &Endpoint) -> String {
    match (&config.host, &endpoint.address) {
        (Some(host), _) => host.value.clone(),
        (None, Address::Unix(_)) => "localhost".to_owned(),
        (None, _) => endpoint.label.to_string(),
    }
}

fn peer(config: &model::Health, endpoint: &Endpoint) -> HttpPeer {
    let mut peer = endpoint.peer.clone();
    let timeout: Duration = config.timeout.into();
    let every = config
        .every_unhealthy
        .unwrap_or(config.every)
        .max(config.every);
    let options = &mut peer.options;
    open_for(Purpose::Upkeep, &endpoint.address, options);
    options.connection_timeout = Some(timeout);
    options.total_connection_timeout = Some(timeout);
    options.read_timeout = Some(timeout);
    options.write_timeout = Some(timeout);
    // Longer than until the next check. Without it a connection would outlive its check for
    // as long as the endpoint keeps it open.
    let longest = every.mul_f64(1.0 + config.jitter.fraction());
    options.idle_timeout = Some(longest + timeout + Duration::from_secs(1));
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fits_when_all_that_is_written_holds() {
        let expected = |json: &str| serde_json::from_str::<Body>(json).unwrap();
        let body = b"status: up\nload: 3";
        for (json, fit) in [
            (r#"{"contains": "status: up"}"#, true),
            (r#"{"contains": "down"}"#, false),
            (r#"{"matches": "load: [0-5]\\b"}"#, true),
            (r#"{"matches": "^load"}"#, false),
            (r#"{"contains": "status", "matches": "down"}"#, false),
        ] {
            assert_eq!(fits(&expected(json), body), fit, "{json}");
        }
        assert!(!fits(&expected(r#"{"contains": "x"}"#), b"\xff"));
    }
}
