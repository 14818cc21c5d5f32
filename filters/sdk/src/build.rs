//! What a filter has at hand while it is being built, and how it refuses.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderName;

pub use crate::fetches::Fetches;
pub use crate::files::Files;
pub use crate::kept::Kept;
pub use crate::portable::{Packed, Portable};
use crate::value::Place;
use crate::{Clock, Consumers};

/// Why a filter cannot be built: one or more problems, each with its place in the options.
#[derive(Debug, Default)]
pub struct Invalid(Vec<Wrong>);

/// One problem with options.
#[derive(Debug)]
pub struct Wrong {
    /// Where in the options, such as `allow[2]`; empty for all of them.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// Places outside of the options that have to do with it, each with a word on why.
    pub related: Vec<(Place, String)>,
}

impl Invalid {
    /// A problem with the options as a whole: what was expected and what was found, in lower
    /// case and without the filter's name.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at("", message)
    }

    /// A problem at a place in the options, such as `allow[2]` or `keys.primary`.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Wrong {
            path: path.into(),
            message: message.into(),
            related: Vec::new(),
        }])
    }

    /// The same problems further inside: at their places within this one.
    #[must_use]
    pub fn within(mut self, path: &str) -> Self {
        for wrong in &mut self.0 {
            let dot = if wrong.path.is_empty() || wrong.path.starts_with('[') {
                ""
            } else {
                "."
            };
            wrong.path = format!("{path}{dot}{}", wrong.path);
        }
        self
    }

    /// Points to another place as well, outside of the options.
    #[must_use]
    pub fn related(mut self, place: &Place, why: &str) -> Self {
        for wrong in &mut self.0 {
            wrong.related.push((place.clone(), why.to_owned()));
        }
        self
    }

    /// Adds the problems of another.
    pub fn and(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `Ok` where no problem was collected.
    ///
    /// # Errors
    /// Itself, where at least one was.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The problems.
    pub fn problems(&self) -> &[Wrong] {
        &self.0
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Wrong { path, message, .. }) in self.0.iter().enumerate() {
            let end = if i == 0 { "" } else { "; " };
            let colon = if path.is_empty() { "" } else { ": " };
            write!(f, "{end}{path}{colon}{message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// The store of the cache that is there without being configured.
pub const DEFAULT_STORE: &str = "default";

/// A task that runs while its configuration is live.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What ties a filter to those before it and behind it: what it goes by, and what it gives.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    /// The fields of requests that it goes by.
    pub reads: Vec<HeaderName>,
    /// The fields that it gives requests.
    pub sets: Vec<HeaderName>,
    /// Whether it has nothing to go by where no consumer is calling.
    pub needs_consumer: bool,
    /// Whether it finds out which consumer is calling.
    pub finds_consumers: bool,
    /// How many fields it adds to a response, about.
    pub adds_fields: usize,
    /// The stores of the cache that it uses, by position.
    pub stores: Vec<usize>,
}

/// What a filter has at hand while it is being built.
pub struct Build<'a> {
    /// The route that the filter is built for.
    pub route: &'a str,
    /// The filter's name in the configuration: its own word, or the one the user gave it.
    pub label: &'a str,
    /// Where time comes from.
    pub clock: &'a Clock,
    /// The callers that the configuration knows.
    pub consumers: Arc<Consumers>,
    scope: String,
    kept: &'a Kept,
    tasks: &'a mut Vec<Task>,
    files: Files,
    preparations: Vec<Task>,
    stores: &'a [Arc<str>],
    ties: Ties,
}

impl<'a> Build<'a> {
    /// Puts the view together: for the gateway and for test harnesses. `scope` tells one link
    /// from all others, the same before and after a reload.
    pub fn new(
        route: &'a str,
        label: &'a str,
        scope: String,
        clock: &'a Clock,
        kept: &'a Kept,
        tasks: &'a mut Vec<Task>,
    ) -> Self {
        Self {
            route,
            label,
            clock,
            consumers: Arc::default(),
            scope,
            kept,
            tasks,
            files: Files::default(),
            preparations: Vec::new(),
            stores: &[],
            ties: Ties::default(),
        }
    }

    /// Says which callers the configuration knows; none when it is not called.
    #[must_use]
    pub fn knowing(mut self, consumers: Arc<Consumers>) -> Self {
        self.consumers = consumers;
        self
    }

    /// With these stores of the cache, by name.
    #[must_use]
    pub fn with_stores(mut self, stores: &'a [Arc<str>]) -> Self {
        self.stores = stores;
        self
    }

    /// The position of a store of the cache, for [`Policy::store`](crate::cache::Policy::store). Where
    /// none is configured there is one, `default`.
    ///
    /// # Errors
    /// There is no store of this name.
    pub fn store(&mut self, name: &str) -> Result<usize, String> {
        let found = self.stores.iter().position(|store| **store == *name);
        let is_default = name == DEFAULT_STORE && self.stores.is_empty();
        if let Some(found) = found.or(is_default.then_some(0)) {
            self.ties.stores.push(found);
            return Ok(found);
        }
        let known: Vec<_> = self
            .stores
            .iter()
            .map(|store| format!("`{store}`"))
            .collect();
        let known = if known.is_empty() {
            "`default`".to_owned()
        } else {
            known.join(", ")
        };
        Err(format!(
            "there is no store `{name}` under `caches`; there is {known}"
        ))
    }

    /// A value that outlives reloads: the same route, filter and key get the old value back, as
    /// long as its type is the same. Put into `key` whatever makes an old value useless when it
    /// changes, such as a limit.
    pub fn keep<T: Send + Sync + 'static>(
        &mut self,
        key: impl fmt::Display,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        self.kept
            .get_or_insert(format!("{}\u{0}{key}", self.scope), make)
    }

    /// The same for a value that also goes over to the process that takes this one's place.
    pub fn keep_over_upgrades<T: Portable>(
        &mut self,
        key: impl fmt::Display,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        self.kept
            .get_or_take_over(format!("{}\u{0}{key}", self.scope), make)
    }

    /// A value that outlives reloads, and that all filters of all routes share which ask for this
    /// key and type, such as the keys of one issuer. `key` says who it is for and all that it
    /// depends on.
    pub fn share<T: Send + Sync + 'static>(
        &mut self,
        key: impl fmt::Display,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        self.kept.get_or_insert(format!("shared\u{0}{key}"), make)
    }

    /// The same for a value that also goes over to the process that takes this one's place.
    pub fn share_over_upgrades<T: Portable>(
        &mut self,
        key: impl fmt::Display,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        self.kept
            .get_or_take_over(format!("shared\u{0}{key}"), make)
    }

    /// Where to tell how it goes with what is fetched in the background, such as the keys of an
    /// issuer: operators see it among the metrics. `filter` is the filter's own word, `from` says
    /// where it comes from, and holds no secret. Those that agree in both share one, over reloads
    /// too; ask for it in each [`build`](crate::Filter::build), or it is not shown any more. At its start the
    /// gateway is not ready before each has succeeded once (or a former process has
    /// [handed it over](Fetches::taken_over)), or `limits.start_deadline` is over: fetch
    /// it in the [background](Self::background), and not only when a request wants it.
    pub fn fetches(&mut self, filter: &'static str, from: &str) -> Arc<Fetches> {
        self.kept.fetches(filter, from)
    }

    /// Tells this link from all others, the same before and after a reload, and in another gateway
    /// with the same configuration.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Says that the filter goes by a field of requests, as an option names it. What expressions ask
    /// for is known. A field that is always dropped before filters run is refused at load.
    pub fn reads(&mut self, field: &HeaderName) {
        self.ties.reads.push(field.clone());
    }

    /// Says that the filter gives requests a field, which those behind it may go by even where
    /// clients cannot send it.
    pub fn sets(&mut self, field: &HeaderName) {
        self.ties.sets.push(field.clone());
    }

    /// Says that the filter may find out which consumer is calling, and set
    /// [`Identity::consumer`](crate::Identity::consumer).
    pub fn finds_consumers(&mut self) {
        self.ties.finds_consumers = true;
    }

    /// Says that the filter has nothing to go by where no consumer is calling. Behind no filter that
    /// finds one it is refused at load.
    pub fn needs_consumer(&mut self) {
        self.ties.needs_consumer = true;
    }

    /// Says about how many fields the filter adds to each response, so that there is room for them: a head
    /// that runs out of it is moved. What it adds to few need not be counted.
    pub fn adds_fields(&mut self, count: usize) {
        self.ties.adds_fields += count;
    }

    /// What was said so far: for the registry.
    pub(crate) fn take_ties(&mut self) -> Ties {
        std::mem::take(&mut self.ties)
    }

    /// Says that a file is about to be read: a change of it from now on, or its coming, makes a reload.
    pub fn watch(&mut self, file: impl Into<PathBuf>) {
        self.files.note(file);
    }

    /// The files that were read so far; for the gateway.
    pub fn take_files(&mut self) -> Files {
        std::mem::take(&mut self.files)
    }

    /// Runs this before the configuration goes live, while it is waited for: to fetch what the
    /// first request would otherwise do without. Bound the time that it may take.
    pub fn prepare(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.preparations.push(Box::pin(task));
    }

    /// What is to be run before the configuration goes live: for the compiler.
    pub fn take_preparations(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.preparations)
    }

    /// Starts this when the configuration goes live, and stops it with the configuration.
    pub fn background(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }
}
