//! What a filter has at hand while it is being built, and how it refuses.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Clock;

/// Why a filter cannot be built: one or more problems, each with its place in the options.
#[derive(Debug, Default)]
pub struct Invalid(Vec<(String, String)>);

impl Invalid {
    /// A problem with the options as a whole: what was expected and what was found, in lower
    /// case and without the filter's name.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at("", message)
    }

    /// A problem at a place in the options, such as `allow[2]` or `keys.primary`.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![(path.into(), message.into())])
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

    /// The problems: path in the options, message.
    pub fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(path, message)| (path.as_str(), message.as_str()))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (path, message)) in self.0.iter().enumerate() {
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

/// What a filter has at hand while it is being built.
pub struct Build<'a> {
    /// The route that the filter is built for.
    pub route: &'a str,
    /// The filter's name in the configuration: its own word, or the one the user gave it.
    pub label: &'a str,
    /// Where time comes from.
    pub clock: &'a Clock,
    scope: String,
    kept: &'a Kept,
    tasks: &'a mut Vec<Task>,
    stores: &'a [Arc<str>],
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
            scope,
            kept,
            tasks,
            stores: &[],
        }
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
    pub fn store(&self, name: &str) -> Result<usize, String> {
        if let Some(found) = self.stores.iter().position(|store| **store == *name) {
            return Ok(found);
        }
        if name == DEFAULT_STORE && self.stores.is_empty() {
            return Ok(0);
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

    /// Starts this when the configuration goes live, and stops it with the configuration.
    pub fn background(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }
}

type Key = (String, TypeId);

/// The values that filters keep across reloads: those of the running configuration, and those
/// that the next one has asked for so far.
#[derive(Default)]
pub struct Kept {
    old: HashMap<Key, Arc<dyn Any + Send + Sync>>,
    new: Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>,
}

impl Kept {
    /// A collection for the next configuration, which falls back on this one's values. What the
    /// next one does not ask for is dropped with this one.
    pub fn next(&self) -> Self {
        Self {
            old: self
                .new
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            new: Mutex::default(),
        }
    }

    /// Lets go of the values that were not asked for: the configuration is complete.
    pub fn seal(&mut self) {
        self.old = HashMap::new();
    }

    /// The value under this key and type: this configuration's, the former one's, or a new one.
    pub fn get_or_insert<T: Send + Sync + 'static>(
        &self,
        key: String,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let key = (key, TypeId::of::<T>());
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let value = new
            .get(&key)
            .or_else(|| self.old.get(&key))
            .cloned()
            .unwrap_or_else(|| Arc::new(make()));
        new.insert(key, value.clone());
        value.downcast().expect("the key holds the type")
    }
}
