//! Chains out of the filters that a route lists.

mod ties;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use wiregate_sdk::build::Kept;
use wiregate_sdk::value::{Node, Place, Problem, Raw, Value, did_you_mean};
use wiregate_sdk::{Build, Chain, Consumers, Link};

use super::{
    Config, Context, Goal, RouteConfig, Tasks, Told, UnderscoresInFields, Upstreams, resilience,
    stores, target,
};

/// What all filters are built with.
pub(super) struct Around<'a> {
    /// What a compilation needs besides the configuration.
    pub(super) cx: &'a Context<'a>,
    /// What outlives the configuration.
    pub(super) kept: &'a Kept,
    /// The callers that are known.
    pub(super) consumers: Arc<Consumers>,
    /// What is known to be wrong.
    pub(super) told: &'a Told<'a>,
    /// What becomes of fields with an underscore.
    pub(super) underscores: UnderscoresInFields,
}

/// Builds filters, each named one once, and puts them into chains.
pub(super) struct Builder<'a> {
    around: Around<'a>,
    tasks: &'a mut Tasks,
    preparations: &'a mut Tasks,
    problems: &'a mut Vec<Problem>,
    /// The names of the cache's stores.
    stores: Vec<Arc<str>>,
    /// The named filters; `None` where one could not be built, which has been said.
    named: HashMap<String, Option<(Link, bool)>>,
    /// What helps against an unknown word: there may be thousands of the same.
    helped: HashMap<String, String>,
    /// Whether that is so of one that runs on every route.
    is_cut: bool,
}

/// A filter as it is written: its word and its options.
struct Written<'v> {
    word: &'v str,
    place: &'v Place,
    options: Option<&'v Value>,
}

/// A list of filters on its way into a chain.
struct List<'v> {
    /// The route that it belongs to; empty for all.
    route: &'v str,
    scope: String,
    /// How often each word has come so far.
    words: HashMap<&'v str, usize>,
    /// The filter after which none runs.
    answered: Option<String>,
    /// Whether one of its filters is left out because of a mistake: nobody knows what it would have done for
    /// those behind it.
    is_cut: bool,
}

/// Where the word of a filter stands.
fn place_of(filter: &Value) -> &Place {
    match &filter.node {
        Node::Map(entries) if entries.len() == 1 => &entries[0].0.place,
        _ => &filter.place,
    }
}

impl<'v> List<'v> {
    fn new(route: &'v str, scope: String, answered: Option<String>) -> Self {
        Self {
            route,
            scope,
            words: HashMap::new(),
            answered,
            is_cut: false,
        }
    }

    /// What the next filter keeps belongs to its list and to its place among its like: other
    /// filters may come and go above it.
    fn scope_of(&mut self, word: &'v str) -> String {
        let before = self.words.entry(word).or_default();
        let scope = format!("{}\u{0}{word}\u{0}{before}", self.scope);
        *before += 1;
        scope
    }
}

impl<'a> Builder<'a> {
    /// Builds the named filters.
    pub(super) fn new(
        config: &Config,
        around: Around<'a>,
        tasks: &'a mut Tasks,
        preparations: &'a mut Tasks,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let mut builder = Self {
            around,
            tasks,
            preparations,
            problems,
            stores: stores::names(&config.caches),
            named: HashMap::new(),
            helped: HashMap::new(),
            is_cut: false,
        };
        builder.name_all(&config.filters);
        builder
    }

    fn name_all(&mut self, filters: &IndexMap<String, Raw>) {
        for (name, Raw(value)) in filters {
            let built = if self.around.cx.registry.get(name).is_some() {
                let message = format!("`{name}` is the name of a built-in filter");
                self.say(
                    &value.place,
                    message,
                    Some("choose another name".to_owned()),
                );
                None
            } else {
                self.written(value).and_then(|written| {
                    let scope = format!("named\u{0}{name}");
                    self.build(&written, name, "", scope)
                })
            };
            self.named.insert(name.clone(), built);
        }
    }

    /// Builds the filters that run on every route.
    pub(super) fn global(&mut self, filters: &[Raw]) -> Vec<Link> {
        let mut chain = Chain::default();
        let mut list = List::new("", "all_routes".to_owned(), None);
        for Raw(value) in filters {
            self.push(&mut chain, value, &mut list);
        }
        self.is_cut = list.is_cut;
        chain.links
    }

    /// Adds a route's own filters to its chain. `params` are those of its paths, where these are
    /// known.
    pub(super) fn extend(
        &mut self,
        chain: &mut Chain,
        route: &RouteConfig,
        params: Option<&[&str]>,
    ) {
        let answered = (chain.links.iter())
            .find(|link| self.answers(link))
            .map(|link| link.label.clone());
        let scope = format!("route\u{0}{}", route.name.value);
        let mut list = List::new(&route.name, scope, answered);
        list.is_cut = self.is_cut;
        for Raw(value) in &route.filters {
            let before = chain.links.len();
            self.push(chain, value, &mut list);
            if let (Some(params), Some(link)) = (params, chain.links.get(before)) {
                self.check_params(link, params, place_of(value));
            }
        }
    }

    fn push<'v>(&mut self, chain: &mut Chain, value: &'v Value, list: &mut List<'v>) {
        let Some(written) = self.written(value) else {
            list.is_cut = true;
            return;
        };
        let scope = list.scope_of(written.word);
        if let Some(by) = &list.answered {
            let message = format!(
                "`{}` never runs: `{by}` answers every request",
                written.word
            );
            self.say(written.place, message, None);
        }
        let Some((mut link, answers)) = self.find_or_build(&written, list.route, scope) else {
            list.is_cut = true;
            return;
        };
        let same = |other: &&Link| other.label.split('#').next() == Some(&*link.label);
        let before = chain.links.iter().filter(same).count();
        if before > 0 {
            link.label = format!("{}#{}", link.label, before + 1);
        }
        self.check_fields(&link, &chain.links, written.place);
        if !list.is_cut {
            self.check_consumers(&link, &chain.links, written.place);
        }
        link.place = written.place.to_string();
        if answers {
            list.answered = Some(link.label.clone());
        }
        chain.links.push(link);
    }

    fn find_or_build(
        &mut self,
        written: &Written<'_>,
        route: &str,
        scope: String,
    ) -> Option<(Link, bool)> {
        if let Some(named) = self.named.get(written.word) {
            let named = named.clone();
            if let Some(options) = written.options {
                let message = format!("`{}` is a named filter and has its options", written.word);
                let help = "write only its name here".to_owned();
                self.say(&options.place, message, Some(help));
            }
            return named;
        }
        self.build(written, written.word, route, scope)
    }

    fn build(
        &mut self,
        written: &Written<'_>,
        label: &str,
        route: &str,
        scope: String,
    ) -> Option<(Link, bool)> {
        let Some(entry) = self.around.cx.registry.get(written.word) else {
            if self.around.told.hides("filters", written.word) {
                return None;
            }
            let help = self.help_with(written.word);
            let message = format!("unknown filter `{}`", written.word);
            self.say(written.place, message, Some(help));
            return None;
        };
        let nothing = Value {
            place: written.place.clone(),
            node: Node::Null,
        };
        let options = written.options.unwrap_or(&nothing);
        let Around { cx, kept, .. } = self.around;
        let mut build = Build::new(route, label, scope, cx.clock, kept, self.tasks)
            .knowing(self.around.consumers.clone())
            .with_stores(&self.stores);
        let built = entry.build(
            options,
            label.to_owned(),
            written.place.to_string(),
            &mut build,
        );
        let files = build.take_files();
        cx.files.borrow_mut().extend(files);
        self.preparations.extend(build.take_preparations());
        match built {
            Ok(link) => Some((link, entry.answers)),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// Which filter may have been meant, or which ones there are.
    fn help_with(&mut self, word: &str) -> String {
        if let Some(help) = self.helped.get(word) {
            return help.clone();
        }
        let built_in = self.around.cx.registry.names().map(|name| -> &str { name });
        let named = self.named.keys().map(String::as_str);
        let known: Vec<&str> = built_in.chain(named).collect();
        let help = match did_you_mean(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the filters are: {}", known.join(", ")),
        };
        self.helped.insert(word.to_owned(), help.clone());
        help
    }

    /// `name`, or `name: options`.
    fn written<'v>(&mut self, value: &'v Value) -> Option<Written<'v>> {
        match &value.node {
            Node::Scalar(scalar) => Some(Written {
                word: &scalar.text,
                place: &value.place,
                options: None,
            }),
            Node::Map(entries) if entries.len() == 1 => Some(Written {
                word: &entries[0].0.name,
                place: &entries[0].0.place,
                options: Some(&entries[0].1),
            }),
            Node::Map(entries) if entries.len() > 1 => {
                let words: Vec<_> = entries
                    .iter()
                    .map(|(key, _)| format!("`{}`", key.name))
                    .collect();
                let message = format!("expected one filter, found {}", words.join(" and "));
                let help = "give each filter a list item of its own, or indent its options deeper";
                self.say(&value.place, message, Some(help.to_owned()));
                None
            }
            _ => {
                let message = "expected a filter: `name`, or `name: options`";
                self.say(&value.place, message.to_owned(), None);
                None
            }
        }
    }

    /// Where a route's requests go. A route that does not always answer must say so.
    pub(super) fn goal_of(
        &mut self,
        route: &RouteConfig,
        place: &Place,
        chain: &Chain,
        upstreams: &Upstreams,
    ) -> Option<Goal> {
        let Some(target) = &route.upstream else {
            let complete = chain.links.iter().any(|link| self.answers(link));
            let failed = route.filters.len() > chain.links.len();
            if !complete && !failed {
                let message = format!("route `{}` has no upstream", route.name.value);
                let help = "name one, or end its filters with one that answers, such as `respond`";
                self.say(place, message, Some(help.to_owned()));
            }
            if let Some(timeouts) = &route.timeouts {
                let message = "these time-outs bound nothing: the route has no upstream";
                self.say(&timeouts.place, message.to_owned(), None);
            }
            return None;
        };
        let goal = target::build(target, upstreams, self.around.told, self.problems);
        if let (Some(goal), Some(timeouts)) = (&goal, &route.timeouts) {
            resilience::check_route(timeouts, goal, self.problems);
        }
        goal
    }

    fn answers(&self, link: &Link) -> bool {
        self.around
            .cx
            .registry
            .get(link.name)
            .is_some_and(|entry| entry.answers)
    }

    fn say(&mut self, place: &Place, message: String, help: Option<String>) {
        let mut problem = Problem::new(place.clone(), message);
        problem.help = help;
        self.problems.push(problem);
    }
}
