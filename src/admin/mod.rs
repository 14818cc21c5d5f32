//! The admin listener: metrics, probes, the running configuration, and reloads; and the one for
//! metrics, which has nothing but these and the probes.
//!
//! The first answers on a loopback address or a Unix socket only, and never to a web page: requests
//! with an `Origin` are refused, and on an address those for a host that is not this machine. No
//! browser opens a Unix socket, and what a client calls the host there means nothing.

mod caches;
mod query;
mod socket;
mod upstreams;

use std::sync::Arc;

use http::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::config::report;
use crate::proxy::{Phase, Shared};
use crate::reload::Reloader;
use crate::upgrade::{Upgrades, VERSION};

pub use socket::{Serving, address, asked, open};

use query::{deadline, flag, only};

type Answer = Response<Vec<u8>>;

/// Metrics are put together for so many at once, others wait: with ten thousand routes it is work.
const MOST_RENDERED: usize = 2;

/// What of the API is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    All,
    /// The metrics and the probes.
    Metrics,
}

impl Scope {
    /// What answers, in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "the admin API",
            Self::Metrics => "the metrics listener",
        }
    }
}

/// The admin API of one gateway, or that part of it which is for everybody who may look.
pub struct Admin {
    scope: Scope,
    rendering: Semaphore,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    upgrades: Arc<Upgrades>,
}

impl Admin {
    /// So much of the admin API of a gateway.
    pub fn new(
        scope: Scope,
        shared: Arc<Shared>,
        reloader: Arc<Reloader>,
        upgrades: Arc<Upgrades>,
    ) -> Arc<Self> {
        Arc::new(Self {
            scope,
            rendering: Semaphore::new(MOST_RENDERED),
            shared,
            reloader,
            upgrades,
        })
    }

    async fn respond(&self, head: &pingora_http::RequestHeader, over: Over) -> Answer {
        if let Some(refusal) = refuse_web_pages(head, self.scope, over) {
            return refusal;
        }
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or(""));
        if self.scope == Scope::Metrics && !matches!(path, "/metrics" | "/livez" | "/readyz") {
            let there_are = "there are: GET /metrics /livez /readyz\n";
            return text(StatusCode::NOT_FOUND, there_are);
        }
        self.answer(&head.method, path, query).await
    }

    async fn answer(&self, method: &Method, path: &str, query: &str) -> Answer {
        // Whoever sends it leaves the body out (RFC 9110, 9.3.2).
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        match (method, path) {
            (&Method::GET, "/metrics") => self.metrics().await,
            (&Method::GET, "/livez") => text(StatusCode::OK, "ok\n"),
            // A probe is not refused for what it says besides.
            (&Method::GET, "/readyz") => self.ready(query.split('&').any(|part| part == "verbose")),
            (&Method::GET, "/config") => self.config(query).await,
            (&Method::POST, "/reload") => self.reload(query).await,
            (&Method::POST, "/upgrade") => self.upgrade(query).await,
            (&Method::GET, "/upstreams") => self.upstreams().await,
            (&Method::GET, "/caches") => self.caches(),
            (&Method::POST, "/caches/purge") => self.purge(query).await,
            (_, "/metrics" | "/livez" | "/readyz" | "/config" | "/upstreams" | "/caches") => {
                not_allowed("GET, HEAD")
            }
            (_, "/reload" | "/upgrade" | "/caches/purge") => not_allowed("POST"),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are: GET /metrics /livez /readyz /config /upstreams /caches, \
                 POST /reload /upgrade /caches/purge\n",
            ),
        }
    }

    async fn metrics(&self) -> Answer {
        let render = |shared: &Shared| {
            let mut answer = Response::new(shared.render_metrics());
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
            answer
        };
        self.aside(render).await
    }

    /// What takes a while with ten thousand routes, on another thread: health checks and the like run on
    /// this one.
    async fn aside(&self, render: impl FnOnce(&Shared) -> Answer + Send + 'static) -> Answer {
        let shared = self.shared.clone();
        let turn = self.rendering.acquire().await;
        let rendered = tokio::task::spawn_blocking(move || render(&shared)).await;
        drop(turn);
        rendered.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "it broke\n"))
    }

    fn ready(&self, verbose: bool) -> Answer {
        let phase = self.shared.phase();
        // One whose place another process has taken is asked by those it knows already, and speaks for both: whoever
        // looks after the gateway must not take it out because it is upgraded.
        let ready = matches!(phase, Phase::Ready | Phase::HandedOver);
        let status = match ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        if !verbose {
            let word = if ready { "ok" } else { phase.word() };
            return text(status, &format!("{word}\n"));
        }
        let live = self.shared.live.load();
        let upstreams: serde_json::Map<String, Value> = (live.upstreams.iter())
            .map(|(name, upstream)| {
                let members = upstream.members();
                let available = (members.endpoints.iter())
                    .filter(|endpoint| upstream.policy.has(endpoint))
                    .count();
                let state = json!({ "available": available, "endpoints": members.endpoints.len() });
                (name.to_string(), state)
            })
            .collect();
        // A gateway that sheds is ready: were it taken out, others would get what it turns away.
        let overload = &self.shared.overload;
        let body = json!({
            "ready": ready,
            "pid": std::process::id(),
            "phase": phase.word(),
            "generation": live.generation,
            "overloaded_workers": overload.overloaded_workers(),
            "memory": overload.level().word(),
            "upstreams": upstreams,
        });
        document(status, &body)
    }

    async fn upstreams(&self) -> Answer {
        let render = |shared: &Shared| {
            let (live, now) = (shared.live.load(), shared.clock.instant());
            let upstreams: serde_json::Map<String, Value> = (live.upstreams.iter())
                .map(|(name, upstream)| (name.to_string(), upstreams::state(upstream, now)))
                .collect();
            document(StatusCode::OK, &json!({ "upstreams": upstreams }))
        };
        self.aside(render).await
    }

    async fn config(&self, query: &str) -> Answer {
        let yaml = match only(query, "format", "format=yaml") {
            Ok(None | Some("json")) => false,
            Ok(Some("yaml")) => true,
            Ok(Some(other)) => {
                let message = format!("expected `format=json` or `format=yaml`, found `{other}`");
                return bad_request(&message);
            }
            Err(message) => return bad_request(&message),
        };
        let render = move |shared: &Shared| {
            let live = shared.live.load();
            let body = json!({ "generation": live.generation, "config": live.effective });
            if !yaml {
                return document(StatusCode::OK, &body);
            }
            match serde_yaml::to_string(&body) {
                Ok(body) => typed(StatusCode::OK, "application/yaml", body),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
            }
        };
        self.aside(render).await
    }

    /// Answers when another process has taken over, or will not. This process is the last to answer
    /// here: it waits for that before it ends.
    async fn upgrade(&self, query: &str) -> Answer {
        let deadline = match deadline(query) {
            Ok(deadline) => deadline,
            Err(message) => return bad_request(&message),
        };
        match self.upgrades.upgrade(deadline).await {
            Ok(taken) => {
                let from = json!({ "pid": std::process::id(), "version": VERSION });
                let body = json!({ "pid": taken.pid, "version": taken.version, "from": from });
                document(StatusCode::OK, &body)
            }
            Err(why) => document(StatusCode::CONFLICT, &json!({ "why": why })),
        }
    }

    /// Answers when the outcome is known, or, where nobody waits for it, at once.
    async fn reload(&self, query: &str) -> Answer {
        let waits = only(query, "wait", "wait=false");
        let waits = waits.and_then(|value| value.map_or(Ok(true), |value| flag("wait", value)));
        let waits = match waits {
            Ok(waits) => waits,
            Err(message) => return bad_request(&message),
        };
        if !waits {
            let reloader = self.reloader.clone();
            // Its outcome is logged and counted.
            tokio::spawn(async move { reloader.reload_aside().await });
            return text(StatusCode::ACCEPTED, "the configuration is read again\n");
        }
        match self.reloader.reload_aside().await {
            Some(Ok(generation)) => document(StatusCode::OK, &json!({ "generation": generation })),
            Some(Err(refused)) => {
                let (sources, problems) = (&refused.sources, &refused.problems);
                let body = json!({
                    "problems": report::json(problems),
                    "text": report::text(problems, sources, false),
                });
                document(StatusCode::UNPROCESSABLE_ENTITY, &body)
            }
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "the reload failed\n"),
        }
    }
}

/// What a connection to the admin API came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Tcp,
    Unix,
}

/// A browser on this machine must not be led here by a page from elsewhere.
fn refuse_web_pages(
    head: &pingora_http::RequestHeader,
    scope: Scope,
    over: Over,
) -> Option<Answer> {
    let host = wiregate_sdk::host_of(head);
    let ip = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>();
    let local = over == Over::Unix
        || scope == Scope::Metrics // whoever looks does so from elsewhere
        || host.is_empty()
        || host == "localhost"
        || ip.is_ok_and(|ip| ip.is_loopback());
    let refused = !local || head.headers.contains_key(header::ORIGIN);
    refused.then(|| {
        text(
            StatusCode::FORBIDDEN,
            &format!("{} does not answer web pages\n", scope.word()),
        )
    })
}

fn not_allowed(allow: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allow}\n"));
    answer
        .headers_mut()
        .insert(header::ALLOW, http::HeaderValue::from_static(allow));
    answer
}

fn bad_request(message: &str) -> Answer {
    text(StatusCode::BAD_REQUEST, &format!("{message}\n"))
}

fn text(status: StatusCode, body: &str) -> Answer {
    typed(status, "text/plain; charset=utf-8", body.to_owned())
}

fn document(status: StatusCode, body: &Value) -> Answer {
    typed(status, "application/json", format!("{body:#}\n"))
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(body.into_bytes());
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer.headers_mut().insert(
        header::CACHE_CONTROL,
        http::HeaderValue::from_static("no-store"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use http::header::{HOST, ORIGIN};
    use pingora_http::RequestHeader;

    use super::*;

    fn refused(name: http::HeaderName, value: &str, scope: Scope, over: Over) -> bool {
        let mut head = RequestHeader::build(Method::GET, b"/config", None).unwrap();
        head.insert_header(name, value).unwrap();
        refuse_web_pages(&head, scope, over).is_some()
    }

    #[test]
    fn on_an_address_only_hosts_that_are_this_machine_are_answered() {
        let metrics = Scope::Metrics;
        for host in [
            "evil.example",
            "localhost.evil.example",
            "192.0.2.1",
            "wiregate",
        ] {
            assert!(refused(HOST, host, Scope::All, Over::Tcp), "{host}");
            assert!(!refused(HOST, host, Scope::All, Over::Unix), "{host}");
            assert!(!refused(HOST, host, metrics, Over::Tcp), "{host}");
        }
        for host in ["localhost:9901", "127.0.0.1:9901", "[::1]:9901"] {
            assert!(!refused(HOST, host, Scope::All, Over::Tcp), "{host}");
        }
        for over in [Over::Tcp, Over::Unix] {
            for scope in [Scope::All, metrics] {
                assert!(refused(ORIGIN, "http://localhost", scope, over), "{over:?}");
            }
        }
    }
}
