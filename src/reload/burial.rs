//! What becomes of a configuration that another one has replaced.

use std::sync::Arc;
use std::time::Duration;

use super::thread;
use crate::compile::Snapshot;
use crate::observe::metrics::Metrics;

/// How often it is looked whether a retired configuration is still in use.
const BURIAL: Duration = Duration::from_millis(500);
/// From so many retired configurations in memory on, each reload says how many there are.
const MANY: i64 = 10;

/// Holds a retired configuration until no request does, so that no worker has to take ten thousand
/// routes apart while requests wait.
pub(super) async fn bury(retired: Arc<Snapshot>, metrics: Arc<Metrics>) {
    let held = metrics.retires();
    if held >= MANY {
        tracing::warn!(
            held,
            "requests that go on for long hold former configurations in memory"
        );
    }
    while Arc::strong_count(&retired) > 1 {
        tokio::time::sleep(BURIAL).await;
    }
    if let Err(error) = thread::aside(move || drop(retired)).await {
        tracing::error!(%error, "a retired configuration was not taken apart");
    }
    metrics.buries();
}
