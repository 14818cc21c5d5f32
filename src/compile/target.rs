//! Where a route's requests go, out of what it says.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use wiregate_sdk::value::{At, Place, Problem, did_you_mean};

use super::{Goal, Told, Upstreams};
use crate::config::model;
use crate::upstream::{ByValue, Split, Upstream};

const MOST_WEIGHT: u32 = 1_000_000;

/// Finds the upstreams that a route names; `None` where one is missing, which has been said.
pub(super) fn build(
    target: &At<model::Target>,
    upstreams: &Upstreams,
    told: &Told<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Goal> {
    let mut search = Search {
        upstreams,
        told,
        problems,
    };
    match &target.value {
        model::Target::Short(name) => search.find(name, &target.place).map(Goal::One),
        model::Target::Full(split) => search.split(split).map(Goal::Split),
    }
}

struct Search<'a> {
    upstreams: &'a Upstreams,
    told: &'a Told<'a>,
    problems: &'a mut Vec<Problem>,
}

impl Search<'_> {
    fn find(&mut self, name: &str, place: &Place) -> Option<Arc<Upstream>> {
        let found = self.upstreams.get(name).cloned();
        if found.is_none() && !self.told.hides("upstreams", name) {
            let known = self.upstreams.keys().map(|name| &**name);
            let mut problem = Problem::new(place.clone(), format!("unknown upstream `{name}`"));
            problem.help = did_you_mean(name, known).map(|near| format!("did you mean `{near}`?"));
            self.problems.push(problem);
        }
        found
    }

    fn split(&mut self, config: &model::Split) -> Option<Split> {
        let place = &config.split.place;
        let mut say = |place: &Place, message: String| {
            self.problems.push(Problem::new(place.clone(), message));
        };
        if config.split.is_empty() {
            say(place, "a split has no upstreams".to_owned());
            return None;
        }
        if config.split.values().all(|weight| *weight == 0) {
            say(place, "all weights of a split are 0".to_owned());
        }
        if let Some(weight) = config.split.values().find(|weight| **weight > MOST_WEIGHT) {
            say(
                place,
                format!("expected weights up to {MOST_WEIGHT}, found {weight}"),
            );
        }
        if let Some(by) = &config.by
            && let Err(why) = by.check_text().and_then(|()| by.check_early())
        {
            say(&by.place, why);
        }
        let mut sum = 0;
        let mut parts = Vec::new();
        for (name, weight) in &config.split.value {
            sum += u64::from(*weight);
            parts.push(self.find(name, place).map(|upstream| (upstream, sum)));
        }
        let by_header = config.by_header.as_ref().map(|by| self.by_header(by));
        Some(Split {
            parts: parts.into_iter().collect::<Option<_>>()?,
            by: config.by.as_ref().map(|by| by.value.clone()),
            by_header,
        })
    }

    fn by_header(&mut self, config: &model::ByHeader) -> (HeaderName, ByValue) {
        let values = &config.values;
        if values.is_empty() {
            let message = "`by_header` names no values".to_owned();
            self.problems
                .push(Problem::new(values.place.clone(), message));
        }
        let mut found = HashMap::new();
        for (value, name) in &values.value {
            if let Some(upstream) = self.find(name, &name.place) {
                found.insert(value.as_bytes().into(), upstream);
            }
        }
        (config.name.get().clone(), found)
    }
}
