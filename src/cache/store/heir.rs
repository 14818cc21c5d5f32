//! What another store has to hear of that comes in the place of one.

use std::sync::{Mutex, PoisonError};

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
    purges: Vec<(What, Mode)>,
    bytes: usize,
}

impl Heir {
    pub(super) fn tell(&self, what: &What, mode: Mode) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_all = told.bytes > MOST;
        if is_all || told.purges.last() == Some(&(what.clone(), mode)) {
            return;
        }
        told.bytes += EACH + what.text().len();
        told.purges.push((what.clone(), mode));
        if told.bytes > MOST {
            told.purges = vec![(What::All, Mode::Hard)];
        }
    }

    pub(super) fn take(&self) -> Vec<(What, Mode)> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *told).purges
    }
}

impl Store {
    /// From now on it remembers purges, for the store that comes in its place.
    pub fn has_heir(&self) {
        self.heir.get_or_init(Heir::default);
    }

    /// The purges since this was asked last, which that store has to hear of.
    pub fn take_purges(&self) -> Vec<(What, Mode)> {
        self.heir.get().map(Heir::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_are_told_once_and_too_many_are_a_purge_of_everything() {
        let heir = Heir::default();
        let url = |number: usize| What::Url(format!("http://a/{number}"));
        for number in [1, 1, 2] {
            heir.tell(&url(number), Mode::Hard);
        }
        heir.tell(&What::Tag("a".into()), Mode::Soft);
        let told = heir.take();
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
