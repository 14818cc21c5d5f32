//! What it costs to choose an endpoint, by the way to choose and the number of endpoints.

use std::sync::Arc;
use std::time::Instant;

use divan::Bencher;
use pingora_core::upstreams::peer::HttpPeer;
use wiregate::config::model::upstream::Balance;
use wiregate::upstream::{Address, Ask, Candidate, Endpoint, Picker, Wish};

fn main() {
    divan::main();
}

const COUNTS: [usize; 5] = [3, 10, 16, 100, 500];

fn candidates(count: usize, weight: impl Fn(usize) -> u32) -> Vec<Candidate> {
    (0..count)
        .map(|number| {
            let port = u16::try_from(number + 1).expect("a port");
            let address = std::net::SocketAddr::from(([10, 0, 0, 1], port));
            let peer = HttpPeer::new(address, false, String::new());
            let weight = weight(number);
            let endpoint = Endpoint::new(Address::Inet(address), weight, peer, Arc::default());
            Candidate {
                endpoint: Arc::new(endpoint),
                weight,
            }
        })
        .collect()
}

fn choose(bencher: Bencher<'_, '_>, balance: &str, count: usize, weight: impl Fn(usize) -> u32) {
    let balance: Balance = serde_json::from_str(balance).expect("a way to choose");
    let picker = Picker::new(&balance, candidates(count, weight), 0);
    let (wish, now) = (Wish::default(), Instant::now());
    bencher.bench(|| picker.pick(divan::black_box(&Ask::new(&[], &wish, now))));
}

#[divan::bench(args = COUNTS)]
fn round_robin(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, r#""round_robin""#, count, |_| 1);
}

#[divan::bench(args = COUNTS)]
fn least_requests(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, r#""least_requests""#, count, |_| 1);
}

#[divan::bench(args = COUNTS)]
fn peak_ewma(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, r#""peak_ewma""#, count, |_| 1);
}

#[divan::bench(args = COUNTS)]
fn random_by_weight(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, r#""random""#, count, |number| {
        1 + number as u32 % 7
    });
}

const HASH: &str = r#"{ "hash": { "by": "client.address" } }"#;
const BOUNDED: &str = r#"{ "hash": { "by": "client.address", "bounded_load": "125%" } }"#;

#[divan::bench(args = COUNTS)]
fn hash(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, HASH, count, |_| 1);
}

#[divan::bench(args = COUNTS)]
fn hash_by_weight(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, HASH, count, |number| 1 + number as u32 % 7);
}

#[divan::bench(args = COUNTS)]
fn hash_with_bounded_loads(bencher: Bencher<'_, '_>, count: usize) {
    choose(bencher, BOUNDED, count, |_| 1);
}
