//! What the limits of the whole gateway must be to each other.

use wiregate_sdk::value::{Place, Problem, ShortOrFull, Value};

use crate::config::model::{Limits, Memory};

/// How many paths may be spared: each is compared with that of a request that would be shed.
const MOST_SPARED: usize = 16;

/// Checks those that decide what is shed.
pub(super) fn check(limits: &Limits, source: &Value, problems: &mut Vec<Problem>) {
    let written = |names: &[&str]| place(source, names);
    if let ShortOrFull::Full(Memory { limit, soft, hard }) = &limits.memory {
        if hard < soft {
            let message = format!("expected at least {soft}, which is `memory.soft`, found {hard}");
            problems.push(Problem::new(written(&["memory", "hard"]), message));
        }
        if soft.millionths() == 0 {
            let message = "expected more than 0%, since all requests would be shed";
            problems.push(Problem::new(written(&["memory", "soft"]), message));
        }
        if limit.is_some_and(|limit| limit.is_empty()) {
            let message = "expected at least one byte, found 0";
            problems.push(Problem::new(written(&["memory", "limit"]), message));
        }
    }
    check_spared(limits, &written(&["never_shed"]), problems);
}

fn check_spared(limits: &Limits, place: &Place, problems: &mut Vec<Problem>) {
    let spared = &limits.never_shed;
    if spared.len() > MOST_SPARED {
        let message = format!(
            "expected at most {MOST_SPARED} paths, found {}",
            spared.len()
        );
        problems.push(Problem::new(place.clone(), message));
    }
    for path in spared {
        if !path.starts_with('/') || path.contains(['?', '#']) {
            let message =
                format!("expected a path such as `/healthz`, without a query, found `{path}`");
            problems.push(Problem::new(place.clone(), message));
        }
    }
}

/// Where one of the limits is written, or as much of the way to it as is.
fn place(source: &Value, names: &[&str]) -> Place {
    let mut value = source.get("limits").unwrap_or(source);
    for name in names {
        value = value.get(name).unwrap_or(value);
    }
    value.place.clone()
}
