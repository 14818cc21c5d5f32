//! A reload that breaks, and what a configuration that has been replaced can still do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Runtime;
use wiregate_sdk::build::Files;
use wiregate_sdk::{Build, Clock, Filter, Flow, Invalid, Registry, Request};

use super::{Outcome, Reloader, load};
use crate::listen::Listeners;
use crate::observe::metrics::Metrics;
use crate::proxy::Shared;
use crate::upstream::Turn;

/// A filter that panics when it is thrown away.
struct Brittle;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

impl Filter for Brittle {
    const NAME: &'static str = "brittle";
    type Config = Nothing;
    type State = ();

    fn build(Nothing {}: Nothing, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
        Ok(())
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("broken");
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn registry() -> Registry {
    wiregate_filters::all().add::<Brittle>()
}

fn nobody_listens() -> Arc<Listeners> {
    Arc::new(Listeners::new(0, Vec::new()).0)
}

/// A gateway that nobody asks, of a configuration whose only route has these filters; and what its
/// configuration was read from.
struct Quiet {
    path: PathBuf,
    metrics: Arc<Metrics>,
    runtime: Runtime,
    shared: Arc<Shared>,
    read: Files,
    _folder: tempfile::TempDir,
}

impl Quiet {
    fn new(filters: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wiregate.yaml");
        write(&path, filters);
        let metrics = Metrics::new();
        let loaded = load(&path, &registry(), &metrics, super::From::Nothing).unwrap();
        metrics.is_live(loaded.snapshot.generation);
        let snapshot = Arc::new(loaded.snapshot);
        let shared = Shared::new(snapshot, metrics.clone(), None, Clock::default(), 1024);
        Self {
            path,
            metrics,
            runtime: runtime(),
            shared: Arc::new(shared),
            read: loaded.sources.watch,
            _folder: folder,
        }
    }

    fn reloader(&self) -> Arc<Reloader> {
        Arc::new(Reloader::new(
            self.path.clone(),
            registry(),
            self.shared.clone(),
            nobody_listens(),
            self.runtime.handle().clone(),
            self.read.clone(),
        ))
    }

    fn generation(&self) -> u64 {
        self.shared.live.load().generation
    }
}

fn write(path: &Path, filters: &str) {
    let text = format!(
        "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\n\
         access_log: off\nroutes: [{{ name: all, filters: [{filters}] }}]\n"
    );
    std::fs::write(path, text).unwrap();
}

#[test]
fn what_changes_between_the_reading_and_the_watch_is_taken_live() {
    let quiet = Quiet::new("respond: 204");
    write(&quiet.path, "respond: 200");
    let reloader = quiet.reloader(); // such as after a start that has waited for others
    let watching = quiet.runtime.spawn(reloader.watch());
    let patience = Instant::now() + Duration::from_secs(20);
    while quiet.generation() == 1 {
        assert!(Instant::now() < patience, "it was not noticed");
        std::thread::sleep(Duration::from_millis(10));
    }
    watching.abort();
}

#[test]
fn reloads_that_are_asked_for_before_one_begins_are_one() {
    let quiet = Quiet::new("respond: 204");
    let reloader = quiet.reloader();
    let under_way = reloader.reloading.lock().unwrap();
    let mut asked = join_all((0..10).map(|_| reloader.reload_aside()));
    assert!((&mut asked).now_or_never().is_none());
    drop(under_way);
    let generation = |outcome: Option<Outcome>| outcome.unwrap().unwrap();
    let outcomes = quiet.runtime.block_on(asked);
    let generations: Vec<_> = outcomes.into_iter().map(generation).collect();
    assert_eq!(generations, [2; 10]);
    // Whoever comes later cannot know that it would still be read.
    let outcome = quiet.runtime.block_on(reloader.reload_aside());
    assert_eq!(generation(outcome), 3);
}

#[test]
fn a_panic_in_a_reload_is_a_reload_that_failed() {
    let quiet = Quiet::new("respond: 204");
    let (reloader, metrics) = (quiet.reloader(), &quiet.metrics);

    write(&quiet.path, "{ brittle: {} }, { nobody: {} }"); // refused for the second one: the first is thrown away
    assert!(quiet.runtime.block_on(reloader.reload_aside()).is_none());
    assert!(!metrics.reload_was_successful());
    assert_eq!(quiet.generation(), 1);

    write(&quiet.path, "respond: 200");
    let outcome = quiet.runtime.block_on(reloader.reload_aside()).unwrap();
    assert_eq!(outcome.unwrap(), 2);
    assert!(metrics.reload_was_successful());
}

#[test]
fn a_retired_configuration_does_not_change_what_is_shown_of_the_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wiregate.yaml");
    let write = |endpoint: &str, more: &str| {
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\naccess_log: off\n\
             upstreams: {{ app: {{ endpoints: [\"{endpoint}\"]{more} }} }}\n\
             routes: [{{ name: all, upstream: app }}]\n"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("127.0.0.1:1001", ", breaker: { errors: 50%, open_for: 1h }");
    let (registry, metrics) = (wiregate_filters::all(), Metrics::new());
    let loaded = load(&path, &registry, &metrics, super::From::Nothing).unwrap();
    let old = Arc::new(loaded.snapshot);
    metrics.keep_only(super::names(&old));
    let shared = Shared::new(old.clone(), metrics.clone(), None, Clock::default(), 1024);
    let shared = Arc::new(shared);
    let runtime = runtime();
    let reloader = Reloader::new(
        path.clone(),
        registry,
        shared.clone(),
        nobody_listens(),
        runtime.handle().clone(),
        loaded.sources.watch,
    );
    write("127.0.0.1:1002", "");
    reloader.reload().unwrap();
    // What looked for its endpoints, or checked them, was in the middle of it.
    let former = &old.upstreams["app"];
    let endpoints = former.members().endpoints.to_vec();
    former.replace(endpoints);
    former.refresh();
    former.circuit_turned(Some(Turn::Opened)); // a request that it has still
    let shown = String::from_utf8(shared.render_metrics()).unwrap();
    assert!(
        !shown.contains("wiregate_upstream_circuit_open{"),
        "{shown}"
    );
    let healthy: Vec<_> = (shown.lines())
        .filter(|line| line.starts_with("wiregate_endpoint_healthy"))
        .collect();
    let expected = "wiregate_endpoint_healthy{endpoint=\"127.0.0.1:1002\",upstream=\"app\"} 1";
    assert_eq!(healthy, [expected]);
    // Requests that it has go on with its endpoints.
    assert_eq!(former.members().endpoints.len(), 1);
}
