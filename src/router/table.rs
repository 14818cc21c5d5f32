//! The look-up: from host and path to entries, the most specific first.

use std::collections::HashMap;
use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::host::{HostPattern, domains, trim};
use super::path::{PathPattern, Segment};
use super::specificity::Specificity;

/// The keys come from the configuration; a client cannot add any, so a fast hash is safe.
type Map<V> = HashMap<Box<str>, V, foldhash::fast::RandomState>;

/// One host and one path of a route.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub route: usize,
    pub host: HostPattern,
    pub path: PathPattern,
    pub specificity: Specificity,
    /// Whether `OPTIONS` is one of the route's methods.
    pub names_options: bool,
}

/// All entries, in the order in which they are tried: by specificity, then as written. Positions
/// in this order are what the maps hold, so every list in them is in order too.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    exact: Map<Paths>,
    below: Map<Paths>,
    any: Paths,
}

/// The paths of one host.
#[derive(Debug, Default)]
struct Paths {
    exact: Map<Vec<usize>>,
    /// A tree of segments; the first node is the root. Empty without patterns.
    nodes: Vec<Node>,
    regex: Vec<usize>,
    any: Vec<usize>,
}

#[derive(Debug, Default)]
struct Node {
    literal: Map<usize>,
    parameter: Option<usize>,
    /// Entries whose last segment this is.
    ends: Vec<usize>,
    /// Entries that go on with `/**`.
    open: Vec<usize>,
}

impl Table {
    pub(super) fn new(mut entries: Vec<Entry>) -> Self {
        // Of equals only a preflight can match two: it is for the one that names OPTIONS itself.
        entries.sort_by(|a, b| {
            (b.specificity.cmp(&a.specificity)).then(b.names_options.cmp(&a.names_options))
        });
        let mut table = Self::default();
        for (at, entry) in entries.iter().enumerate() {
            let paths = match &entry.host {
                HostPattern::Exact(name) => table.exact.entry(name.clone()).or_default(),
                HostPattern::Below(domain) => table.below.entry(domain.clone()).or_default(),
                HostPattern::Any => &mut table.any,
            };
            paths.insert(at, &entry.path);
        }
        table.entries = entries;
        table
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Shows every entry that host and path, which is a key, match to `visit`, in order, until it breaks.
    pub(super) fn walk<B>(
        &self,
        host: &str,
        path: &str,
        mut visit: impl FnMut(usize) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let host = trim(host);
        if let Some(paths) = self.exact.get(host) {
            self.walk_paths(paths, path, &mut visit)?;
        }
        if !self.below.is_empty() {
            for domain in domains(host) {
                if let Some(paths) = self.below.get(domain) {
                    self.walk_paths(paths, path, &mut visit)?;
                }
            }
        }
        self.walk_paths(&self.any, path, &mut visit)
    }

    fn walk_paths<B>(
        &self,
        paths: &Paths,
        path: &str,
        visit: &mut impl FnMut(usize) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(entries) = paths.exact.get(path) {
            each(entries, visit)?;
        }
        if !paths.nodes.is_empty() {
            paths.walk_tree(path, visit)?;
        }
        for &at in &paths.regex {
            if self.entries[at].path.matches(path) {
                visit(at)?;
            }
        }
        each(&paths.any, visit)
    }
}

fn each<B>(entries: &[usize], visit: &mut impl FnMut(usize) -> ControlFlow<B>) -> ControlFlow<B> {
    entries.iter().try_for_each(|&at| visit(at))
}

impl Paths {
    fn insert(&mut self, at: usize, path: &PathPattern) {
        match path {
            PathPattern::Any => self.any.push(at),
            PathPattern::Regex(_) => self.regex.push(at),
            PathPattern::Exact { key, .. } => self.exact.entry(key.clone()).or_default().push(at),
            PathPattern::Segments { segments, open, .. } => {
                let node = self.node(segments);
                let list = if *open {
                    &mut node.open
                } else {
                    &mut node.ends
                };
                list.push(at);
            }
        }
    }

    fn node(&mut self, segments: &[Segment]) -> &mut Node {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut node = 0;
        for segment in segments {
            let next = self.nodes.len();
            let child = match segment {
                Segment::Literal(text) => {
                    *self.nodes[node].literal.entry(text.clone()).or_insert(next)
                }
                Segment::Parameter(_) => *self.nodes[node].parameter.get_or_insert(next),
            };
            if child == next {
                self.nodes.push(Node::default());
            }
            node = child;
        }
        &mut self.nodes[node]
    }

    /// Goes down level by level. Within a level, nodes are in order: the literal child of a node
    /// comes before its parameter, and both before the children of the next node.
    fn walk_tree<B>(
        &self,
        path: &str,
        visit: &mut impl FnMut(usize) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut reached: SmallVec<[usize; 32]> = SmallVec::from_slice(&[0]);
        let mut levels: SmallVec<[usize; 16]> = SmallVec::from_slice(&[0]);
        let mut segments = path.strip_prefix('/').map(|rest| rest.split('/'));
        while let Some(segment) = segments.as_mut().and_then(Iterator::next) {
            let level = levels[levels.len() - 1]..reached.len();
            levels.push(level.end);
            for from in level {
                let node = &self.nodes[reached[from]];
                reached.extend(node.literal.get(segment).copied());
                reached.extend(node.parameter.filter(|_| !segment.is_empty()));
            }
            if levels.last() == Some(&reached.len()) {
                break;
            }
        }
        // Where the walk stopped early, the last level is empty.
        if segments.is_some() {
            let last = levels[levels.len() - 1];
            for &node in &reached[last..] {
                each(&self.nodes[node].ends, visit)?;
            }
        }
        let mut end = reached.len();
        for &start in levels.iter().rev() {
            for &node in &reached[start..end] {
                each(&self.nodes[node].open, visit)?;
            }
            end = start;
        }
        ControlFlow::Continue(())
    }
}
