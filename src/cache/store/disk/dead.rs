//! What must not be found any more, though it is still on disk.

use std::collections::{HashMap, HashSet};

use super::super::key::{Name, hash_of};
use super::super::{Mode, What};
use super::Spot;
use crate::cache::Variant;

/// Purges and newer entries, of this run and of records that were read: they count for what is found from now
/// on, which is older.
#[derive(Debug, Default)]
pub(super) struct Dead {
    all: Option<Mode>,
    urls: HashMap<u64, Mode>,
    tags: HashMap<u64, Mode>,
    prefixes: Vec<(String, Mode)>,
    voided: HashSet<(u128, Variant)>,
    /// Bodies that a newer head was found for.
    bodies: HashSet<Spot>,
}

impl Dead {
    pub(super) fn purge(&mut self, what: &What, mode: Mode, seed: u64) {
        let more = |old: &mut Mode| *old = (*old).max(mode);
        match what {
            What::Url(url) => {
                let url = hash_of(seed, url.as_bytes());
                self.urls.entry(url).and_modify(more).or_insert(mode);
            }
            What::Tag(tag) => {
                let tag = hash_of(seed, tag.as_bytes());
                self.tags.entry(tag).and_modify(more).or_insert(mode);
            }
            What::Prefix(prefix) => {
                let known = self.prefixes.iter_mut().find(|(own, _)| own == prefix);
                match known {
                    Some((_, old)) => more(old),
                    None => self.prefixes.push((prefix.clone(), mode)),
                }
            }
            What::All => self.all = self.all.max(Some(mode)),
        }
    }

    pub(super) fn void(&mut self, hash: u128, variant: Variant) {
        self.voided.insert((hash, variant));
    }

    pub(super) fn body(&mut self, body: Spot) {
        self.bodies.insert(body);
    }

    pub(super) fn has_body(&self, body: Spot) -> bool {
        self.bodies.contains(&body)
    }

    /// Whether everything older is gone.
    pub(super) fn is_all(&self) -> bool {
        self.all == Some(Mode::Hard)
    }

    /// What has happened to an entry since: `Hard` where it must not be found.
    pub(super) fn hits(&self, name: Name<'_>, variant: Variant, tags: &[u64]) -> Option<Mode> {
        if self.voided.contains(&(name.hash(), variant)) {
            return Some(Mode::Hard);
        }
        let by_url = self.urls.get(&name.url_hash()).copied();
        let by_tag = tags.iter().filter_map(|tag| self.tags.get(tag).copied());
        let prefixes = self.prefixes.iter();
        let prefixes = prefixes.filter(|(prefix, _)| name.url().starts_with(prefix.as_str()));
        let by_prefix = prefixes.map(|(_, mode)| *mode);
        self.all
            .into_iter()
            .chain(by_url)
            .chain(by_tag)
            .chain(by_prefix)
            .max()
    }
}
