//! The last good keys stay: over reloads, and in the process that comes after this one.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use wiregate_sdk::testing::{Probe, probe};

use super::super::Jwt;
use super::signer::Signer;
use super::{claims, verdict};

const UNKNOWN: &str = "the keys have not been fetched yet";

/// Somebody who has keys, and counts who asks for them.
struct Issuer {
    signer: Signer,
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn start() -> Self {
        let signer = Signer::for_algorithm("ES256");
        let set = json!({ "keys": [signer.jwk] }).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", set.len());
                stream.write_all((head + &set).as_bytes()).unwrap();
            }
        });
        Self { signer, url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The options of a filter that fetches its keys like that.
    fn options(&self, fetch: &str) -> String {
        format!(
            "issuer: ours\naudience: orders\nalgorithms: ES256\nkeys: {{ jwks: '{}' }}\nfetch: {{ {fetch} }}",
            self.url
        )
    }

    fn token(&self) -> String {
        let header = json!({ "alg": "ES256" });
        self.signer.token(&header, &claims(&json!({})))
    }

    /// A filter that has fetched them, and whose configuration has ended.
    async fn fetched(&self, fetch: &str) -> Probe {
        let mut filter = probe::<Jwt>(&self.options(fetch));
        let tasks = run(&mut filter);
        assert_eq!(verdict(&filter, &self.token()).await, Ok(()));
        tasks.iter().for_each(JoinHandle::abort);
        filter
    }
}

fn run(filter: &mut Probe) -> Vec<JoinHandle<()>> {
    filter.take_tasks().into_iter().map(tokio::spawn).collect()
}

#[tokio::test]
async fn a_reload_with_other_times_forgets_no_keys() {
    let issuer = Issuer::start();
    let mut filter = issuer.fetched("").await;
    for fetch in ["refresh: 1h", "cool_down: 1m", "timeout: 100ms", ""] {
        // Nobody fetches anything from here on.
        filter = filter.reload::<Jwt>(&issuer.options(fetch));
        assert_eq!(verdict(&filter, &issuer.token()).await, Ok(()), "{fetch}");
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn they_are_fetched_again_when_that_is_due_by_the_new_times() {
    let issuer = Issuer::start();
    let filter = issuer.fetched("refresh: 1h").await;
    filter.clock().advance(Duration::from_secs(400));
    let mut filter = filter.reload::<Jwt>(&issuer.options("refresh: 5m"));
    let _tasks = run(&mut filter);
    while issuer.asked() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_fetched_over_another_trust_is_not_taken() {
    let issuer = Issuer::start();
    let fast = "timeout: 100ms";
    let trusting = format!("{fast}, plain_http: allow");
    for (one, other) in [(fast, &*trusting), (&*trusting, fast)] {
        let filter = issuer.fetched(one).await;
        let filter = filter.reload::<Jwt>(&issuer.options(other));
        let why = verdict(&filter, &issuer.token()).await.unwrap_err();
        assert_eq!(why, UNKNOWN, "{other}");
        let filter = filter.reload::<Jwt>(&issuer.options(one));
        let why = verdict(&filter, &issuer.token()).await.unwrap_err();
        assert_eq!(why, UNKNOWN, "{one} again");
        let filter = issuer.fetched(one).await;
        let filter = filter.upgrade::<Jwt>(&issuer.options(other));
        let why = verdict(&filter, &issuer.token()).await.unwrap_err();
        assert_eq!(why, UNKNOWN, "{other} in another process");
    }
}

#[tokio::test]
async fn the_next_process_goes_on_with_them() {
    let issuer = Issuer::start();
    let filter = issuer.fetched("").await;
    let before = filter.fetches()[0].last_success().unwrap();
    filter.clock().advance(Duration::from_secs(60));
    for fetch in ["", "refresh: 1h, timeout: 100ms"] {
        let filter = issuer.fetched("").await;
        let filter = filter.upgrade::<Jwt>(&issuer.options(fetch));
        assert_eq!(verdict(&filter, &issuer.token()).await, Ok(()), "{fetch}");
    }
    let filter = filter.upgrade::<Jwt>(&issuer.options(""));
    let told = &filter.fetches()[0];
    assert_eq!((told.succeeded(), told.last_success()), (0, Some(before)));
    assert_eq!(issuer.asked(), 3);
}
