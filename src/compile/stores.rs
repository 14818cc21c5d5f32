//! The stores of the cache, out of their configuration.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use indexmap::IndexMap;
use wiregate_sdk::Clock;
use wiregate_sdk::build::{DEFAULT_STORE, Kept};
use wiregate_sdk::types::Size;
use wiregate_sdk::value::{At, Problem};

use super::Snapshot;
use super::files::beside;
use crate::cache::store::{Disk, Leaving, Mode, Options, Store, What};
use crate::config::model;

mod folders;
mod passing;
mod purges;
#[cfg(test)]
pub mod tests;

pub use passing::{Arriving, Passing, Piece, Said, Wanted};
pub use purges::Purges;

/// Less memory than that is no cache.
const LEAST: Size = Size::mib(1);

/// How often it is looked whether a folder is free that another store has had.
const LOOK: Duration = Duration::from_millis(250);

/// A store of the cache. It is opened before its configuration goes live, and stays what it is over reloads
/// as long as its options do.
pub struct NamedStore {
    /// Its name.
    pub name: Arc<str>,
    options: Options,
    opened: Arc<ArcSwapOption<Store>>,
}

impl NamedStore {
    /// The store.
    ///
    /// # Panics
    /// Before it was opened.
    pub fn store(&self) -> Arc<Store> {
        (self.opened.load_full()).expect("opened before it goes live")
    }

    /// Whether this, which was the store, is it still: only one with a folder is ever another one.
    pub fn is(&self, store: &Arc<Store>) -> bool {
        let is = |opened: &Arc<Store>| Arc::ptr_eq(opened, store);
        self.options.disk.is_none() || (*self.opened.load()).as_ref().is_some_and(is)
    }

    /// The most memory that it takes, in bytes.
    pub fn memory(&self) -> u64 {
        self.options.memory as u64
    }

    /// The largest body that it takes.
    pub fn largest(&self) -> u64 {
        self.options.largest
    }

    /// Whether this one, in an older configuration, has the folder that the other one is to have.
    pub(super) fn has_folder_of(&self, other: &Self) -> bool {
        self.folder().is_some() && self.folder() == other.folder()
    }

    /// Opens it, unless it is open.
    ///
    /// # Errors
    /// The system's, or another process has its folder.
    pub fn open(&self, clock: &Clock) -> io::Result<()> {
        if self.opened.load().is_none() {
            // Configurations go live one at a time.
            let store = Store::open(self.options.clone(), clock.clone())?;
            self.opened.store(Some(store));
        }
        Ok(())
    }

    /// Opens it in the place of another one of this process that has the folder still: in memory alone until
    /// that is gone. What is then on disk is older than what this process has done: it is
    /// validated before its use, and what was purged meanwhile is purged there as well.
    ///
    /// # Errors
    /// The system's.
    pub fn open_after(&self, clock: &Clock) -> io::Result<()> {
        match self.open_before(clock)? {
            true => Ok(()),
            false => self.wait_for_folder(clock),
        }
    }

    /// Opens it where the configuration that is live has no store with its folder: what is there is older than what was
    /// changed and purged since, and is validated before its use.
    ///
    /// # Errors
    /// The system's, or another process has its folder.
    pub fn open_later(&self, clock: &Clock) -> io::Result<()> {
        let is_open = self.opened.load().is_some();
        self.open(clock)?;
        if !is_open && self.options.disk.is_some() {
            self.store().purge(&What::All, Mode::Soft);
        }
        Ok(())
    }

    /// Opens it in a process that gets ready to take the place of another one, which has the folder still: in
    /// memory alone, until it [takes the folder](Self::take_folder). Says whether it has the folder already: then the other
    /// one did not have it.
    ///
    /// # Errors
    /// The system's.
    pub fn open_before(&self, clock: &Clock) -> io::Result<bool> {
        match self.open_later(clock) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            opened => return opened.map(|()| true),
        }
        let memory = Options {
            disk: None,
            ..self.options.clone()
        };
        let memory = Store::open(memory, clock.clone())?;
        memory.has_heir();
        self.opened.store(Some(memory));
        Ok(false)
    }

    /// Takes the folder that another process has [given up](Self::give_up_folder), before anything is asked
    /// for here: what is there is as good as it was, but for what that process has [told](Self::heed) to be
    /// purged since. Where it has not given it up, it is waited for.
    ///
    /// # Errors
    /// The system's.
    pub fn take_folder(&self, clock: &Clock) -> io::Result<()> {
        let has_it = |store: &Store| store.options().disk.is_some();
        if self.options.disk.is_none() || self.opened.load().as_deref().is_some_and(has_it) {
            return Ok(());
        }
        match Store::open(self.options.clone(), clock.clone()) {
            Ok(store) => {
                if let Some(former) = &*self.opened.load() {
                    replay(former, &store);
                }
                if let Some(former) = self.opened.swap(Some(store.clone())) {
                    heed(&former, &store);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                self.wait_for_folder(clock)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the process that takes this one's place have the folder. From here on, at the latest, it is remembered what is
    /// purged, for that process, and for the folder where it comes back.
    pub fn give_up_folder(&self) -> Option<Leaving> {
        let store = self.opened.load_full()?;
        store.has_heir();
        Some(store.give_up_folder())
    }

    /// What is purged since that is remembered; since this was asked last, where it is taken.
    pub fn purges(&self, take: bool) -> Option<Purges> {
        let store = self.opened.load_full()?;
        store.has_heir(); // it may be another one by now
        let each = match take {
            true => store.take_purges(),
            false => store.look_at_purges(),
        };
        let folder = self.folder().map(|folder| folder.display().to_string());
        (!each.is_empty()).then(|| Purges {
            cache: Some(self.name.to_string()),
            folder,
            each,
        })
    }

    /// Purges what the process before has purged in this store. Blocks.
    pub fn heed(&self, purges: &Purges) {
        let folder = self.folder().map(|folder| folder.display().to_string());
        if !purges.are_for(&self.name, folder.as_deref()) {
            return;
        }
        if let Some(store) = self.opened.load_full() {
            for (what, mode) in &purges.each {
                store.purge(what, *mode);
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        self.options.disk.as_ref().map(|disk| &*disk.path)
    }

    /// Takes the folder back after all. What was done meanwhile is not on disk: what is there is validated before
    /// its use, and what was purged is purged there as well. Where it has its folder, or is to have none, it is not remembered
    /// any more what is purged: nobody comes.
    ///
    /// # Errors
    /// The system's.
    pub fn take_folder_back(&self, clock: &Clock) -> io::Result<()> {
        match self.opened.load_full() {
            Some(store) if store.has_given_up() => self.wait_for_folder(clock),
            Some(store) if self.is_whole(&store) => {
                store.has_no_heir();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is what it is to be, and not in memory alone until it has its folder.
    fn is_whole(&self, store: &Store) -> bool {
        store.options().disk == self.options.disk && !store.has_given_up()
    }

    /// Has the folder as soon as nobody else has it.
    fn wait_for_folder(&self, clock: &Clock) -> io::Result<()> {
        let (whole, clock) = (self.options.clone(), clock.clone());
        let (name, place) = (self.name.clone(), Arc::downgrade(&self.opened));
        thread::Builder::new()
            .name("cache-folder".into())
            .spawn(move || wait_for_folder(&name, &place, &whole, &clock))?;
        Ok(())
    }
}

impl Snapshot {
    /// Lets the process that takes this one's place have the folders of the stores, of all at the same time, but does
    /// not wait beyond this moment. Blocks.
    pub fn give_up_folders(&self, until: Instant) {
        let stores = self.stores.iter();
        let leaving: Vec<_> = stores.map(NamedStore::give_up_folder).collect();
        for (store, leaving) in self.stores.iter().zip(leaving) {
            if let Some(Err(error)) = leaving.map(|leaving| leaving.done(until)) {
                tracing::error!(cache = %store.name, %error, "the cache does not give its folder up in time");
            }
        }
    }

    /// What was purged in each store since that is remembered; since this was asked last, where it is taken.
    pub fn purges(&self, take: bool) -> impl Iterator<Item = Purges> {
        self.stores
            .iter()
            .filter_map(move |store| store.purges(take))
    }

    /// Purges what the process before has purged. Blocks.
    pub fn heed(&self, purges: &Purges) {
        self.stores.iter().for_each(|store| store.heed(purges));
    }
}

/// Opens a store with its disk as soon as its folder is free, unless nobody wants it any more.
fn wait_for_folder(name: &str, place: &Weak<ArcSwapOption<Store>>, whole: &Options, clock: &Clock) {
    while place.strong_count() > 0 {
        match Store::open(whole.clone(), clock.clone()) {
            Ok(store) => {
                let Some(place) = place.upgrade() else { return };
                store.purge(&What::All, Mode::Soft);
                if let Some(former) = &*place.load() {
                    replay(former, &store);
                }
                let former = place.swap(Some(store.clone()));
                tracing::info!(cache = name, "the cache has its folder");
                if let Some(former) = former {
                    heed(&former, &store);
                }
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(LOOK),
            Err(error) => {
                tracing::error!(cache = name, %error, "the cache stays without its folder");
                return;
            }
        }
    }
}

/// What was purged in a store that another one has replaced is in no other: as long as somebody has it
/// still, and may purge in it.
fn heed(former: &Arc<Store>, store: &Arc<Store>) {
    loop {
        // Whoever lets go of it has told all that he had purged in it.
        let is_last = Arc::strong_count(former) == 1;
        replay(former, store);
        if is_last {
            return;
        }
        thread::sleep(LOOK);
    }
}

fn replay(former: &Store, store: &Arc<Store>) {
    for (what, mode) in former.take_purges() {
        store.purge(&what, mode);
    }
}

/// The names of all stores, in order.
pub(super) fn names(config: &IndexMap<String, At<model::Cache>>) -> Vec<Arc<str>> {
    match config.is_empty() {
        true => vec![DEFAULT_STORE.into()],
        false => config.keys().map(|name| name.as_str().into()).collect(),
    }
}

/// All stores, in the order of the configuration.
pub(super) fn build(
    config: &IndexMap<String, At<model::Cache>>,
    kept: &Kept,
    runs: bool,
    problems: &mut Vec<Problem>,
) -> Vec<NamedStore> {
    let default = model::Cache::default();
    let configs = config.values().map(|config| &config.value);
    let configs = configs.chain(config.is_empty().then_some(&default));
    let each = names(config).into_iter().zip(configs);
    let stores = each.map(|(name, config)| one(name, config, kept, problems));
    let stores: Vec<_> = stores.collect();
    folders::check(config, &stores, runs, problems);
    stores
}

fn one(
    name: Arc<str>,
    config: &model::Cache,
    kept: &Kept,
    problems: &mut Vec<Problem>,
) -> NamedStore {
    let memory = config.memory.value;
    if memory < LEAST {
        let message = format!("expected at least {LEAST}, found {memory}");
        problems.push(Problem::new(config.memory.place.clone(), message));
    }
    if let Some(largest) = config
        .largest
        .as_ref()
        .filter(|largest| largest.value > memory)
    {
        let found = largest.value;
        let message = format!("a body of {found} does not fit into {memory} of memory");
        problems.push(Problem::new(largest.place.clone(), message));
    }
    let memory = memory.len();
    let largest = (config.largest.as_ref()).map_or(memory / 8, |largest| largest.value.len());
    let options = Options {
        memory,
        largest: largest as u64,
        disk: config.disk.as_ref().map(|disk| Disk {
            path: beside(&disk.path),
            size: disk.size.value.len() as u64,
        }),
    };
    let key = format!("cache\u{0}{name}\u{0}{options:?}");
    NamedStore {
        name,
        options,
        opened: kept.get_or_insert(key, ArcSwapOption::empty),
    }
}
