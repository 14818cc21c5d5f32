//! Routes that tie, and routes that another one always wins over.

use std::collections::{BTreeMap, HashMap};

use wiregate_sdk::value::Problem;

use super::matching::Match;
use super::path::PathPattern;
use super::relation::{Shared, covers, covers_path};
use super::rivals::{Asked, Rivals};
use super::table::Entry;
use super::witness::{FILLERS, Proof, Witness};
use super::{RouteSpec, Router};

/// How many problems are worth telling at once. Ten thousand routes that all tie have one cause.
const MOST: usize = 100;

/// Entries with the same host and path, by their position in the order.
type Group = Vec<usize>;

/// Adds the problems that routes have with each other.
pub(super) fn check(router: &Router, problems: &mut Vec<Problem>) {
    check_among(
        router,
        |entries| Rivals::of(entries.iter().copied()),
        problems,
    );
}

/// The same, each with those that may be its rivals. Only entries with the same host pattern
/// and either the same path pattern or a regular expression can have any: where two patterns of
/// different shape overlap, one of them is more specific, and leaves something to the other.
pub(super) fn check_among<'a>(
    router: &'a Router,
    rivals: impl Fn(&[Asked<'a>]) -> Rivals<'a>,
    problems: &mut Vec<Problem>,
) {
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
        // One alone has no rivals.
        for run in runs.into_iter().filter(|run| run.len() > 1) {
            check.run(run, rivals(&check.asked(run)));
        }
    }
    let mut wide = Wide {
        groups: &groups,
        filed: HashMap::new(),
    };
    for ((host, path), group) in &groups {
        for &narrow in group {
            check.below_prefix(&mut wide, &rivals, host, path, narrow);
        }
    }
    check.found.sort_by_key(|(place, _)| *place);
    problems.extend(check.found.into_iter().map(|(_, problem)| problem));
}

/// Entries that take all below a prefix, filed when they are asked for.
struct Wide<'g, 'a> {
    groups: &'g BTreeMap<(String, String), Group>,
    filed: HashMap<(String, String), Rivals<'a>>,
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

    fn asks(&self, at: usize) -> Asked<'a> {
        Asked {
            path: &self.entry(at).path,
            matching: self.matching(at),
        }
    }

    fn asked(&self, entries: &[usize]) -> Vec<Asked<'a>> {
        entries.iter().map(|at| self.asks(*at)).collect()
    }

    /// Looks at entries that only their priorities tell apart: each one with those before it, up
    /// to the first that it has a problem with.
    fn run(&mut self, run: &[usize], mut rivals: Rivals<'a>) {
        for &later in run {
            if self.found.len() >= MOST {
                return;
            }
            let earlier = rivals.beside(self.asks(later));
            let problem = (earlier.iter()).find_map(|earlier| self.pair(*earlier, later));
            drop(earlier);
            rivals.push(self.asks(later), later);
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
        wide: &mut Wide<'_, 'a>,
        rivals: impl Fn(&[Asked<'a>]) -> Rivals<'a>,
        host: &str,
        path: &str,
        narrow: usize,
    ) {
        if self.found.len() >= MOST {
            return;
        }
        let prefixes: Vec<String> = match &self.entry(narrow).path {
            PathPattern::Any => vec!["/**".into()],
            PathPattern::Regex(regex) if path == "~" => prefixes(regex.start()),
            _ => return,
        };
        let problem = prefixes.into_iter().find_map(|prefix| {
            let key = (host.to_owned(), prefix);
            let group = wide.groups.get(&key)?;
            let filed = wide.filed.entry(key).or_insert_with(|| {
                let mut filed = rivals(&self.asked(group));
                group.iter().for_each(|at| filed.push(self.asks(*at), *at));
                filed
            });
            let mut above = filed.above(self.asks(narrow)).into_iter();
            above.find_map(|wide| self.below(wide, narrow))
        });
        self.found
            .extend(problem.map(|problem| (self.entry(narrow).route, problem)));
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
