//! What has been told about a configuration, so that it is not told again in other words.
//!
//! The rest of a configuration is looked at even where parts of it are wrong and left out. What
//! is then missing, because it was left out, is no problem of its own.

use std::collections::BTreeSet;

use wiregate_sdk::value::{Node, Place, Problem, Value, did_you_mean, scrub};

/// The places that problems have been told about.
pub(super) struct Told<'v> {
    source: &'v Value,
    places: BTreeSet<Place>,
}

impl<'v> Told<'v> {
    /// Nothing but these problems has been told about a configuration.
    pub(super) fn new(source: &'v Value, problems: &[Problem]) -> Self {
        let places = problems.iter().map(|problem| problem.place.clone());
        Self {
            source,
            places: places.collect(),
        }
    }

    /// Whether something was told about what is at this place, or about something in it. Further
    /// problems there are only its consequences.
    pub(super) fn covers(&self, place: &Place) -> bool {
        !self.places.is_empty() && (self.places.contains(place) || self.beneath(self.source, place))
    }

    /// Whether a name may be unknown only because what defines it, in this section, was left out.
    pub(super) fn hides(&self, section: &str, name: &str) -> bool {
        let Node::Map(sections) = &self.source.node else {
            return true;
        };
        sections.iter().any(|(key, value)| {
            if key.name == section {
                return !matches!(value.node, Node::Map(_)) || value.get(name).is_some();
            }
            let mistyped = did_you_mean(&key.name, [section]).is_some();
            mistyped && self.places.contains(&key.place)
        })
    }

    /// Looks for values at a place, and in them for something that was told.
    fn beneath(&self, value: &Value, place: &Place) -> bool {
        if value.place == *place && self.within(value) {
            return true;
        }
        children(value).any(|(_, child)| self.beneath(child, place))
    }

    fn within(&self, value: &Value) -> bool {
        self.places.contains(&value.place)
            || children(value).any(|(key, child)| {
                key.is_some_and(|place| self.places.contains(place)) || self.within(child)
            })
    }
}

/// Hides what references resolved to from a message about the single value at its place.
pub(super) fn keep_secrets(problem: &mut Problem, source: &Value) {
    if let Some(value) = scalar_at(source, &problem.place) {
        problem.message = scrub(std::mem::take(&mut problem.message), value);
    }
}

fn scalar_at<'v>(value: &'v Value, place: &Place) -> Option<&'v Value> {
    if value.place == *place && matches!(value.node, Node::Scalar(_)) {
        return Some(value);
    }
    children(value).find_map(|(_, child)| scalar_at(child, place))
}

fn children(value: &Value) -> Box<dyn Iterator<Item = (Option<&Place>, &Value)> + '_> {
    match &value.node {
        Node::Null | Node::Scalar(_) => Box::new(std::iter::empty()),
        Node::List(items) => Box::new(items.iter().map(|item| (None, item))),
        Node::Map(entries) => {
            let each = entries.iter();
            Box::new(each.map(|(key, value)| (Some(&key.place), value)))
        }
    }
}
