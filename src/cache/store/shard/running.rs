//! Fetches that run, and what purges have to say to them.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::super::flight::Flight;
use super::super::key::{Key, Name};
use super::super::purge::{Aim, Mode};
use super::super::room::Charge;
use super::Shard;

/// More purges by tag than this, while one fetch runs, are taken for purges of everything.
const TAGS: usize = 1024;

/// A fetch whose response is not known yet.
#[derive(Debug)]
pub(in super::super) struct Running {
    name: Name,
    /// What purges by URL, prefix or of everything have done to it.
    mode: Option<Mode>,
    /// Purges by tag: whether they hit it is known with the response's tags.
    tags: SmallVec<[(u64, Mode); 2]>,
    _charge: Charge,
}

impl Running {
    pub(in super::super) fn new(name: Name, charge: Charge) -> Self {
        Self {
            name,
            mode: None,
            tags: SmallVec::new(),
            _charge: charge,
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
            None => aim.hits_name(&self.name),
        };
        if hits {
            self.mode = self.mode.max(Some(mode));
        }
        hits
    }
}

impl Shard {
    /// A fetch begins. Others may wait for it where it has a flight.
    pub(in super::super) fn begin(
        &mut self,
        number: u64,
        running: Running,
        flight: Option<&Arc<Flight>>,
    ) {
        if let Some(flight) = flight {
            let flight = (running.name.clone(), flight.clone());
            self.flights.insert(running.name.hash(), flight);
        }
        self.running.insert(number, running);
        self.weigh();
    }

    /// The fetch has a response, or has ended.
    pub(in super::super) fn end_of(
        &mut self,
        number: u64,
        name: &Name,
        flight: Option<&Arc<Flight>>,
    ) -> Option<Running> {
        let kept = self.flights.get(&name.hash());
        if kept.is_some_and(|(_, kept)| flight.is_some_and(|own| Arc::ptr_eq(own, kept))) {
            self.flights.remove(&name.hash());
        }
        self.running.remove(&number)
    }

    /// The fetch that others may wait for; `Err` where another key has the same hash.
    pub(in super::super) fn flight(&self, key: &Key) -> Result<Option<&Arc<Flight>>, ()> {
        match self.flights.get(&key.hash()) {
            None => Ok(None),
            Some((name, flight)) if name.is(key) => Ok(Some(flight)),
            Some(_) => Err(()),
        }
    }

    /// Tells the fetches that run of a purge. Whoever comes after a hard purge does not wait for a fetch that began
    /// before it.
    pub(in super::super) fn tell_running(&mut self, aim: &Aim<'_>, mode: Mode) {
        for running in self.running.values_mut() {
            let hit = running.hear(aim, mode);
            if hit && mode == Mode::Hard {
                self.flights.remove(&running.name.hash());
            }
        }
    }

    /// The key is not for the cache until then.
    pub(in super::super) fn set_alone(&mut self, name: &Name, until: Instant) {
        let place = name.hash() as usize % self.alone.len();
        self.alone[place] = Some((name.hash(), until));
    }

    pub(in super::super) fn is_alone(&self, key: &Key, now: Instant) -> bool {
        let place = key.hash() as usize % self.alone.len();
        self.alone[place].is_some_and(|(hash, until)| hash == key.hash() && now < until)
    }

    /// A response to the key was stored: it is for the cache after all.
    pub(in super::super) fn clear_alone(&mut self, name: &Name) {
        let place = name.hash() as usize % self.alone.len();
        self.alone[place].take_if(|(hash, _)| *hash == name.hash());
    }
}
