//! From a request to the answer that it asks for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Door;
use super::asked::{Asked, Content, Failure, status};

/// The longest body that is shown; longer ones are counted and hashed only.
const LONGEST_SHOWN: usize = 64 << 10;
static BLOCK: [u8; 64 << 10] = [b'w'; 64 << 10];

type Body = BoxBody<Bytes, io::Error>;
type Pieces = Box<dyn Iterator<Item = Bytes> + Send + Sync>;

/// Answers one request. What answers HEAD has no body; hyper sees to that over HTTP/1.1 only.
///
/// # Errors
/// Where the connection (HTTP/1.1) or the stream (HTTP/2) is to end without an answer: because
/// the request asks for that, or because its body broke off.
pub(super) async fn answer(
    request: Request<Incoming>,
    door: Arc<Door>,
    reset: Arc<AtomicBool>,
) -> io::Result<Response<Body>> {
    let bodiless = request.method() == Method::HEAD && request.version() == Version::HTTP_2;
    let response = whole(request, door, reset).await?;
    Ok(match bodiless {
        true => response.map(|_| full(Bytes::new())),
        false => response,
    })
}

async fn whole(
    request: Request<Incoming>,
    door: Arc<Door>,
    reset: Arc<AtomicBool>,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/health" => return Ok(health(&head, &door)),
        "/__stats" => return Ok(json(StatusCode::OK, &Stats::of(&door))),
        _ => door.requests.fetch_add(1, Ordering::Relaxed),
    };
    let asked = match Asked::read(&head.uri, door.address.port()) {
        Ok(asked) => asked,
        Err(problem) => return Ok(text(StatusCode::BAD_REQUEST, problem)),
    };
    let read = Read::all(body).await?;
    tokio::time::sleep(asked.delay).await;
    match asked.failure {
        Some(Failure::Close) => return Err(io::Error::other("closed on request")),
        Some(Failure::Reset) => {
            // A connection of HTTP/2 stays: other streams have no part in this.
            reset.store(head.version < Version::HTTP_2, Ordering::Release);
            return Err(io::Error::other("reset on request"));
        }
        Some(Failure::Midway) | None => {}
    }
    Ok(respond(asked, || Seen::of(&head, read, &door)))
}

fn health(head: &Parts, door: &Door) -> Response<Body> {
    if head.method == Method::PUT {
        let query = head.uri.query().unwrap_or_default();
        let wanted = query.strip_prefix("status=").unwrap_or_default();
        match status(wanted) {
            Ok(status) => door.health.store(status.as_u16(), Ordering::Release),
            Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
        }
        return text(StatusCode::OK, "set".into());
    }
    let status = StatusCode::from_u16(door.health.load(Ordering::Acquire))
        .expect("only checked statuses are stored");
    let word = if status.is_success() { "ok" } else { "failing" };
    text(status, word.into())
}

fn respond<'a>(asked: Asked, seen: impl FnOnce() -> Seen<'a>) -> Response<Body> {
    let cut = asked.failure == Some(Failure::Midway);
    let (kind, length, pieces): (_, _, Pieces) = match asked.content {
        Content::Seen => {
            let json = to_json(&seen());
            let length = json.len() as u64;
            let sent = json.slice(..if cut { json.len() / 2 } else { json.len() });
            let pieces = Box::new(std::iter::once(sent));
            ("application/json", Some(length), pieces)
        }
        Content::Bytes(length) => {
            let pieces = Box::new(blocks(half_if(cut, length)));
            ("application/octet-stream", Some(length), pieces)
        }
        Content::Chunks(count) => {
            let chunks = 1..=half_if(cut, count);
            let pieces = Box::new(chunks.map(|n| format!("chunk {n}\n").into()));
            ("text/plain; charset=utf-8", None, pieces)
        }
        Content::Events(count) => {
            let events = 1..=half_if(cut, count);
            let pieces =
                Box::new(events.map(|n| format!("id: {n}\nevent: tick\ndata: {n}\n\n").into()));
            ("text/event-stream", None, pieces)
        }
    };
    let bodiless = matches!(asked.status.as_u16(), 204 | 205 | 304);
    let mut response = if bodiless {
        Response::new(full(Bytes::new()))
    } else {
        Response::new(StreamBody::new(paced(pieces, asked.every, cut)).boxed())
    };
    *response.status_mut() = asked.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(length) = length.filter(|_| !bodiless) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    for (name, value) in asked.headers {
        headers.append(name, value);
    }
    response
}

fn half_if(cut: bool, whole: u64) -> u64 {
    if cut { whole / 2 } else { whole }
}

fn blocks(length: u64) -> impl Iterator<Item = Bytes> + Send + Sync {
    let block = BLOCK.len() as u64;
    (0..length.div_ceil(block)).map(move |n| {
        let left = usize::try_from(length - n * block).unwrap_or(usize::MAX);
        Bytes::from_static(&BLOCK[..left.min(BLOCK.len())])
    })
}

/// The pieces as a body, one in each interval; where `cut`, an error is at its end.
fn paced(
    pieces: Pieces,
    every: Duration,
    cut: bool,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send + Sync {
    let start = (pieces, Duration::ZERO, cut);
    unfold(start, move |(mut pieces, wait, cut)| async move {
        if let Some(piece) = pieces.next() {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            return Some((Ok(Frame::data(piece)), (pieces, every, cut)));
        }
        if !cut {
            return None;
        }
        // A pause makes the server flush what came before, so that the client does see a part.
        tokio::task::yield_now().await;
        let error = io::Error::other("cut on request");
        Some((Err(error), (pieces, wait, false)))
    })
}

/// A request's body after reading it to its end.
struct Read {
    length: u64,
    sha256: String,
    start: Vec<u8>,
}

impl Read {
    async fn all(mut body: Incoming) -> io::Result<Self> {
        let (mut length, mut hash, mut start) = (0, Sha256::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            hash.update(data);
            length += data.len() as u64;
            let room = LONGEST_SHOWN - start.len();
            start.extend_from_slice(&data[..data.len().min(room)]);
        }
        Ok(Self {
            length,
            sha256: format!("{:x}", hash.finalize()),
            start,
        })
    }

    fn shown(self) -> Option<String> {
        let whole = self.start.len() as u64 == self.length;
        whole.then(|| String::from_utf8(self.start).ok()).flatten()
    }
}

/// The request as it arrived here.
#[derive(Serialize)]
struct Seen<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    version: String,
    authority: Option<String>,
    headers: Map<String, Value>,
    body_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    body_sha256: String,
    served_by: String,
}

impl<'a> Seen<'a> {
    fn of(head: &'a Parts, read: Read, door: &Door) -> Self {
        let from_target = head.uri.authority().map(|authority| authority.to_string());
        Self {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            version: format!("{:?}", head.version),
            authority: from_target.or_else(|| head.headers.get(HOST).map(lossy)),
            headers: listed(&head.headers),
            body_bytes: read.length,
            body_sha256: read.sha256.clone(),
            body: read.shown(),
            served_by: door.address.to_string(),
        }
    }
}

fn listed(headers: &HeaderMap) -> Map<String, Value> {
    let one = |name| {
        let mut values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|v| lossy(v).into())
            .collect();
        match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        }
    };
    let names = headers.keys();
    names.map(|name| (name.to_string(), one(name))).collect()
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[derive(Serialize)]
struct Stats {
    served_by: String,
    connections: u64,
    requests: u64,
}

impl Stats {
    fn of(door: &Door) -> Self {
        Self {
            served_by: door.address.to_string(),
            connections: door.connections.load(Ordering::Relaxed),
            requests: door.requests.load(Ordering::Relaxed),
        }
    }
}

fn to_json(value: &impl Serialize) -> Bytes {
    let mut json = serde_json::to_vec(value).expect("the answers hold nothing but JSON values");
    json.push(b'\n');
    json.into()
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    plain(status, "application/json", to_json(value))
}

fn text(status: StatusCode, mut line: String) -> Response<Body> {
    line.push('\n');
    plain(status, "text/plain; charset=utf-8", line.into())
}

fn plain(status: StatusCode, kind: &'static str, content: Bytes) -> Response<Body> {
    let mut response = Response::new(full(content));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn full(content: Bytes) -> Body {
    Full::new(content).map_err(|never| match never {}).boxed()
}
