//! What a reload cannot change.

use wiregate_sdk::value::{Problem, Value};

use crate::compile::Snapshot;

/// What only a new process can change. To take the rest live would be to ignore it in silence.
pub(super) fn needs_restart<'v>(old: &Snapshot, new: &Snapshot, value: &'v Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |keys: &[&str]| {
        let at = |value: &'v Value, key: &&str| value.get(key).unwrap_or(value);
        let written = keys.iter().fold(value, at);
        problems.push(
            Problem::new(
                written.place.clone(),
                format!("`{}` cannot change in a running gateway", keys.join(".")),
            )
            .help("upgrade or restart it, or undo this change"),
        );
    };
    if old.settings.workers != new.settings.workers {
        say(&["workers"]);
    }
    if old.settings.admin != new.settings.admin {
        say(&["admin"]);
    }
    if old.settings.metrics != new.settings.metrics {
        say(&["metrics"]);
    }
    let (old, new) = (&old.settings.limits, &new.settings.limits);
    if old.idle_upstream_connections != new.idle_upstream_connections {
        say(&["limits", "idle_upstream_connections"]);
    }
    if old.idle != new.idle {
        say(&["limits", "idle"]);
    }
    problems
}
