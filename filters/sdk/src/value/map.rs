//! The keys of maps: what may be one, merge keys, and each only once.

use std::collections::{HashMap, HashSet};
use std::mem;

use super::{Key, Node, Place, Problem, Value};

/// A key whose value has not been read yet.
pub(super) enum Name {
    Key(Key),
    Merge(Place),
    /// It was no good, and has been told.
    Bad,
}

/// The entries of a map, each key once: those that were written, then those that were merged. A
/// key that is there twice is a problem, and the text refused.
pub(super) fn unique(
    mut entries: Vec<(Key, Value)>,
    merged: Vec<Value>,
    problems: &mut Vec<Problem>,
) -> Vec<(Key, Value)> {
    let mut seen: HashMap<&str, &Key> = HashMap::with_capacity(entries.len());
    for (key, _) in &entries {
        if let Some(first) = seen.get(key.name.as_str()) {
            let message = format!("the key `{}` is written twice", key.name);
            let problem = Problem::new(key.place.clone(), message);
            problems.push(problem.related(first.place.clone(), "first here"));
        } else {
            seen.insert(&key.name, key);
        }
    }
    if !merged.is_empty() {
        add(&mut entries, merged);
    }
    entries
}

/// Adds the entries of merged maps whose keys are not there yet.
fn add(entries: &mut Vec<(Key, Value)>, merged: Vec<Value>) {
    let mut seen: HashSet<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
    for value in merged {
        if let Node::Map(more) = value.node {
            let new = more
                .into_iter()
                .filter(|(key, _)| seen.insert(key.name.clone()));
            entries.extend(new);
        }
    }
}

/// A value that stands where a key belongs.
pub(super) fn name(value: Value, place: Place) -> Result<Name, Problem> {
    match value.node {
        Node::Scalar(scalar) if scalar.text == "<<" && !scalar.quoted => Ok(Name::Merge(place)),
        Node::Scalar(scalar) => Ok(Name::Key(Key {
            place,
            name: scalar.text,
        })),
        Node::Null => Err(Problem::new(place, "expected a key, found nothing")),
        Node::List(_) => Err(Problem::new(place, "expected a key, found a list")),
        Node::Map(_) => Err(Problem::new(place, "expected a key, found a map")
            .help("`{` and `}` around a value need quotes")),
    }
}

/// The maps that a merge key asks for, the strongest first.
pub(super) fn merge(mut value: Value, at: Place) -> Result<Vec<Value>, Problem> {
    if let Node::List(items) = &mut value.node
        && items.iter().all(|item| matches!(item.node, Node::Map(_)))
    {
        return Ok(mem::take(items));
    }
    match value.node {
        Node::Map(_) => Ok(vec![value]),
        _ => Err(Problem::new(
            at,
            "expected a map, or a list of maps, to merge",
        )),
    }
}
