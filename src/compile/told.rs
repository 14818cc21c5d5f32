//! What has been told about a configuration, so that it is not told again in other words.
//!
//! The rest of a configuration is looked at even where parts of it are wrong and left out. What
//! is then missing, because it was left out, is no problem of its own.

use std::collections::{HashMap, HashSet};

use wiregate_sdk::value::{Node, Place, Problem, Value, did_you_mean, scrub};

/// How many problems are told at once. Ten thousand routes that are all wrong have one cause.
const MOST: usize = 100;

/// The places that problems have been told about.
pub(super) struct Told<'v> {
    /// Those, and the places of everything that has one of them in it.
    covered: HashSet<&'v Place>,
    /// The names that each section has; nothing for a section that is no map.
    names: HashMap<&'v str, Option<HashSet<&'v str>>>,
    /// Keys at the top that were told about: they may have been meant for a section.
    mistyped: Vec<&'v str>,
    /// Whether there are sections at all.
    sections: bool,
}

impl<'v> Told<'v> {
    /// Nothing but these problems has been told about a configuration.
    pub(super) fn new(source: &'v Value, problems: &'v [Problem]) -> Self {
        let places = |problem: &'v Problem| [&problem.place].into_iter().chain(problem.repeated());
        let told: HashSet<_> = problems.iter().flat_map(places).collect();
        let mut covered = told.clone();
        if !told.is_empty() {
            within(source, &told, &mut covered);
        }
        let sections = match &source.node {
            Node::Map(sections) => Some(sections),
            _ => None,
        };
        let each = || sections.into_iter().flatten();
        let mistyped = each().filter(|(key, _)| told.contains(&key.place));
        Self {
            covered,
            names: each()
                .map(|(key, value)| (&*key.name, names(value)))
                .collect(),
            mistyped: mistyped.map(|(key, _)| &*key.name).collect(),
            sections: sections.is_some(),
        }
    }

    /// Whether something was told about what is at this place, or about something in it. Further
    /// problems there are only its consequences.
    pub(super) fn covers(&self, place: &Place) -> bool {
        self.covered.contains(place)
    }

    /// Whether something of a section may be missing only because it was left out.
    pub(super) fn has_cut(&self, section: &str, source: &Value) -> bool {
        let mut mistyped = self.mistyped.iter();
        (source.get(section)).is_some_and(|section| self.covers(&section.place))
            || mistyped.any(|key| did_you_mean(key, [section]).is_some())
    }

    /// Whether a name may be unknown only because what defines it, in this section, was left out.
    pub(super) fn hides(&self, section: &str, name: &str) -> bool {
        let mut mistyped = self.mistyped.iter();
        let named = self.names.get(section).is_some_and(|names| {
            let names = names.as_ref();
            names.is_none_or(|names| names.contains(name))
        });
        !self.sections
            || named
            || mistyped.any(|key| *key != section && did_you_mean(key, [section]).is_some())
    }
}

/// Adds the places of a value and of all in it that have something in them that was told. Says
/// whether this one has.
fn within<'v>(value: &'v Value, told: &HashSet<&Place>, covered: &mut HashSet<&'v Place>) -> bool {
    let mut found = told.contains(&value.place);
    for (key, child) in children(value) {
        found |= key.is_some_and(|key| told.contains(key));
        found |= within(child, told, covered);
    }
    if found {
        covered.insert(&value.place);
    }
    found
}

fn names(section: &Value) -> Option<HashSet<&str>> {
    match &section.node {
        Node::Map(entries) => Some(entries.iter().map(|(key, _)| &*key.name).collect()),
        _ => None,
    }
}

/// Hides what references resolved to from messages about the single values at their places.
pub(super) fn keep_secrets(problems: &mut [Problem], source: &Value) {
    if problems.is_empty() {
        return;
    }
    let mut values = HashMap::new();
    references(source, &mut values);
    for problem in problems {
        if let Some(value) = values.get(&problem.place) {
            problem.message = scrub(std::mem::take(&mut problem.message), value);
        }
    }
}

/// Collects the single values with references in them.
fn references<'v>(value: &'v Value, found: &mut HashMap<&'v Place, &'v Value>) {
    if let Node::Scalar(scalar) = &value.node
        && scalar.written.is_some()
    {
        found.insert(&value.place, value);
    }
    children(value).for_each(|(_, child)| references(child, found));
}

/// The problems in the order of the file, and no more of them than anyone reads.
pub(super) fn first(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
    problems.dedup();
    if problems.len() > MOST {
        let more = problems.len() - MOST;
        problems.truncate(MOST + 1);
        let (plural, place) = (if more == 1 { "" } else { "s" }, &problems[MOST].place);
        problems[MOST] = Problem::new(
            place.clone(),
            format!("and {more} more problem{plural}, from here on"),
        );
    }
    problems
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wiregate_sdk::value::read;

    use super::*;

    const TEXT: &str = "a:\n  - b: { c: 1 }\n  - d: 2\nfilters: { x: 1 }\nupsteams: { y: 1 }\n";

    fn source() -> Value {
        read(&Arc::from("t.yaml"), TEXT).unwrap()
    }

    fn told(place: &Place) -> Vec<Problem> {
        vec![Problem::new(place.clone(), "wrong")]
    }

    #[test]
    fn covers_what_was_told_and_what_it_is_in() {
        let source = source();
        let problems = told(&source.at("a[0].b.c").place);
        let covers = |path: &str| Told::new(&source, &problems).covers(&source.at(path).place);
        for path in ["a[0].b.c", "a[0].b", "a[0]", "a", ""] {
            assert!(covers(path), "{path}");
        }
        for path in ["a[1]", "a[1].d", "filters"] {
            assert!(!covers(path), "{path}");
        }
        let Node::Map(entries) = &source.at("a[1]").node else {
            panic!("a map");
        };
        let problems = told(&entries[0].0.place);
        assert!(Told::new(&source, &problems).covers(&source.at("a").place));
        assert!(!Told::new(&source, &[]).covers(&source.place));
    }

    #[test]
    fn hides_names_whose_definition_was_left_out() {
        let source = source();
        let nothing = Told::new(&source, &[]);
        assert!(nothing.hides("filters", "x") && !nothing.hides("filters", "y"));
        assert!(!nothing.hides("upstreams", "y"));
        assert!(nothing.hides("a", "anything"), "a list defines no names");
        let Node::Map(entries) = &source.node else {
            panic!("a map");
        };
        let problems = told(&entries[2].0.place);
        let mistyped = Told::new(&source, &problems);
        assert!(mistyped.hides("upstreams", "y") && !mistyped.hides("filters", "y"));
    }

    #[test]
    fn knows_which_sections_are_not_whole() {
        let source = source();
        let cut = |problems: &[Problem], section: &str| {
            Told::new(&source, problems).has_cut(section, &source)
        };
        let inside = told(&source.at("filters.x").place);
        assert!(cut(&inside, "filters") && !cut(&inside, "a") && !cut(&inside, "none"));
        let mut elsewhere = told(&source.at("a[1].d").place);
        elsewhere[0].repeat(source.at("filters.x").place.clone());
        assert!(cut(&elsewhere, "filters") && cut(&elsewhere, "a"));
        let Node::Map(entries) = &source.node else {
            panic!("a map");
        };
        let mistyped = told(&entries[2].0.place);
        assert!(cut(&mistyped, "upstreams") && !cut(&mistyped, "filters"));
    }

    #[test]
    fn tells_the_first_hundred_and_how_many_more_there_are() {
        let place = |line| Place {
            line,
            ..source().place
        };
        let problems = |count| (1..=count).rev().map(|n| Problem::new(place(n), "wrong"));
        assert_eq!(first(problems(100).collect()).len(), 100);
        let told = first(problems(101).collect());
        assert_eq!(told.len(), 101);
        assert_eq!(told[100].message, "and 1 more problem, from here on");
        let told = first(problems(5000).collect());
        let lines: Vec<_> = told.iter().map(|problem| problem.place.line).collect();
        assert_eq!(lines, (1..=101).collect::<Vec<_>>());
        assert_eq!(told[100].message, "and 4900 more problems, from here on");
    }
}
