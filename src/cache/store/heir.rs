//! What another store has to hear of that comes in the place of one, in this process or in another.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Mode, Store, What};

/// The texts of purges that are remembered have so many bytes at most: beyond that, everything is purged.
const MOST: usize = 1 << 20;
/// What a purge takes beside its text.
const EACH: usize = 64;

/// Purges that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Heir(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Whether anybody is to hear of them.
    remembers: bool,
    purges: Vec<(What, Mode)>,
    bytes: usize,
}

impl Heir {
    pub(super) fn tell(&self, what: &What, mode: Mode) {
        let mut told = self.told();
        let is_known = || told.purges.last() == Some(&(what.clone(), mode));
        if !told.remembers || told.bytes > MOST || is_known() {
            return;
        }
        told.bytes += EACH + what.text().len();
        told.purges.push((what.clone(), mode));
        if told.bytes > MOST {
            let purges = told.purges.len();
            tracing::warn!(
                purges,
                "more was purged than is remembered for whoever comes next: all that is stored there is purged"
            );
            told.purges = vec![(What::All, Mode::Hard)];
        }
    }

    fn look(&self) -> Vec<(What, Mode)> {
        self.told().purges.clone()
    }

    pub(super) fn take(&self) -> Vec<(What, Mode)> {
        let mut told = self.told();
        told.bytes = 0;
        std::mem::take(&mut told.purges)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder that another process is to have.
#[derive(Debug)]
pub struct Leaving(Option<Receiver<io::Result<()>>>);

impl Leaving {
    /// Waits until the folder is free, but not beyond this moment. At once where there is no disk. Blocks.
    ///
    /// # Errors
    /// The disk has failed, or is too slow.
    pub fn done(self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        self.0.map_or(Ok(()), |told| {
            let told = told.recv_timeout(left);
            told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

impl Store {
    /// Lets another process have the folder: all that was stored, and every purge, is on disk when that is
    /// [done](Leaving::done), and nothing more is written there. What is in memory stays.
    pub fn give_up_folder(&self) -> Leaving {
        Leaving(self.disk.as_ref().map(|disk| disk.give_up()))
    }

    /// Whether another process has the folder.
    pub fn has_given_up(&self) -> bool {
        let disk = self.disk.as_ref();
        disk.is_some_and(|disk| disk.is_given_up())
    }

    /// From now on it remembers purges, for the store that comes in its place.
    pub fn has_heir(&self) {
        self.heir.get_or_init(Heir::default).told().remembers = true;
    }

    /// From now on it does not, and forgets those that nobody has heard of.
    pub fn has_no_heir(&self) {
        if let Some(heir) = self.heir.get() {
            *heir.told() = Told::default();
        }
    }

    /// Whether so many purges are remembered that somebody should hear of them.
    pub fn has_much_to_tell(&self) -> bool {
        self.heir
            .get()
            .is_some_and(|heir| heir.told().bytes > MOST / 8)
    }

    /// What that store may have under this URL is to be validated.
    pub(super) fn tell_outdated(&self, url: &str) {
        if let Some(heir) = self.heir.get() {
            heir.tell(&What::Url(url.to_owned()), Mode::Soft);
        }
    }

    /// The purges since this was asked last, which that store has to hear of.
    pub fn take_purges(&self) -> Vec<(What, Mode)> {
        self.heir.get().map(Heir::take).unwrap_or_default()
    }

    /// The same, which are still there to be taken.
    pub fn look_at_purges(&self) -> Vec<(What, Mode)> {
        self.heir.get().map(Heir::look).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_are_told_once_and_too_many_are_a_purge_of_everything() {
        let heir = Heir::default();
        heir.tell(&What::All, Mode::Hard);
        assert!(heir.take().is_empty(), "nobody is to hear of it");
        heir.told().remembers = true;
        let url = |number: usize| What::Url(format!("http://a/{number}"));
        for number in [1, 1, 2] {
            heir.tell(&url(number), Mode::Hard);
        }
        heir.tell(&What::Tag("a".into()), Mode::Soft);
        let seen = heir.look();
        let told = heir.take();
        assert_eq!(seen, told);
        let expected = [
            (url(1), Mode::Hard),
            (url(2), Mode::Hard),
            (What::Tag("a".into()), Mode::Soft),
        ];
        assert_eq!(told, expected);
        assert!(heir.take().is_empty());
        for number in 0..100_000 {
            heir.tell(&url(number), Mode::Soft);
        }
        assert_eq!(heir.take(), [(What::All, Mode::Hard)]);
    }
}
