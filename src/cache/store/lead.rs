//! The right to fetch.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::body::Body;
use super::fill::Fill;
use super::flight::{Flight, Outcome};
use super::key::{Key, Name, hash_of};
use super::purge::Mode;
use super::refused::Refused;
use super::room::{Charge, allocated};
use super::shard::{Kept, Newcomer, Only, Running, Shard, Slot};
use super::{Asker, Entry, Join, Store, Waiting};
use crate::cache::{Failure, Selector, Stored, Variant};

/// So many selectors of a variant that is too large are remembered.
const SELECTORS: usize = 8;

impl Store {
    /// Settles who fetches what `find` and `load` did not give, among those who are alike. `fits` is asked once more,
    /// since another fetch may have ended in between; where a stale entry is to be validated, it says no to
    /// that one.
    ///
    /// While a key is remembered to be not for the cache, one request at a time fetches nevertheless, and no more
    /// than one in 100 ms: it may have been the request, and not the response, that was not for the cache.
    pub fn join(
        self: &Arc<Self>,
        key: &Key,
        asker: Asker,
        fits: impl FnMut(&Entry) -> bool,
    ) -> Join {
        self.join_for(key, asker, |_| true, fits)
    }

    /// The same; `is` tells whether the request is for the variant with these selectors: that another one was too large
    /// says nothing about it.
    pub fn join_for(
        self: &Arc<Self>,
        key: &Key,
        asker: Asker,
        is: impl FnOnce(&[Selector]) -> bool,
        fits: impl FnMut(&Entry) -> bool,
    ) -> Join {
        let mut shard = self.lock(key.url_hash());
        if let Some(entry) = shard.peek(key, fits) {
            return Join::Found(entry);
        }
        let waiting = match shard.flight(key, asker) {
            Ok(flight) => flight.map(Waiting::new),
            Err(()) => return Join::Alone,
        };
        let now = || self.clock.instant();
        match (waiting, shard.is_alone(key, asker, now, is)) {
            (Some(_), true) => Join::Alone,
            (Some(waiting), false) => Join::Wait(waiting),
            (None, true) if !shard.may_try(key, asker, now()) => Join::Alone,
            (None, _) => Join::Lead(self.lead(&mut shard, key, asker)),
        }
    }

    fn lead(self: &Arc<Self>, shard: &mut Shard, key: &Key, asker: Asker) -> Lead {
        let (number, key) = (self.numbers.next(), Key::from(key.name()));
        let flight = Arc::new(Flight::new(key, asker));
        shard.begin(Running::new(number, flight.clone()));
        Lead {
            store: self.clone(),
            flight,
            number,
            done: false,
        }
    }

    /// The key is not for the cache for a while, as far as those who are alike are concerned. Somebody may
    /// find out before that.
    pub(super) fn set_alone(&self, name: Name<'_>, asker: Asker, remember: Duration) {
        if !remember.is_zero() {
            let now = self.clock.instant();
            let until = now + remember;
            self.with(name, |shard| {
                shard.set_alone(name, asker, now, (until, now), None);
            });
        }
    }

    /// The same for the variant with these selectors, which is too large, and will be again: nobody tries. Where they
    /// are many, or none, it holds for all variants.
    pub(super) fn set_too_large(
        &self,
        name: Name<'_>,
        asker: Asker,
        remember: Duration,
        selectors: &[Selector],
    ) {
        if !remember.is_zero() {
            let now = self.clock.instant();
            let until = now + remember;
            let is_one = (1..=SELECTORS).contains(&selectors.len());
            let only = is_one.then(|| Arc::new(self.only(selectors)));
            self.with(name, |shard| {
                shard.set_alone(name, asker, now, (until, until), only);
            });
        }
    }

    fn only(&self, selectors: &[Selector]) -> Only {
        let texts = selectors.iter().map(|(name, value)| {
            let value = value.as_ref().map_or(0, HeaderValue::len);
            allocated(name.as_str().len()) + allocated(value)
        });
        let bytes = size_of::<Only>() + size_of_val(selectors) + texts.sum::<usize>();
        Only {
            selectors: selectors.into(),
            _charge: Charge::new(&self.room, bytes),
        }
    }
}

/// The right to fetch what a key stands for, and to store it. Dropped before it says what became of
/// the fetch, one of those who wait gets it.
#[derive(Debug)]
pub struct Lead {
    store: Arc<Store>,
    /// Those who wait, and for what.
    flight: Arc<Flight>,
    number: u64,
    done: bool,
}

impl Lead {
    /// The head is known, and the response may be stored: the body follows. Those who waited read it
    /// while it comes. `length` is the length of the body, where it is known.
    ///
    /// # Errors
    /// It is not stored. Those who waited fetch for themselves. What is too large, or finds no room, is remembered as by
    /// [`Lead::too_large`] and [`Lead::not_stored`].
    pub fn fill(
        mut self,
        meta: Stored,
        length: Option<u64>,
        remember: Duration,
    ) -> Result<Fill, Refused> {
        if length.is_some_and(|length| length > self.store.largest()) {
            return Err(self.refuse(Refused::TooLarge, &meta, remember));
        }
        let memory = self.store.options().memory;
        let Some(promised) = self.store.promised.get(length, memory) else {
            return Err(self.refuse(Refused::NoRoom, &meta, remember));
        };
        let new = New::of(&self.store, &meta);
        let (room, name) = (&self.store.room, self.flight.name());
        let entry = Entry::new(room, name, self.number, meta, Body::coming(length));
        let entry = Arc::new(entry);
        if let Err(why) = self.land_new(&new, &entry, |_, _| ()) {
            self.store.promised.give_back(promised);
            return Err(why);
        }
        let (store, asker) = (self.store.clone(), self.flight.asker());
        Ok(Fill::new(store, entry, asker, promised))
    }

    /// The response may be stored, and its body is there: what a [fill](Lead::fill) does until it is finished, in one step.
    ///
    /// # Errors
    /// As for a fill.
    pub fn store(
        mut self,
        meta: Stored,
        body: &[u8],
        remember: Duration,
    ) -> Result<Arc<Entry>, Refused> {
        if body.len() as u64 > self.store.largest() {
            return Err(self.refuse(Refused::TooLarge, &meta, remember));
        }
        let bytes = Entry::bytes_of(&meta, body);
        let (name, newcomer) = (self.flight.name(), Newcomer::Entry(bytes));
        if self.store.make_room(name, bytes, newcomer).is_none() {
            return Err(self.refuse(Refused::NoRoom, &meta, remember));
        }
        let new = New::of(&self.store, &meta);
        self.store.supersede(self.flight.name(), new.variant);
        let (room, name) = (&self.store.room, self.flight.name());
        let entry = Arc::new(Entry::whole(room, name, self.number, meta, body));
        let to_disk = self.store.disk.is_some();
        let stays = self.land_new(&new, &entry, |shard, id| {
            shard.clear_alone(entry.name());
            shard.settle(id, to_disk)
        })?;
        if stays {
            self.store.settle_down(&entry, new.variant);
        }
        Ok(entry)
    }

    /// Makes room ahead for what has a head of so many bytes, with what is [behind](Self::behind) that, and whose body is there.
    /// Gives memory that has become free, for that head.
    pub fn make_room(&self, head: usize, body: &[u8]) -> Vec<u8> {
        let bytes = Entry::bytes_about(head, body);
        let (name, newcomer) = (self.flight.name(), Newcomer::Entry(bytes));
        let spare = self.store.make_room(name, bytes, newcomer);
        spare.unwrap_or_default() // it is refused once more
    }

    /// It is not stored, since it is too large or finds no room.
    fn refuse(self, why: Refused, meta: &Stored, remember: Duration) -> Refused {
        self.store.counts.discarded();
        match why {
            Refused::TooLarge => self.too_large(remember, &meta.vary),
            _ => self.not_stored(remember),
        }
        why
    }

    /// How many bytes are put behind the head, where this body is there.
    pub fn behind(&self, body: &[u8]) -> usize {
        Entry::behind(self.flight.name(), body)
    }

    /// A stored response was found to be good (a 304): it gets another head, and keeps its body.
    /// Where `meta.vary` is another one, the entry stands under that from now on.
    ///
    /// # Errors
    /// It is not in the store any more, or a purge has hit it meanwhile. The caller may still serve it; those who
    /// waited join again.
    pub fn refresh(mut self, old: &Arc<Entry>, meta: Stored) -> Result<Arc<Entry>, Refused> {
        let store = self.store.clone();
        let new = New::of(&store, &meta);
        store.supersede(old.name(), new.variant);
        let to_disk = store.disk.is_some();
        let settle = |shard: &mut Shard, purged| {
            if purged == Some(Mode::Hard) {
                return Err(Refused::Purged);
            }
            let slot = shard.id_of(old.name(), old.number());
            let Some(id) = slot.filter(|_| !old.is_broken()) else {
                return Err(Refused::Gone);
            };
            // The fill that runs knows the entry by its number; later, what is queued for the disk under the old
            // number is not to be written any more. It is taken under the lock: whoever goes through the index has seen
            // the entry, or knows its number for a later one.
            let number = match old.is_filling() {
                true => old.number(),
                false => store.numbers.next(),
            };
            let entry = Arc::new(Entry::renewed(&store.room, number, meta, old));
            if purged == Some(Mode::Soft) {
                entry.soften_at(store.clock.wall());
            }
            shard.renew(id, &entry, new.variant, &new.tags, to_disk);
            Ok(entry)
        };
        let stored = self.land_with(Some(&new.tags), settle, |stored| match stored {
            Ok(entry) => Outcome::Entry(entry.clone()),
            Err(_) => Outcome::Left,
        });
        let entry = store.count_refusal(stored)?;
        if !entry.is_filling() {
            store.settle_down(&entry, new.variant);
        }
        Ok(entry)
    }

    /// The response is not for the cache. Those who wait go on by themselves; so does nearly everyone
    /// with such a request for as long as `remember` says, see [`Store::join`].
    pub fn not_stored(mut self, remember: Duration) {
        let (name, asker) = (self.flight.name(), self.flight.asker());
        self.store.set_alone(name, asker, remember);
        self.land(Outcome::Alone);
    }

    /// The response, of the variant with these selectors, is larger than what is stored. Nobody tries that
    /// again for as long as `remember` says.
    pub fn too_large(mut self, remember: Duration, selectors: &[Selector]) {
        let (name, asker) = (self.flight.name(), self.flight.asker());
        self.store.set_too_large(name, asker, remember, selectors);
        self.land(Outcome::Alone);
    }

    /// The fetch has failed, and so have those who wait.
    pub fn failed(mut self, failure: Failure) {
        self.land(Outcome::Failed(failure));
    }

    fn land(&mut self, outcome: Outcome) {
        self.land_with(None, |_, _| (), |()| outcome);
    }

    /// Puts an entry into the index, unless a purge has hit it, for those who wait, and does whatever is to be done with
    /// its slot.
    fn land_new<T>(
        &mut self,
        new: &New,
        entry: &Arc<Entry>,
        then: impl FnOnce(&mut Shard, u32) -> T,
    ) -> Result<T, Refused> {
        let clock = self.store.clock.clone();
        let settle = |shard: &mut Shard, purged| {
            if purged == Some(Mode::Hard) {
                return Err(Refused::Purged);
            }
            let soft = purged == Some(Mode::Soft);
            if soft {
                entry.soften_at(clock.wall());
            }
            let id = shard.insert(new.slot(entry, soft));
            Ok(then(shard, id))
        };
        let stored = self.land_with(Some(&new.tags), settle, |stored| match stored {
            Ok(_) => Outcome::Entry(entry.clone()),
            Err(_) => Outcome::Left,
        });
        self.store.count_refusal(stored)
    }

    /// Ends the flight in one step with whatever is stored, and tells those who wait what the `outcome` of that is.
    /// `settle` hears what purges have done to a response with these tags since the fetch began.
    fn land_with<T>(
        &mut self,
        tags: Option<&[u64]>,
        settle: impl FnOnce(&mut Shard, Option<Mode>) -> T,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> T {
        self.done = true;
        let settled = self.store.with(self.flight.name(), |shard| {
            let running = shard.end_of(self.number, &self.flight);
            let purged = running.and_then(|running| running.purged(tags.unwrap_or_default()));
            settle(shard, purged)
        });
        // Nobody new finds the flight: who waits for it has it.
        if Arc::strong_count(&self.flight) > 1 {
            self.flight.land(outcome(&settled));
        }
        settled
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.done {
            self.land(Outcome::Left);
        }
    }
}

/// What the index has to know of a new entry.
pub(super) struct New {
    pub(super) variant: Variant,
    tags: Box<[u64]>,
}

impl New {
    pub(super) fn of(store: &Store, meta: &Stored) -> Self {
        let tags = meta.tags();
        let tags = tags.map(|tag| hash_of(store.seed, tag.as_bytes()));
        Self {
            variant: meta.variant(),
            tags: tags.collect(),
        }
    }

    pub(super) fn slot(&self, entry: &Arc<Entry>, soft: bool) -> Slot {
        let (kept, tags) = (Kept::Entry(entry.clone()), self.tags.clone());
        Slot::new(kept, entry.number(), self.variant, tags, soft)
    }
}
