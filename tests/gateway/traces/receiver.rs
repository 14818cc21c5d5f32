//! A receiver of OTLP/HTTP: it decodes what comes, and answers as a test wants.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Decoded;
use prost::Message;

use crate::harness::until;
use crate::origin;

/// A receiver, and what it has got.
pub struct Receiver {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    got: Mutex<Vec<Posted>>,
    answers: Mutex<Answer>,
    changed: Condvar,
}

/// One request that has come.
#[derive(Clone)]
pub struct Posted {
    /// Its head, in lower case.
    pub head: String,
    pub message: ExportTraceServiceRequest,
    /// Whether it was answered with a success.
    pub taken: bool,
}

/// How a receiver answers.
#[derive(Clone, Default, PartialEq)]
pub enum Answer {
    /// It takes everything.
    #[default]
    Take,
    /// It takes it, but for so many spans, and says this.
    Partly(i64, &'static str),
    /// A status, and further fields.
    Status(u16, &'static str),
    /// It takes it, but the end of its answer does not come.
    Half,
    /// Not at all, until it answers otherwise.
    Hang,
}

/// A span, fit to be compared.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    /// 2 for a server, 3 for a client.
    pub kind: i32,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub flags: u32,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
}

pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;

impl Receiver {
    /// One that takes everything.
    pub fn start() -> Self {
        let state = Arc::<State>::default();
        let copy = state.clone();
        let address = origin::serve(move |_, mut stream| copy.serve(&mut stream));
        Self {
            address,
            scheme: "http",
            state,
        }
    }

    /// The same over TLS, with the certificate `NAME.pem` of this folder.
    pub fn start_tls(folder: &Path, name: &str) -> Self {
        let state = Arc::<State>::default();
        let copy = state.clone();
        let address = origin::serve_tls(folder, name, move |stream| copy.serve(stream));
        Self {
            address,
            scheme: "https",
            state,
        }
    }

    pub fn url(&self) -> String {
        let host = match self.scheme {
            "https" => format!("localhost:{}", self.address.port()),
            _ => self.address.to_string(),
        };
        format!("{}://{host}/v1/traces", self.scheme)
    }

    /// Answers in this way from now on.
    pub fn answers(&self, with: Answer) {
        *self.state.answers.lock().unwrap() = with;
        self.state.changed.notify_all();
    }

    /// All that has come.
    pub fn posted(&self) -> Vec<Posted> {
        self.state.got.lock().unwrap().clone()
    }

    /// Waits until there were so many requests.
    pub fn posted_when(&self, count: usize) -> Vec<Posted> {
        until("the receiver has got requests", || {
            self.state.got.lock().unwrap().len() >= count
        });
        self.posted()
    }

    /// The spans that it has taken, in the order in which they began.
    pub fn spans(&self) -> Vec<Span> {
        let got = self.state.got.lock().unwrap();
        let taken = got.iter().filter(|posted| posted.taken);
        let spans = taken.flat_map(|posted| &posted.message.resource_spans);
        let spans = spans
            .flat_map(|spans| &spans.scope_spans)
            .flat_map(|spans| &spans.spans);
        let mut spans: Vec<Span> = spans.map(Span::of).collect();
        spans.sort_by_key(|span| (span.start, span.kind));
        spans
    }

    /// The same, once there are so many.
    pub fn spans_when(&self, count: usize) -> Vec<Span> {
        until("the receiver has got spans", || self.spans().len() >= count);
        self.spans()
    }
}

impl State {
    fn serve(&self, stream: &mut (impl Read + Write)) {
        while let Some(head) = origin::head(stream) {
            let head = head.to_ascii_lowercase();
            let length = field(&head, "content-length").unwrap().parse().unwrap();
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            if field(&head, "content-encoding") == Some("gzip") {
                let packed = std::mem::take(&mut body);
                let mut unpacked = flate2::read::GzDecoder::new(packed.as_slice());
                unpacked.read_to_end(&mut body).unwrap();
            }
            let message = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            let answer = self.answers.lock().unwrap().clone();
            let taken = matches!(answer, Answer::Take | Answer::Half | Answer::Partly(..));
            self.got.lock().unwrap().push(Posted {
                head,
                message,
                taken,
            });
            let answer = match answer {
                Answer::Half => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec(),
                Answer::Take => ok(ExportTraceServiceResponse::default()),
                Answer::Partly(rejected_spans, said) => ok(ExportTraceServiceResponse {
                    partial_success: Some(ExportTracePartialSuccess {
                        rejected_spans,
                        error_message: said.to_owned(),
                    }),
                }),
                Answer::Status(status, fields) => {
                    format!("HTTP/1.1 {status} Said\r\n{fields}content-length: 0\r\n\r\n").into()
                }
                Answer::Hang => {
                    let answers = self.answers.lock().unwrap();
                    let hangs = |answer: &mut Answer| *answer == Answer::Hang;
                    drop(self.changed.wait_while(answers, hangs).unwrap());
                    return;
                }
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

fn ok(answer: ExportTraceServiceResponse) -> Vec<u8> {
    let body = answer.encode_to_vec();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// The value of a field in a head in lower case.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Attributes as text.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(value) => value.to_string(),
        other => panic!("no attribute is {other:?}"),
    };
    let each = attributes.iter().map(|one| (one.key.clone(), text(one)));
    let all: BTreeMap<_, _> = each.collect();
    assert_eq!(all.len(), attributes.len(), "a name comes twice");
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Span {
    fn of(span: &Decoded) -> Self {
        assert!([0, 8].contains(&span.parent_span_id.len()));
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        Self {
            name: span.name.clone(),
            kind: span.kind,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state.clone(),
            flags: span.flags,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: texts(&span.attributes),
            failed: span.status.as_ref().unwrap().code == 2,
        }
    }

    /// An attribute; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}
