//! What the cache's store costs: to find an entry, to store one, to read a body, and to purge a tag.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use divan::Bencher;
use http::{HeaderMap, header};
use pingora_http::ResponseHeader;
use wiregate::Clock;
use wiregate::cache::rules::vary::{self, Wanted};
use wiregate::cache::store::{Asker, Entry, Find, Join, Key, Mode, Options, Store, What};
use wiregate::cache::{Head, Stored, Times};

fn main() {
    divan::main();
}

fn store(memory: usize) -> Arc<Store> {
    let options = Options {
        memory,
        largest: 1 << 20,
        disk: None,
    };
    Store::open(options, Clock::default()).expect("memory is all it needs")
}

/// A head with these fields more.
fn with(mut head: ResponseHeader, fields: [(&'static str, &str); 4]) -> Head {
    for (name, value) in fields {
        head.append_header(name, value).expect("a field");
    }
    Head::from(&head)
}

fn stored(tag: &str) -> Stored {
    let head = ResponseHeader::build(200, None).expect("a status");
    Stored {
        head: with(
            head,
            [
                ("content-type", "application/json"),
                ("cache-control", "max-age=60"),
                ("date", "Wed, 25 Nov 2026 20:00:00 GMT"),
                ("etag", "\"0123456789abcdef\""),
            ],
        ),
        vary: Vec::new(),
        tags: vec![tag.into()],
        times: Times {
            received: SystemTime::UNIX_EPOCH,
            age: Duration::ZERO,
            lifetime: Duration::from_secs(60),
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
        },
        marks: 0,
    }
}

fn key(store: &Store, number: usize) -> Key {
    let url = format!("https://api.example.com/orders/{number}?page=1");
    store.key(url.as_str(), &[b"GET"])
}

fn put(store: &Arc<Store>, key: &Key, stored: Stored, body: &[u8]) -> Arc<Entry> {
    let Join::Lead(lead) = store.join(key, Asker::Anybody, |_| false) else {
        panic!("nobody else fetches");
    };
    let length = Some(body.len() as u64);
    let mut fill = lead
        .fill(stored, length, Duration::ZERO)
        .expect("there is room");
    fill.push(body).expect("there is room");
    fill.finish().expect("it is as long as it says")
}

/// A store with so many entries of 1 KiB.
fn filled(entries: usize) -> Arc<Store> {
    let store = store(2 << 30);
    let body = [7; 1024];
    for number in 0..entries {
        put(&store, &key(&store, number), stored("x"), &body);
    }
    store
}

#[divan::bench]
fn make_a_key(bencher: Bencher<'_, '_>) {
    let store = store(16 << 20);
    let url = "https://api.example.com/orders/12345?page=1";
    bencher.bench(|| store.key(divan::black_box(url), &[b"GET"]));
}

#[divan::bench(args = [1, 10_000, 200_000], threads = [1, 2])]
fn find(bencher: Bencher<'_, '_>, entries: usize) {
    let store = filled(entries);
    let keys: Vec<Key> = (0..entries.min(1_000))
        .map(|number| key(&store, number * 7 % entries))
        .collect();
    bencher
        .with_inputs(|| &keys[fastrand::usize(..keys.len())])
        .bench_refs(|key| match store.find(key, |_| true) {
            Find::Found(entry) => entry,
            _ => panic!("it is there"),
        });
}

/// The oldest of as many variants as there may be, told apart by a cookie of 1 KiB.
#[divan::bench]
fn find_among_64_variants(bencher: Bencher<'_, '_>) {
    let store = store(16 << 20);
    let key = key(&store, 1);
    let asks = |number: usize| {
        let mut request = HeaderMap::new();
        let cookie = format!("{number:01024}").parse().expect("digits");
        request.insert(header::COOKIE, cookie);
        request
    };
    for number in 0..64 {
        let vary = vary::selectors(vec![header::COOKIE], &asks(number));
        put(
            &store,
            &key,
            Stored {
                vary,
                ..stored("x")
            },
            b"body",
        );
    }
    let request = asks(0);
    bencher.bench(|| {
        let mut wanted = Wanted::default();
        match store.find(&key, |entry| wanted.is(&entry.meta().vary, &request)) {
            Find::Found(entry) => entry,
            _ => panic!("it is there"),
        }
    });
}

#[divan::bench(args = [1 << 10, 100 << 10])]
fn read(bencher: Bencher<'_, '_>, length: usize) {
    let store = store(16 << 20);
    let entry = put(&store, &key(&store, 1), stored("x"), &vec![7; length]);
    bencher.bench(|| {
        let (mut reader, mut read) = (entry.reader(), 0);
        while let Some(Ok(Some(piece))) = reader.ready() {
            read += piece.len();
        }
        read
    });
}

#[divan::bench(args = [1 << 10, 100 << 10])]
fn put_into_a_full_store(bencher: Bencher<'_, '_>, length: usize) {
    let store = store(64 << 20);
    let body = vec![7; length];
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        (key(&store, number), stored("x"))
    };
    for _ in 0..(80 << 20) / length {
        let (key, stored) = fresh();
        put(&store, &key, stored, &body);
    }
    bencher
        .with_inputs(fresh)
        .bench_local_values(|(key, stored)| put(&store, &key, stored, &body));
}

/// A response as most are: no tags, eight fields.
fn ordinary() -> Stored {
    let mut stored = Stored {
        tags: Vec::new(),
        ..stored("x")
    };
    stored.head = with(
        stored.head.response(),
        [
            ("server", "nginx/1.24.0"),
            ("content-length", "1024"),
            ("last-modified", "Wed, 25 Nov 2026 19:00:00 GMT"),
            ("via", "1.1 gateway"),
        ],
    );
    stored
}

/// A store of 64 MiB that has been full for long, of ordinary responses of 1 KiB.
fn busy() -> Arc<Store> {
    let store = store(64 << 20);
    for number in 0..120_000 {
        put(&store, &key(&store, number), ordinary(), &[7; 1024]);
    }
    store
}

/// One in, one out: what is put out was last touched 30,000 responses before.
#[divan::bench(sample_count = 200, sample_size = 100)]
fn turn_over(bencher: Bencher<'_, '_>) {
    let store = busy();
    let mut number = 1 << 20;
    bencher
        .with_inputs(|| {
            number += 1;
            (key(&store, number), ordinary())
        })
        .bench_local_values(|(key, stored)| put(&store, &key, stored, &[7; 1024]));
}

/// A hit of any of 30,000: it is found, its head is copied, and its body is read.
#[divan::bench(sample_count = 200, sample_size = 100)]
fn hit_one_of_many(bencher: Bencher<'_, '_>) {
    let store = store(64 << 20);
    let keys: Vec<_> = (0..30_000).map(|number| key(&store, number)).collect();
    for key in &keys {
        put(&store, key, ordinary(), &[7; 1024]);
    }
    bencher
        .with_inputs(|| &keys[fastrand::usize(..keys.len())])
        .bench_local_refs(|key| {
            let Find::Found(entry) = store.find(key, |_| true) else {
                return None; // it had to go
            };
            Some((entry.meta().head.parts(9), entry.reader().ready()))
        });
}

/// The goal is less than 50 ms.
#[divan::bench(args = [Mode::Soft, Mode::Hard], sample_count = 5)]
fn purge_a_tag_of_100_000(bencher: Bencher<'_, '_>, mode: &Mode) {
    bencher
        .with_inputs(|| filled(100_000))
        .bench_refs(|store| assert_eq!(store.purge(&What::Tag("x".into()), *mode), 100_000));
}

#[divan::bench]
fn purge_a_url_among_100_000(bencher: Bencher<'_, '_>) {
    let store = filled(100_000);
    let what = What::Url("https://api.example.com/orders/5?page=1".into());
    bencher.bench(|| store.purge(&what, Mode::Soft));
}
