//! Many files, one map.

use std::collections::{HashMap, HashSet};

use wiregate_sdk::value::{Key, Node, Place, Problem, Value};

/// Adds included files to the main one: maps by key, lists at the end. All else belongs into the
/// main file. A key that two files define is a problem.
pub(super) fn merge(
    main: Value,
    included: impl Iterator<Item = Value>,
    problems: &mut Vec<Problem>,
) -> Value {
    let place = main.place.clone();
    let mut sections = entries(main);
    for file in included {
        for (key, value) in entries(file) {
            section(&mut sections, key, value, problems);
        }
    }
    Value {
        place,
        node: Node::Map(sections),
    }
}

fn entries(value: Value) -> Vec<(Key, Value)> {
    match value.node {
        Node::Map(entries) => entries,
        _ => Vec::new(),
    }
}

/// Adds one section of an included file.
fn section(sections: &mut Vec<(Key, Value)>, key: Key, value: Value, problems: &mut Vec<Problem>) {
    if matches!(value.node, Node::Scalar(_)) {
        let message = format!("`{}` is only possible in the main file", key.name);
        problems.push(Problem::new(key.place, message));
        return;
    }
    let Some((first, present)) = sections
        .iter_mut()
        .find(|(known, _)| known.name == key.name)
    else {
        sections.push((key, value));
        return;
    };
    match (&mut present.node, value.node) {
        (_, Node::Null) => {}
        (Node::Null, node) => {
            *present = Value {
                place: value.place,
                node,
            };
        }
        (Node::List(items), Node::List(more)) => items.extend(more),
        (Node::Map(entries), Node::Map(more)) => {
            add(entries, more, &key.name, problems);
        }
        (expected, found) => {
            let message = format!(
                "expected {} under `{}` as in the other file, found {}",
                kind(expected),
                key.name,
                kind(&found)
            );
            let problem = Problem::new(key.place, message);
            problems.push(problem.related(first.place.clone(), "the other file"));
        }
    }
}

/// Adds the entries of an included map to the ones that are there.
fn add(
    entries: &mut Vec<(Key, Value)>,
    more: Vec<(Key, Value)>,
    section: &str,
    problems: &mut Vec<Problem>,
) {
    let names: HashSet<&str> = more.iter().map(|(key, _)| key.name.as_str()).collect();
    let taken: HashMap<String, Place> = entries
        .iter()
        .filter(|(key, _)| names.contains(key.name.as_str()))
        .map(|(key, _)| (key.name.clone(), key.place.clone()))
        .collect();
    for (key, value) in more {
        match taken.get(&key.name) {
            None => entries.push((key, value)),
            Some(first) => {
                let message = format!("`{}` under `{section}` is defined twice", key.name);
                let problem = Problem::new(key.place, message);
                problems.push(problem.related(first.clone(), "first here"));
            }
        }
    }
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "nothing",
        Node::Scalar(_) => "a single value",
        Node::List(_) => "a list",
        Node::Map(_) => "a map",
    }
}
