//! The store itself: its parts, and what goes through all of them.

use std::fmt;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, MutexGuard, OnceLock};

use wiregate_sdk::Clock;

use super::disk::{self, Engine};
use super::figures::Counts;
use super::fill::Promised;
use super::heir::Heir;
use super::key::{Name, Url, hash_of};
use super::numbers::Numbers;
use super::part::Part;
use super::room::Room;
use super::shard::{Newcomer, Shard};
use super::{Entry, Figures, Key, Mode, Options, Refused, What};
use crate::cache::Variant;

/// How many entries one lock is held for, at most, while something goes through all of them.
pub(super) const STEP: u32 = 1024;
/// How many entries leave the memory before the lock is given back.
pub(super) const EVICTIONS: usize = 64;

/// What [`Store::find`] knows without waiting.
#[derive(Debug)]
pub enum Find {
    /// The newest entry that fits. It may still be filling, and it may be stale.
    Found(Arc<Entry>),
    /// Nothing that fits is in memory; something with this key is on disk: [`Store::load`] it.
    OnDisk,
    /// Nothing.
    Missing,
}

/// What [`Store::find_good`] knows without waiting.
#[derive(Debug)]
pub enum FindGood {
    /// The newest entry that fits, which is good.
    Good(Arc<Entry>),
    /// There is something under the key, in memory or on disk: [`Store::find`] tells.
    Other,
    /// Nothing at all: `find` need not be asked.
    Nothing,
}

/// A place for responses. See the module.
pub struct Store {
    options: Options,
    pub(super) clock: Clock,
    /// Chosen at random, so that nobody can choose keys whose hashes collide. On disk with the rest.
    pub(super) seed: u64,
    pub(super) numbers: Numbers,
    pub(super) room: Arc<Room>,
    parts: Box<[Part]>,
    /// What a part weighs when memory is shared out evenly.
    share: usize,
    pub(super) counts: Counts,
    pub(super) disk: Option<Arc<Engine>>,
    pub(super) heir: OnceLock<Heir>,
    pub(super) promised: Promised,
}

impl Store {
    /// Opens a store. With a disk, its folder is locked against other processes and stores; what is in it
    /// is found little by little, without holding up the start.
    ///
    /// # Errors
    /// The options are too small, or the folder cannot be made, written, or locked.
    pub fn open(options: Options, clock: Clock) -> io::Result<Arc<Self>> {
        options.check()?;
        let disk = options.disk.as_ref();
        let disk = disk.map(|disk| Engine::open(disk, options.memory));
        let disk = disk.transpose()?;
        let room = Room::new(options.memory);
        let count = options.shards();
        let share = options.memory / count;
        let store = Arc::new(Self {
            clock,
            seed: disk
                .as_ref()
                .map_or_else(|| fastrand::u64(..), |disk| disk.seed()),
            numbers: Numbers::new(),
            parts: (0..count).map(|_| Part::new(&room, share)).collect(),
            share,
            room,
            counts: Counts::default(),
            disk,
            heir: OnceLock::new(),
            promised: Promised::default(),
            options,
        });
        disk::start(&store)?;
        Ok(store)
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The key of a URL and of whatever else tells responses apart (the method, a header field, a
    /// caller). A purge by URL or prefix sees the URL; two keys are the same when all parts are.
    pub fn key(&self, url: impl Into<Url>, parts: &[&[u8]]) -> Key {
        let url = url.into();
        let hash = hash_of(self.seed, url.as_str().as_bytes());
        // Where this is looked up is far from the processor, and the rest takes a while.
        let part = self.part(hash);
        part.will_find(hash);
        let key = Key::new(self.seed, (url, hash), parts);
        part.will_count(key.hash());
        key
    }

    /// The newest entry under a key that `fits`: `Vary` is for the caller to compare. Runs under a
    /// lock of a part of the store: `fits` has to be quick, and must not call the store.
    pub fn find(&self, key: &Key, fits: impl FnMut(&Entry) -> bool) -> Find {
        self.lock(key.url_hash()).find(key, fits)
    }

    /// The entry that [`find`](Self::find) gives, where it is `good`. Where it is not, it is as if nobody had looked, unless there
    /// is nothing at all.
    pub fn find_good(
        &self,
        key: &Key,
        fits: impl FnMut(&Entry) -> bool,
        good: impl FnOnce(&Entry) -> bool,
    ) -> FindGood {
        self.lock(key.url_hash()).find_good(key, fits, good)
    }

    /// Purges, and says how many entries were hit. In memory it holds when this returns, for fetches that
    /// run, too (the memory of many entries is given back a moment later); it is also written to disk, in the
    /// background. Goes through the whole store for everything but a URL: not on a worker, then.
    pub fn purge(self: &Arc<Self>, what: &What, mode: Mode) -> usize {
        let mut on_disk = true;
        if let Some(disk) = &self.disk {
            on_disk = disk.is_finding();
            disk.purging(what, mode);
        }
        let (aim, now) = (what.aim(self.seed), self.clock.wall());
        let hit = match what {
            What::Url(url) => {
                let url = hash_of(self.seed, url.as_bytes());
                self.with_hash(url, |shard| {
                    let told = shard.tell_running(&aim, mode);
                    let hit = shard.purge_url(&aim, url, (mode, now));
                    // Most URLs that requests change are not stored at all: nothing has to be written for them.
                    on_disk |= told || hit > 0 || mode == Mode::Soft || !shard.knows_all();
                    hit
                })
            }
            _ => {
                on_disk = true;
                let parts = self.parts.iter();
                parts.map(|part| part.purge(&aim, (mode, now))).sum()
            }
        };
        // Behind every entry that was written before it was hit.
        if let Some(disk) = self.disk.as_ref().filter(|_| on_disk) {
            disk.purge(what, mode);
        }
        // Where there is no heir by now, what has just been asked of the disk is done before it gives its folder up.
        if let Some(heir) = self.heir.get() {
            heir.tell(what, mode);
        }
        Counts::add(&self.counts.purged, hit as u64);
        if mode == Mode::Hard {
            self.bury_later(what, hit);
        }
        hit
    }

    /// Takes out what a purge has hit: at once where that is quick, and else on a thread of its own.
    fn bury_later(self: &Arc<Self>, what: &What, hit: usize) {
        if hit > STEP as usize {
            let store = self.clone();
            let thread = std::thread::Builder::new().name("cache-bury".to_owned());
            if thread.spawn(move || store.bury()).is_ok() {
                return;
            }
        }
        match what {
            What::Url(url) => self.part(hash_of(self.seed, url.as_bytes())).bury(),
            _ => self.bury(),
        }
    }

    fn bury(&self) {
        self.parts.iter().for_each(Part::bury);
    }

    /// Waits until every purge and every entry before this call is on disk, so that no restart undoes
    /// it. At once where there is no disk.
    ///
    /// # Errors
    /// The disk has failed: what was on it is gone, and so is every entry that a purge could have meant.
    pub async fn settled(&self) -> io::Result<()> {
        match &self.disk {
            Some(disk) => disk.settled().await,
            None => Ok(()),
        }
    }

    /// What is in the store, and what happened.
    pub fn figures(&self) -> Figures {
        let disk = self.disk.as_ref();
        Figures {
            memory: self.room.used() as u64,
            disk: disk.map_or(0, |disk| disk.bytes()),
            finding: disk.is_some_and(|disk| disk.is_finding()),
            corrupt: disk.map_or(0, |disk| disk.corrupt()),
            unwritten: disk.map_or(0, |disk| disk.unwritten()),
            entries: self.parts.iter().map(|part| part.lock().len() as u64).sum(),
            ..self.counts.read()
        }
    }

    /// The bytes that one body may have: [`Options::largest`], or half of the memory where that is less.
    pub fn largest(&self) -> u64 {
        self.options.largest.min(self.options.memory as u64 / 2)
    }

    pub(super) fn count_refusal<T>(&self, settled: Result<T, Refused>) -> Result<T, Refused> {
        settled.inspect_err(|_| self.counts.discarded())
    }

    /// A body has come to its end.
    pub(super) fn finish(&self, entry: &Arc<Entry>) -> Result<(), Refused> {
        let (name, number) = (entry.name(), entry.number());
        if self.disk.is_some() {
            let variant = self.with(name, |shard| {
                let id = shard.id_of(name, number)?;
                Some(shard.slot(id).variant)
            });
            self.supersede(name, variant.ok_or(Refused::Purged)?);
        }
        let kept = self.with(name, |shard| {
            let id = shard.id_of(name, number)?;
            let variant = shard.slot(id).variant;
            shard.clear_alone(name);
            Some(shard.settle(id, self.disk.is_some()).then_some(variant))
        });
        if let Some(variant) = kept.ok_or(Refused::Purged)? {
            self.settle_down(entry, variant);
        }
        Ok(())
    }

    /// A complete entry is new in the index: room is made, and the disk hears of it.
    pub(super) fn settle_down(&self, entry: &Arc<Entry>, variant: Variant) {
        self.write(entry, variant);
        self.make_room(entry.name(), 0, Newcomer::Part);
    }

    /// What is still being found on disk, and is older than this, must not come back.
    pub(super) fn supersede(&self, name: Name<'_>, variant: Variant) {
        if let Some(disk) = &self.disk {
            disk.superseding(name, variant);
        }
    }

    /// A fill has ended before its end.
    pub(super) fn discard(&self, entry: &Arc<Entry>) {
        self.counts.discarded();
        self.with(entry.name(), |shard| {
            if let Some(id) = shard.id_of(entry.name(), entry.number()) {
                shard.remove(id);
            }
        });
    }

    /// Evicts until the store has room for `more` bytes, where it can. What is evicted comes from the part where something was
    /// added, unless that has less than its share. Gives what had the head of the last one that went, which may be nothing.
    pub(super) fn make_room(
        &self,
        name: Name<'_>,
        more: usize,
        newcomer: Newcomer,
    ) -> Option<Vec<u8>> {
        let mut spare = Vec::new();
        while self.room.lacks(more) {
            let own = self.part(name.url_hash());
            let part = match own.weight() > self.share {
                true => own,
                false => self.heaviest(),
            };
            let newcomer = match std::ptr::eq(part, own) {
                true => newcomer,
                false => newcomer.elsewhere(),
            };
            let (done, empty) = part.change(|shard| {
                let done = shard.shrink(&self.room, more, newcomer, EVICTIONS);
                (done, shard.is_empty())
            });
            Counts::add(&self.counts.evicted, done.evicted);
            Counts::add(&self.counts.rejected, done.rejected);
            spare = done.spare;
            if empty && self.room.lacks(more) && self.heaviest().weight() == 0 {
                return None;
            }
        }
        Some(spare)
    }

    fn heaviest(&self) -> &Part {
        let parts = self.parts.iter();
        let heaviest = parts.max_by_key(|part| part.weight());
        heaviest.expect("there is at least one part")
    }

    fn part(&self, url_hash: u64) -> &Part {
        &self.parts[(url_hash >> 40) as usize & (self.parts.len() - 1)]
    }

    pub(super) fn lock(&self, url_hash: u64) -> MutexGuard<'_, Shard> {
        self.part(url_hash).lock()
    }

    /// Changes the part of the index that a name is in.
    pub(super) fn with<T>(&self, name: Name<'_>, change: impl FnOnce(&mut Shard) -> T) -> T {
        self.with_hash(name.url_hash(), change)
    }

    pub(super) fn with_hash<T>(&self, url_hash: u64, change: impl FnOnce(&mut Shard) -> T) -> T {
        self.part(url_hash).change(change)
    }

    /// Goes through the index, part by part, a step at a time; also through a part that has nothing.
    pub(super) fn each_step(&self, mut step: impl FnMut(&mut Shard, Range<u32>)) {
        self.each_step_of(STEP, |shard, ids| {
            step(shard, ids);
            ControlFlow::Continue(())
        });
    }

    /// The same, so many entries at a time, until a step breaks it off: how many entries, roughly, were not gone through then.
    pub(super) fn each_step_of(
        &self,
        most: u32,
        mut step: impl FnMut(&mut Shard, Range<u32>) -> ControlFlow<()>,
    ) -> u64 {
        let mut parts = self.parts.iter();
        while let Some(part) = parts.next() {
            let mut from = Some(0_u32);
            while let Some(start) = from {
                let gone = part.change(|shard| {
                    let end = shard.end().min(start.saturating_add(most));
                    match step(shard, start..end) {
                        ControlFlow::Continue(()) => Ok((end < shard.end()).then_some(end)),
                        ControlFlow::Break(()) => Err(shard.len().saturating_sub(start as usize)),
                    }
                });
                from = match gone {
                    Ok(next) => next,
                    Err(left) => {
                        let others = parts.map(|part| part.lock().len());
                        return (left + others.sum::<usize>()) as u64;
                    }
                };
            }
        }
        0
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
