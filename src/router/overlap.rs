//! Routes that tie, and routes that another one always wins over.

use std::collections::{BTreeMap, HashMap};

use wiregate_sdk::value::Problem;

use super::matching::{Field, Match};
use super::path::PathPattern;
use super::relation::{Shared, covers, covers_path};
use super::table::Entry;
use super::witness::{FILLERS, Proof, Witness};
use super::{RouteSpec, Router};

/// How many problems are worth telling at once. Ten thousand routes that all tie have one cause.
const MOST: usize = 100;

/// Entries with the same host and path, by their position in the order.
type Group = Vec<usize>;

/// Adds the problems that routes have with each other. Only entries with the same host pattern
/// and either the same path pattern or a regular expression can have any: where two patterns of
/// different shape overlap, one of them is more specific, and leaves something to the other.
pub(super) fn check(router: &Router, problems: &mut Vec<Problem>) {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for (at, entry) in router.table.entries().iter().enumerate() {
        let path = match &entry.path {
            PathPattern::Regex(_) => "~".into(),
            other => other.identity(),
        };
        groups
            .entry((entry.host.to_string(), path))
            .or_default()
            .push(at);
    }
    let mut check = Check {
        router,
        found: Vec::new(),
    };
    for group in groups.values() {
        let ties = |a: &usize, b: &usize| {
            check
                .entry(*a)
                .specificity
                .ties(&check.entry(*b).specificity)
        };
        let runs: Vec<_> = group.chunk_by(ties).collect();
        for run in runs {
            check.run(run);
        }
    }
    for ((host, path), group) in &groups {
        for &narrow in group {
            check.below_prefix(&groups, host, path, narrow);
        }
    }
    check.found.sort_by_key(|(place, _)| *place);
    problems.extend(check.found.into_iter().map(|(_, problem)| problem));
}

struct Check<'a> {
    router: &'a Router,
    /// Problems, each with the position of its route, to be told in the order of the file.
    found: Vec<(usize, Problem)>,
}

impl<'a> Check<'a> {
    fn entry(&self, at: usize) -> &'a Entry {
        &self.router.table.entries()[at]
    }

    fn route(&self, at: usize) -> &'a RouteSpec {
        &self.router.routes[self.entry(at).route]
    }

    fn matching(&self, at: usize) -> &'a Match {
        &self.route(at).matching
    }

    /// Looks at entries that only their priorities tell apart: each one with those before it, up
    /// to the first that it has a problem with.
    fn run(&mut self, run: &[usize]) {
        let mut rivals = Rivals::new(run.iter().map(|at| self.matching(*at)));
        for &later in run {
            if self.found.len() >= MOST {
                return;
            }
            let texts = rivals.texts(self.matching(later));
            let problem = rivals
                .among(texts)
                .find_map(|earlier| self.pair(earlier, later));
            rivals.push(texts, later);
            self.found
                .extend(problem.map(|problem| (self.entry(later).route, problem)));
        }
    }

    fn pair(&self, earlier: usize, later: usize) -> Option<Problem> {
        let (a, b) = (self.entry(earlier), self.entry(later));
        if a.route == b.route {
            None
        } else if a.specificity.priority() == b.specificity.priority() {
            self.tie(earlier, later)
        } else if a.path == b.path || a.path.identity() == b.path.identity() {
            let covered = covers(self.matching(earlier), self.matching(later));
            let help = format!(
                "they are equally specific, and its priority is lower: {} against {}",
                b.specificity.priority(),
                a.specificity.priority()
            );
            covered
                .then(|| self.unreachable(earlier, later, &help))
                .flatten()
        } else {
            None
        }
    }

    /// A regular expression, or any path, below a prefix that takes all of it.
    fn below_prefix(
        &mut self,
        groups: &BTreeMap<(String, String), Group>,
        host: &str,
        path: &str,
        narrow: usize,
    ) {
        let prefixes: Vec<String> = match &self.entry(narrow).path {
            PathPattern::Any => vec!["/**".into()],
            PathPattern::Regex(regex) if path == "~" => prefixes(regex.start()),
            _ => return,
        };
        let problem = prefixes.into_iter().find_map(|prefix| {
            let wide = groups.get(&(host.to_owned(), prefix))?;
            wide.iter().find_map(|&wide| self.below(wide, narrow))
        });
        if self.found.len() < MOST {
            self.found
                .extend(problem.map(|problem| (self.entry(narrow).route, problem)));
        }
    }

    fn below(&self, wide: usize, narrow: usize) -> Option<Problem> {
        let (above, below) = (self.entry(wide), self.entry(narrow));
        if above.route == below.route
            || !covers_path(&above.path, &below.path)
            || !covers(self.matching(wide), self.matching(narrow))
        {
            return None;
        }
        let help = match &below.path {
            PathPattern::Any => format!(
                "`/**` is more specific than no `path`; leave it out of `{}` too, or ask for less there",
                self.route(wide).name
            ),
            _ => format!(
                "a path prefix is more specific than a regular expression; leave `path` out of \
                 `{}` where it takes what is left over",
                self.route(wide).name
            ),
        };
        self.unreachable(wide, narrow, &help)
    }

    fn unreachable(&self, winner: usize, loser: usize, help: &str) -> Option<Problem> {
        let witness = self.witness(winner, loser)?;
        let (won, lost) = (self.route(winner), self.route(loser));
        let what = match self
            .router
            .table
            .entries()
            .iter()
            .filter(|it| it.route == self.entry(loser).route)
            .count()
        {
            1 => format!("route `{}`", lost.name),
            _ => format!(
                "{} on host {} of route `{}`",
                lost.path(&self.entry(loser).path),
                lost.host(&self.entry(loser).host),
                lost.name
            ),
        };
        let message = format!(
            "{what} can never match: route `{}` always wins over it, as for {}",
            won.name,
            witness.told(won, lost)
        );
        Some(
            Problem::new(lost.place.clone(), message)
                .help(help)
                .related(won.place.clone(), format!("route `{}`", won.name)),
        )
    }

    fn tie(&self, first: usize, second: usize) -> Option<Problem> {
        let pair = |at| (self.entry(at), self.matching(at));
        let (a, b) = (self.route(first), self.route(second));
        let names = format!("routes `{}` and `{}` are equally specific", a.name, b.name);
        let message = match Witness::new(pair(first), pair(second), FILLERS[0]) {
            Shared::Nothing => return None,
            Shared::Item(_) => match self.witness(first, second) {
                Some(witness) => {
                    let allowed = match a.matching.when {
                        Some(_) => " where their `when` allow it",
                        None => "",
                    };
                    format!("{names}, and both match {}{allowed}", witness.told(a, b))
                }
                None => return None,
            },
            Shared::Unknown => format!(
                "{names}, and whether their regular expressions can match the same request \
                 cannot be told"
            ),
        };
        Some(
            Problem::new(b.place.clone(), message)
                .help("write a `priority` in the one that is to win, or make them differ")
                .related(a.place.clone(), format!("route `{}`", a.name)),
        )
    }

    /// A request that both match, as the router's own look-up says; one that the first of them
    /// wins, where such a one is found.
    fn witness(&self, first: usize, second: usize) -> Option<Witness> {
        let pair = |at| (self.entry(at), self.matching(at));
        let mut second_best = None;
        for filler in FILLERS {
            let Shared::Item(witness) = Witness::new(pair(first), pair(second), filler) else {
                return None;
            };
            match witness.proves(self.router, first, second) {
                Some(Proof::Wins) => return Some(witness),
                Some(Proof::Matches) => second_best = second_best.or(Some(witness)),
                None => {}
            }
        }
        second_best
    }
}

/// The prefix patterns that take all paths with a certain start.
fn prefixes(start: &str) -> Vec<String> {
    let slashes = start.match_indices('/').skip(1);
    let mut prefixes: Vec<_> = slashes
        .map(|(at, _)| format!("{}/**", &start[..at]))
        .collect();
    prefixes.push("/**".into());
    prefixes
}

/// The entries of a run so far, by the texts that they ask for in one field: those that ask for
/// different texts can have nothing in common, and need not be compared.
struct Rivals<'a> {
    field: Option<Field<'a>>,
    by_text: HashMap<&'a str, Vec<usize>>,
    without: Vec<usize>,
    all: Vec<usize>,
}

type Texts<'a> = Option<&'a [Box<str>]>;

impl<'a> Rivals<'a> {
    /// Chooses the field in which most of the matches ask for certain texts.
    fn new(run: impl Iterator<Item = &'a Match>) -> Self {
        let mut counts: HashMap<Field<'a>, usize> = HashMap::new();
        let fields = run.flat_map(Match::fields);
        for (field, _) in fields.filter(|(_, condition)| condition.texts().is_some()) {
            *counts.entry(field).or_default() += 1;
        }
        let field = counts.into_iter().max_by_key(|(_, count)| *count);
        Self {
            field: field.map(|(field, _)| field),
            by_text: HashMap::new(),
            without: Vec::new(),
            all: Vec::new(),
        }
    }

    fn texts(&self, matching: &'a Match) -> Texts<'a> {
        matching.field(self.field?)?.texts()
    }

    fn among(&self, texts: Texts<'a>) -> impl Iterator<Item = usize> {
        let asked = texts.into_iter().flatten();
        let same = asked.filter_map(|text| self.by_text.get(&**text)).flatten();
        let others = if texts.is_some() {
            &self.without
        } else {
            &self.all
        };
        same.chain(others).copied()
    }

    fn push(&mut self, texts: Texts<'a>, at: usize) {
        self.all.push(at);
        match texts {
            None => self.without.push(at),
            Some(texts) => {
                for text in texts {
                    self.by_text.entry(text).or_default().push(at);
                }
            }
        }
    }
}
