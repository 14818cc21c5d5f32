//! How long a large configuration takes from the file to a snapshot.

use std::fmt::Write;
use std::path::PathBuf;

use divan::Bencher;
use wiregate::compile::{Context, Files, compile};
use wiregate::config::{Environment, read_all};
use wiregate::observe::metrics::Metrics;
use wiregate::value::{Noted, Value};
use wiregate::{Clock, reload};

fn main() {
    divan::main();
}

/// A hundred hosts with an even share of the paths each, a filter on every route.
fn configuration(routes: usize) -> (tempfile::TempDir, PathBuf) {
    let mut text = String::from(
        "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\naccess_log: off\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:9001\"] } }\nroutes:\n",
    );
    for i in 0..routes {
        let (host, path) = (i % 100, i / 100);
        writeln!(
            text,
            "  - name: r{i}\n    match: {{ host: h{host}.example.com, path: \"/p{path}/**\" }}\n    \
             filters: [headers: {{ response: {{ set: {{ x-route: r{i} }} }} }}]\n    upstream: app"
        )
        .expect("writing to memory does not fail");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, text).expect("a file");
    (folder, file)
}

fn read(routes: usize) -> (tempfile::TempDir, Value) {
    let (folder, file) = configuration(routes);
    let value = read_all(&file, &Environment::of_process()).value;
    (folder, value.expect("a good configuration"))
}

/// From what was read to a snapshot.
#[divan::bench(args = [10, 1_000, 10_000], sample_count = 10)]
fn compile_routes(bencher: Bencher<'_, '_>, routes: usize) {
    let (_folder, value) = read(routes);
    let (registry, metrics) = (wiregate::filters::all(), Metrics::new());
    bencher.bench_local(|| {
        let cx = Context {
            registry: &registry,
            metrics: &metrics,
            clock: &Clock::default(),
            old: None,
            packed: &Default::default(),
            runs: true,
            files: &Files::default(),
            hidden: &Noted::begin(),
        };
        compile(&value, Vec::new(), &cx)
            .map_err(drop)
            .expect("a good configuration")
    });
}

/// From the file to a snapshot: all that a reload does before it swaps.
#[divan::bench(args = [10, 1_000, 10_000], sample_count = 10)]
fn load_routes(bencher: Bencher<'_, '_>, routes: usize) {
    let (_folder, file) = configuration(routes);
    let (registry, metrics) = (wiregate::filters::all(), Metrics::new());
    bencher.bench_local(|| {
        reload::load(&file, &registry, &metrics, reload::From::Nothing)
            .map_err(drop)
            .expect("a good configuration")
    });
}
