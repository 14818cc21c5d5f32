//! A reload that breaks, and what a configuration that has been replaced can still do.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::{Build, Clock, Filter, Flow, Invalid, Request};

use super::{Reloader, load};
use crate::listen::Listeners;
use crate::observe::metrics::Metrics;
use crate::proxy::Shared;

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

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn nobody_listens() -> Arc<Listeners> {
    Arc::new(Listeners::new(0, Vec::new()).0)
}

#[test]
fn a_panic_in_a_reload_is_a_reload_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wiregate.yaml");
    let write = |filters: &str| {
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\n\
             access_log: off\nroutes: [{{ name: all, filters: [{filters}] }}]\n"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("respond: 204");
    let registry = wiregate_filters::all().add::<Brittle>();
    let metrics = Metrics::new();
    let loaded = load(&path, &registry, &metrics, super::From::Nothing).unwrap();
    metrics.is_live(loaded.snapshot.generation);
    let shared = Shared::new(
        Arc::new(loaded.snapshot),
        metrics.clone(),
        None,
        Clock::default(),
        1024,
    );
    let runtime = runtime();
    let reloader = Arc::new(Reloader::new(
        path.clone(),
        registry,
        Arc::new(shared),
        nobody_listens(),
        runtime.handle().clone(),
        &loaded.sources,
    ));

    write("{ brittle: {} }, { nobody: {} }"); // refused for the second one: the first is thrown away
    assert!(runtime.block_on(reloader.reload_aside()).is_none());
    assert!(!metrics.reload_was_successful());
    assert_eq!(reloader.shared.live.load().generation, 1);

    write("respond: 200");
    let outcome = runtime.block_on(reloader.reload_aside()).unwrap();
    assert_eq!(outcome.unwrap(), 2);
    assert!(metrics.reload_was_successful());
}

#[test]
fn a_retired_configuration_does_not_change_what_is_shown_of_the_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wiregate.yaml");
    let write = |endpoint: &str| {
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\naccess_log: off\n\
             upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n\
             routes: [{{ name: all, upstream: app }}]\n"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("127.0.0.1:1001");
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
        &loaded.sources,
    );
    write("127.0.0.1:1002");
    reloader.reload().unwrap();
    // What looked for its endpoints, or checked them, was in the middle of it.
    let former = &old.upstreams["app"];
    let endpoints = former.members().endpoints.to_vec();
    former.replace(endpoints);
    former.refresh();
    let shown = String::from_utf8(metrics.render()).unwrap();
    let healthy: Vec<_> = (shown.lines())
        .filter(|line| line.starts_with("wiregate_endpoint_healthy"))
        .collect();
    let expected = "wiregate_endpoint_healthy{endpoint=\"127.0.0.1:1002\",upstream=\"app\"} 1";
    assert_eq!(healthy, [expected]);
    // Requests that it has go on with its endpoints.
    assert_eq!(former.members().endpoints.len(), 1);
}
