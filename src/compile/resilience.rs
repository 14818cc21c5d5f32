//! What cannot be meant about time-outs, retries, bounds, circuit breakers and fallbacks.

use std::time::Duration;

use indexmap::IndexMap;
use wiregate_sdk::types::{Percent, Period};
use wiregate_sdk::value::{At, Place, Problem, did_you_mean};

use super::Goal;
use crate::config::model::upstream as model;

const MOST_ATTEMPTS: u32 = 10;
const MOST_WAITING: u32 = 100_000;
const MOST_HEDGED: Percent = Percent::new(50);
const SOONEST: Duration = Duration::from_millis(1);
const LATEST: Duration = Duration::from_secs(60);

/// Checks what one upstream says; `common` are the time-outs where it has none of its own.
pub(super) fn check(
    config: &At<model::Upstream>,
    common: model::Timeouts,
    problems: &mut Vec<Problem>,
) {
    if let Some(timeouts) = &config.timeouts {
        check_times(timeouts, common, &timeouts.place, problems);
    }
    let attempts = &config.retry.attempts;
    if attempts.get() > MOST_ATTEMPTS {
        let message = format!(
            "expected 1 to {MOST_ATTEMPTS} attempts, found {}",
            attempts.value
        );
        problems.push(Problem::new(attempts.place.clone(), message));
    }
    if let Some(breaker) = &config.breaker
        && breaker.errors.millionths() == 0
    {
        let message = "expected more than `0%` of errors: the circuit would never be closed";
        problems.push(Problem::new(breaker.errors.place.clone(), message));
    }
    if let Some(hedge) = &config.hedge {
        check_hedge(hedge, config, common, problems);
    }
    if let Some(in_flight) = &config.in_flight {
        check_in_flight(in_flight, problems);
    }
}

fn check_hedge(
    hedge: &model::Hedge,
    config: &model::Upstream,
    common: model::Timeouts,
    problems: &mut Vec<Problem>,
) {
    let share = &hedge.at_most;
    if share.millionths() == 0 || share.value > MOST_HEDGED {
        let message = format!(
            "expected a share above `0%`, `{MOST_HEDGED}` at most, found `{}`",
            share.value
        );
        let problem = Problem::new(share.place.clone(), message);
        problems.push(problem.help("leave `hedge` out where nothing is to be hedged"));
    }
    let model::After::Time(after) = hedge.after.value else {
        return;
    };
    let time = Duration::from(after);
    if !(SOONEST..=LATEST).contains(&time) {
        let message = format!("expected a time from `1ms` to `60s`, found `{after}`");
        problems.push(Problem::new(hedge.after.place.clone(), message));
        return;
    }
    let times = config.timeouts.as_deref().copied().unwrap_or_default();
    if let Some(first_byte) = first_byte(times.or(common))
        && first_byte <= after
    {
        let message = format!(
            "nothing would be hedged: an attempt has failed after `first_byte` ({first_byte})"
        );
        let problem = Problem::new(hedge.after.place.clone(), message);
        problems.push(problem.help("write an `after` that is shorter"));
    }
}

fn check_in_flight(config: &At<model::InFlight>, problems: &mut Vec<Problem>) {
    let mut say = |message: String, help: &str| {
        problems.push(Problem::new(config.place.clone(), message).help(help));
    };
    if config.most.is_none() && config.per_endpoint.is_none() {
        let message = "`in_flight` bounds nothing".to_owned();
        say(message, "write `most`, `per_endpoint`, or both");
    }
    if config.queue > MOST_WAITING {
        let message = format!(
            "expected a queue of at most {MOST_WAITING}, found {}",
            config.queue
        );
        say(message, "requests that wait cost memory");
    }
    if config.queue == 0 && config.wait.place.line > 0 {
        let message = "`wait` says nothing without `queue`: no request waits";
        let problem = Problem::new(config.wait.place.clone(), message);
        problems.push(problem.help("write how many may wait, such as `queue: 100`"));
    }
}

/// An `idle` that is written is not shorter than the `first_byte` that holds with it, which may be written
/// elsewhere: where nothing is awaited but the head, it would be over first.
pub(super) fn check_times(
    written: &model::Timeouts,
    elsewhere: model::Timeouts,
    place: &Place,
    problems: &mut Vec<Problem>,
) {
    let first_byte = first_byte(written.or(elsewhere));
    let (Some(first_byte), Some(idle)) = (first_byte, written.idle) else {
        return;
    };
    if idle >= first_byte {
        return;
    }
    let (which, help) = match written.first_byte {
        Some(_) => ("`first_byte`", "write an `idle` that is at least as long"),
        None => (
            "the `first_byte` that holds with it",
            "write a `first_byte` here that is not longer",
        ),
    };
    let message = format!("`idle` ({idle}) is shorter than {which} ({first_byte})");
    problems.push(Problem::new(place.clone(), message).help(help));
}

fn first_byte(times: model::Timeouts) -> Option<Period> {
    times.or(model::Timeouts::BUILT_IN).first_byte
}

/// Checks what a route says of time-outs, with what holds for its upstreams.
pub(super) fn check_route(
    timeouts: &At<model::Timeouts>,
    goal: &Goal,
    problems: &mut Vec<Problem>,
) {
    if timeouts.first_byte.is_some() {
        check_times(
            timeouts,
            model::Timeouts::default(),
            &timeouts.place,
            problems,
        );
        return;
    }
    let Some(idle) = timeouts.idle.map(Duration::from) else {
        return;
    };
    for upstream in goal.upstreams() {
        let first_byte = upstream.timeouts.first_byte;
        if idle < first_byte {
            let message = format!(
                "`idle` ({idle:?}) is shorter than the `first_byte` of upstream `{}` ({first_byte:?})",
                upstream.name
            );
            let problem = Problem::new(timeouts.place.clone(), message);
            problems.push(problem.help("write a `first_byte` here that is not longer"));
        }
    }
}

/// A fallback must be there, and must not lead back.
pub(super) fn check_fallbacks(
    configs: &IndexMap<String, At<model::Upstream>>,
    problems: &mut Vec<Problem>,
) {
    for (name, config) in configs {
        let Some(fallback) = &config.fallback else {
            continue;
        };
        if !configs.contains_key(fallback.as_str()) {
            let message = format!("unknown upstream `{}`", fallback.value);
            let mut problem = Problem::new(fallback.place.clone(), message);
            problem.help = did_you_mean(fallback, configs.keys().map(String::as_str))
                .map(|near| format!("did you mean `{near}`?"));
            problems.push(problem);
        } else if leads_back(name, configs) {
            let message = format!("the fallbacks of upstream `{name}` lead back to it");
            problems.push(Problem::new(fallback.place.clone(), message));
        }
    }
}

fn leads_back(start: &str, configs: &IndexMap<String, At<model::Upstream>>) -> bool {
    let next = |name: &str| {
        configs
            .get(name)?
            .fallback
            .as_ref()
            .map(|name| name.as_str())
    };
    let mut at = next(start);
    for _ in 0..configs.len() {
        match at {
            Some(name) if name == start => return true,
            Some(name) => at = next(name),
            None => return false,
        }
    }
    false
}
