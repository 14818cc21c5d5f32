//! The cache in a running gateway, between curl and origins that say exactly what a test wants.

mod apart;
mod at_once;
mod callers;
mod collapse;
mod conformance;
mod folder;
mod full_disk;
mod leaving;
mod places;
mod purge;
mod reload;
mod reuse;
mod rewritten;
mod storing;
mod upgrade;
mod validation;

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::harness::{Answer, Gateway, curl};
use super::origin;

/// An origin whose answers a test sets by path, and that remembers what it was asked.
#[derive(Clone)]
struct Origin {
    address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, String>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    fn start() -> Self {
        let answers: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (own, heads) = (answers.clone(), seen.clone());
        let address = origin::answers(move |head| {
            let mut heads = heads.lock().unwrap();
            heads.push(head.to_ascii_lowercase());
            let target = head.split(' ').nth(1).unwrap();
            let answer = own.lock().unwrap().get(target).cloned();
            // A body that tells which answer it is.
            let count = heads.len();
            answer
                .unwrap_or_else(|| origin::empty(404))
                .replace("{n}", &count.to_string())
        });
        Self {
            address,
            answers,
            seen,
        }
    }

    /// Answers requests for this target with these fields and a body.
    fn says(&self, target: &str, fields: &str) {
        self.answers_with(target, 200, fields, "answer {n}");
    }

    fn answers_with(&self, target: &str, status: u16, fields: &str, body: &str) {
        let length = body.replace("{n}", "1").len();
        let mut head = format!("HTTP/1.1 {status} Said\r\n");
        for field in fields.split('|').filter(|field| !field.is_empty()) {
            head.push_str(&format!("{}\r\n", field.trim()));
        }
        if status != 304 && status != 204 {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        let body = if status == 304 || status == 204 {
            ""
        } else {
            body
        };
        let answer = format!("{head}\r\n{body}");
        self.answers
            .lock()
            .unwrap()
            .insert(target.to_owned(), answer);
    }

    /// How many requests have come.
    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The head of the last request, in lower case.
    fn last(&self) -> String {
        self.seen
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }

    /// A gateway with these filters and the cache before this origin.
    fn cached(&self, options: &str) -> Gateway {
        Gateway::start(&self.configuration(options))
    }

    fn configuration(&self, options: &str) -> String {
        self.with_filters(&format!("cache: {options}"))
    }

    fn with_filters(&self, filters: &str) -> String {
        format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], retry: {{ attempts: 1 }} }} }}\n\
             routes: [{{ name: all, filters: [{filters}], upstream: app }}]\n",
            self.address
        )
    }
}

/// Gets a path, with these fields.
fn get(gateway: &Gateway, path: &str, fields: &[&str]) -> Answer {
    let url = gateway.url(path);
    let mut arguments = vec!["--path-as-is"];
    for field in fields {
        arguments.extend(["-H", field]);
    }
    arguments.push(&url);
    curl(&arguments)
}

/// Sends a request with this method.
fn send(gateway: &Gateway, method: &str, path: &str) -> Answer {
    let url = gateway.url(path);
    match method {
        "HEAD" => curl(&["-I", &url]),
        _ => curl(&["-X", method, &url]),
    }
}

/// What the cache says that it did.
fn did(answer: &Answer) -> &str {
    answer.header("cache-status")
}

/// The body, and whether the cache answered.
fn told(answer: &Answer) -> (String, bool) {
    (answer.text(), did(answer).contains("hit"))
}

/// Writes a response in pieces that a test lets go one by one.
fn in_pieces(stream: &mut std::net::TcpStream, pieces: &[&str], mut wait: impl FnMut(usize)) {
    for (number, piece) in pieces.iter().enumerate() {
        wait(number);
        if stream.write_all(piece.as_bytes()).is_err() {
            return;
        }
    }
}
