//! What a store promises.

mod admission;
mod at_once;
mod bound;
mod disk;
mod fills;
mod flights;
mod folders;
mod forged;
mod kill;
mod memory;
mod parts;
mod passing;
mod purges;
mod restarts;
mod start;
mod unknown;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use wiregate_sdk::Clock;

use super::*;
use crate::cache::{Failure, Head, Stored, Times};

const MIB: usize = 1024 * 1024;

fn store(memory: usize) -> Arc<Store> {
    timed(memory).0
}

/// A store, and the clock that it goes by.
fn timed(memory: usize) -> (Arc<Store>, Clock) {
    let clock = Clock::manual();
    let options = Options {
        memory,
        largest: memory as u64 / 4,
        disk: None,
    };
    (Store::open(options, clock.clone()).unwrap(), clock)
}

fn meta(tags: &[&str]) -> Stored {
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.append_header("content-type", "text/plain").unwrap();
    head.append_header("X-Made", "by hand").unwrap();
    Stored {
        head: Head::from(&head),
        vary: Vec::new(),
        tags: tags.iter().map(|tag| Box::from(*tag)).collect(),
        times: Times {
            received: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            age: Duration::from_secs(3),
            lifetime: Duration::from_secs(60),
            while_revalidate: Duration::from_secs(7),
            if_error: Duration::from_secs(9),
        },
        marks: 5,
    }
}

fn with_etag(head: &Head, tag: &str) -> Head {
    let mut head = head.response();
    head.insert_header("etag", tag).unwrap();
    Head::from(&head)
}

/// Chosen by this value of `accept-language`.
fn varied(value: &'static str) -> Stored {
    Stored {
        vary: vec![language(value)],
        ..meta(&[])
    }
}

fn language(value: &'static str) -> (HeaderName, Option<HeaderValue>) {
    let value = HeaderValue::from_static(value);
    (http::header::ACCEPT_LANGUAGE, Some(value))
}

fn key(store: &Store, url: &str) -> Key {
    store.key(url, &[b"GET"])
}

fn lead(store: &Arc<Store>, url: &str) -> Lead {
    match store.join(&key(store, url), Asker::Anybody, |_| false) {
        Join::Lead(lead) => lead,
        other => panic!("expected the lead, found {other:?}"),
    }
}

fn put_meta(store: &Arc<Store>, url: &str, meta: Stored, body: &[u8]) -> Arc<Entry> {
    let mut fill = lead(store, url)
        .fill(meta, Some(body.len() as u64), Duration::ZERO)
        .unwrap();
    fill.push(body).unwrap();
    fill.finish().unwrap()
}

fn put(store: &Arc<Store>, url: &str, body: &[u8]) -> Arc<Entry> {
    put_meta(store, url, meta(&[]), body)
}

fn get(store: &Store, url: &str) -> Option<Arc<Entry>> {
    match store.find(&key(store, url), |_| true) {
        Find::Found(entry) => Some(entry),
        Find::OnDisk | Find::Missing => None,
    }
}

impl Store {
    /// Removes one entry. Those who read it can read it to its end.
    fn remove(&self, entry: &Entry) {
        let variant = self.with(entry.name(), |shard| {
            let id = shard.id_of(entry.name(), entry.number())?;
            Some(shard.remove(id).variant)
        });
        if let (Some(variant), Some(disk)) = (variant, &self.disk) {
            disk.superseding(entry.name(), variant);
            disk.void(entry.name(), variant);
        }
    }
}

/// What is there to be read without waiting.
fn ready(mut reader: Reader) -> Result<Vec<u8>, Broken> {
    let mut read = Vec::new();
    while let Some(piece) = reader.ready() {
        match piece? {
            Some(piece) => read.extend_from_slice(&piece),
            None => break,
        }
    }
    Ok(read)
}

async fn read(mut reader: Reader) -> Result<Vec<u8>, Broken> {
    let mut read = Vec::new();
    while let Some(piece) = reader.next().await? {
        assert!(!piece.is_empty());
        read.extend_from_slice(&piece);
    }
    Ok(read)
}

/// Bytes that tell where they come from.
fn bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// A store with a disk, on which all is found.
fn open(folder: &std::path::Path, memory: usize, size: usize) -> Arc<Store> {
    let store = opened(folder, memory, size);
    until("all is found", || !store.figures().finding);
    store
}

/// A store with a disk.
fn opened(folder: &std::path::Path, memory: usize, size: usize) -> Arc<Store> {
    let options = Options {
        memory,
        largest: memory as u64 / 4,
        disk: Some(Disk {
            path: folder.to_owned(),
            size: size as u64,
        }),
    };
    // The threads of a store that was dropped just now may still have the folder.
    let mut store = None;
    until("the folder is free", || {
        store = Store::open(options.clone(), Clock::manual()).ok();
        store.is_some()
    });
    store.unwrap()
}

/// Waits until something is so, which a thread of the store does.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "not so: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// This test again, in a process of its own.
fn again(test: &str, variable: &str, value: &std::path::Path) -> std::process::Command {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let test = format!("cache::store::tests::{test}");
    child.args(["--exact", "--nocapture", &test]);
    child
        .env(variable, value)
        .stderr(std::process::Stdio::null());
    child
}

/// What is in memory or on disk.
async fn fetch(store: &Arc<Store>, url: &str) -> Option<Arc<Entry>> {
    let key = key(store, url);
    match store.find(&key, |_| true) {
        Find::Found(entry) => Some(entry),
        Find::OnDisk => store.load(&key, |_| true).await,
        Find::Missing => None,
    }
}
