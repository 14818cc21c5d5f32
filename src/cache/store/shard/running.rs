//! Fetches that run, and what purges have to say to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::super::flight::{Asker, Flight};
use super::super::key::{Key, Name};
use super::super::purge::{Aim, Mode};
use super::super::room::Charge;
use super::Shard;
use crate::cache::Selector;

/// More purges by tag than this, while one fetch runs, are taken for purges of everything.
const TAGS: usize = 1024;

/// While a key is not for the cache, it is tried this often at most.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// What is remembered of a key that is not for the cache.
#[derive(Clone, Debug)]
pub(in super::super) struct Alone {
    hash: u128,
    until: Instant,
    /// When it may be tried again.
    next: Instant,
    /// The only variant that is not; none where it may be any.
    only: Option<Arc<Only>>,
}

/// A variant: what `Vary` named, with what the request had there.
#[derive(Debug)]
pub(in super::super) struct Only {
    pub(in super::super) selectors: Box<[Selector]>,
    pub(in super::super) _charge: Charge,
}

impl Alone {
    fn is_of(&self, hash: u128, now: Instant) -> bool {
        self.hash == hash && now < self.until
    }
}

/// A fetch whose response is not known yet.
#[derive(Debug)]
pub(in super::super) struct Running {
    pub(super) number: u64,
    flight: Arc<Flight>,
    /// Whether those find it who are to wait.
    found: bool,
    /// What purges by URL, prefix or of everything have done to it.
    mode: Option<Mode>,
    /// Purges by tag: whether they hit it is known with the response's tags.
    tags: SmallVec<[(u64, Mode); 2]>,
}

impl Running {
    pub(in super::super) fn new(number: u64, flight: Arc<Flight>) -> Self {
        Self {
            number,
            flight,
            found: true,
            mode: None,
            tags: SmallVec::new(),
        }
    }

    /// What purges have done to a response with these tags.
    pub(in super::super) fn purged(&self, tags: &[u64]) -> Option<Mode> {
        let by_tag = self.tags.iter().filter(|(tag, _)| tags.contains(tag));
        by_tag.map(|(_, mode)| *mode).chain(self.mode).max()
    }

    /// Whether the purge hits it for certain.
    fn hear(&mut self, aim: &Aim<'_>, mode: Mode) -> bool {
        let hits = match aim.tag() {
            Some(tag) if self.tags.len() < TAGS => {
                self.tags.push((tag, mode));
                false
            }
            Some(_) => true,
            None => aim.hits_name(self.flight.name()),
        };
        if hits {
            self.mode = self.mode.max(Some(mode));
        }
        hits
    }
}

impl Shard {
    /// A fetch begins, which others may wait for.
    pub(in super::super) fn begin(&mut self, running: Running) {
        self.charge.change_own(0, running.flight.bytes());
        let place = |running: &Running| running.flight.place() as u64;
        self.running.insert_unique(place(&running), running, place);
        self.weigh();
    }

    /// The fetch has a response, or has ended.
    pub(in super::super) fn end_of(&mut self, number: u64, flight: &Flight) -> Option<Running> {
        let found = (self.running).find_entry(flight.place() as u64, |one| one.number == number);
        let running = found.ok()?.remove().0;
        self.charge.change_own(running.flight.bytes(), 0);
        Some(running)
    }

    /// The fetch that such requests may wait for; `Err` where another key has the same hash.
    pub(in super::super) fn flight(
        &self,
        key: &Key,
        asker: Asker,
    ) -> Result<Option<&Arc<Flight>>, ()> {
        let place = asker.hash(key.hash());
        let is = |running: &Running| running.found && running.flight.place() == place;
        match self.running.find(place as u64, is) {
            None => Ok(None),
            Some(running) if running.flight.name().is(key.name()) => Ok(Some(&running.flight)),
            Some(_) => Err(()),
        }
    }

    /// Tells the fetches that run of a purge; whether it hits one for certain. Whoever comes after a hard purge does not
    /// wait for a fetch that began before it.
    pub(in super::super) fn tell_running(&mut self, aim: &Aim<'_>, mode: Mode) -> bool {
        let mut any = false;
        for running in &mut self.running {
            let hit = running.hear(aim, mode);
            any |= hit;
            running.found &= !(hit && mode == Mode::Hard);
        }
        any
    }

    /// The key is not for the cache, for such requests, until the first of these times; from the second one
    /// on it may be tried. What is known already of the second one holds. Where it is one variant only, no
    /// other is meant; where there are two by now, all are, but tried.
    pub(in super::super) fn set_alone(
        &mut self,
        name: Name<'_>,
        asker: Asker,
        now: Instant,
        (until, mut next): (Instant, Instant),
        mut only: Option<Arc<Only>>,
    ) {
        let hash = asker.hash(name.hash());
        let known = self.alone(hash).take();
        self.alones += usize::from(known.is_none());
        if let Some(known) = known.filter(|known| known.is_of(hash, now)) {
            match (&known.only, &only) {
                (Some(one), Some(other)) if one.selectors != other.selectors => {
                    (next, only) = (now + BETWEEN_TRIES, None);
                }
                // One variant more, where others may be tried.
                (None, Some(_)) => next = known.next.max(now + BETWEEN_TRIES),
                (Some(_), None) => {}
                _ => next = known.next.max(next),
            }
            only = known.only.and(only);
        }
        *self.alone(hash) = Some(Alone {
            hash,
            until,
            next,
            only,
        });
    }

    /// Whether the key is not for the cache, as far as requests go whose variant this knows.
    pub(in super::super) fn is_alone(
        &mut self,
        key: &Key,
        asker: Asker,
        now: impl FnOnce() -> Instant,
        is: impl FnOnce(&[Selector]) -> bool,
    ) -> bool {
        if self.alones == 0 {
            return false;
        }
        let hash = asker.hash(key.hash());
        let alone = self.alone(hash).as_ref();
        alone.is_some_and(|alone| {
            let only = alone.only.as_ref();
            // What time it is does not matter to most keys.
            alone.hash == hash && now() < alone.until && only.is_none_or(|only| is(&only.selectors))
        })
    }

    /// Whether one request may try whether the key, which is not for the cache, is for it by now. No other one may
    /// for a moment.
    pub(in super::super) fn may_try(&mut self, key: &Key, asker: Asker, now: Instant) -> bool {
        match self.alone(asker.hash(key.hash())) {
            Some(alone) if alone.next <= now => {
                alone.next = now + BETWEEN_TRIES;
                true
            }
            _ => false,
        }
    }

    /// A response to the key was stored: it is for the cache after all.
    pub(in super::super) fn clear_alone(&mut self, name: Name<'_>) {
        if self.alones == 0 {
            return;
        }
        for asker in Asker::ALL {
            let hash = asker.hash(name.hash());
            let known = self.alone(hash).take_if(|alone| alone.hash == hash);
            self.alones -= usize::from(known.is_some());
        }
    }

    fn alone(&mut self, hash: u128) -> &mut Option<Alone> {
        let place = hash as usize % self.alone.len();
        &mut self.alone[place]
    }
}
