//! What filters keep over reloads, and over upgrades.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::build::{Fetches, Packed, Portable};
use crate::portable::{LEAST_ROOM, ROOM};

type Key = (String, TypeId);

/// The values that filters keep across reloads: those of the running configuration, and those
/// that the next one has asked for so far.
#[derive(Default)]
pub struct Kept {
    old: HashMap<Key, Arc<dyn Any + Send + Sync>>,
    new: Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>,
    portable: Mutex<HashMap<String, Arc<dyn Portable>>>,
    fetches: Mutex<HashMap<String, Arc<Fetches>>>,
    /// What a former process has left.
    packed: Arc<Packed>,
}

impl Kept {
    /// A first collection, with what a former process has left.
    pub fn after(packed: Packed) -> Self {
        Self {
            packed: Arc::new(packed),
            ..Self::default()
        }
    }

    /// What the process that takes this one's place needs.
    pub fn pack(&self) -> Packed {
        let portable = lock(&self.portable).clone();
        let (mut left, mut values) = (ROOM, portable.len());
        let packed = portable.into_iter().map(|(key, value)| {
            let packed = value.pack((left / values).max(LEAST_ROOM));
            left = left.saturating_sub(packed.len());
            values -= 1;
            (key, packed)
        });
        packed.collect()
    }

    /// Takes in what a former process has packed meanwhile.
    pub fn take_in(&self, packed: &Packed) {
        for (key, value) in lock(&self.portable).clone() {
            if let Some(packed) = packed.get(&key) {
                value.take_in(packed);
            }
        }
    }

    /// A collection for the next configuration, which falls back on this one's values. What the
    /// next one does not ask for is dropped with this one.
    pub fn next(&self) -> Self {
        Self {
            old: lock(&self.new).clone(),
            new: Mutex::default(),
            portable: Mutex::default(),
            fetches: Mutex::default(),
            packed: Arc::default(),
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
        let mut new = lock(&self.new);
        let value = new
            .get(&key)
            .or_else(|| self.old.get(&key))
            .cloned()
            .unwrap_or_else(|| Arc::new(make()));
        new.insert(key, value.clone());
        value.downcast().expect("the key holds the type")
    }

    pub(crate) fn fetches(&self, filter: &'static str, from: &str) -> Arc<Fetches> {
        let key = format!("fetches\u{0}{filter}\u{0}{from}");
        let fetches = self.get_or_insert(key.clone(), || Fetches::new(filter, from));
        lock(&self.fetches).insert(key, fetches.clone());
        fetches
    }

    /// What the filters of this configuration fetch in the background.
    pub fn all_fetches(&self) -> Vec<Arc<Fetches>> {
        lock(&self.fetches).values().cloned().collect()
    }

    /// The same for a value that goes over to the process that takes this one's place.
    pub fn get_or_take_over<T: Portable>(&self, key: String, make: impl FnOnce() -> T) -> Arc<T> {
        let value = self.get_or_insert(key.clone(), || {
            let value = make();
            if let Some(packed) = self.packed.get(&key) {
                value.take_in(packed);
            }
            value
        });
        lock(&self.portable).insert(key, value.clone());
        value
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
