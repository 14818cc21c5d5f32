//! What a purge hits.

use serde::{Deserialize, Serialize};

use super::key::{Name, hash_of};
use super::shard::Slot;
use super::{Entry, Store};

/// What a purge hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Every entry whose key has this URL, whatever else the key has.
    Url(String),
    /// Every entry whose URL begins with this.
    Prefix(String),
    /// Every entry with this tag.
    Tag(String),
    /// Every entry.
    All,
}

/// What a purge does. The later is the stronger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Makes entries stale: they may be validated, or serve where stale ones may.
    Soft,
    /// Removes entries.
    Hard,
}

/// A purge, ready to be held against entries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim<'w> {
    Url(u64, &'w str),
    Prefix(&'w str),
    Tag(u64),
    All,
}

impl What {
    /// The text that it has.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Url(text) | Self::Prefix(text) | Self::Tag(text) => text,
            Self::All => "",
        }
    }

    pub(super) fn aim(&self, seed: u64) -> Aim<'_> {
        match self {
            Self::Url(url) => Aim::Url(hash_of(seed, url.as_bytes()), url),
            Self::Prefix(prefix) => Aim::Prefix(prefix),
            Self::Tag(tag) => Aim::Tag(hash_of(seed, tag.as_bytes())),
            Self::All => Aim::All,
        }
    }
}

impl Aim<'_> {
    pub(super) fn hits(&self, slot: &Slot) -> bool {
        match self {
            Self::Tag(tag) => slot.tags.contains(tag),
            _ => self.hits_name(slot.name()),
        }
    }

    /// Whether everything under the name is hit, whatever its tags are.
    pub(super) fn hits_name(&self, name: Name<'_>) -> bool {
        match self {
            Self::Url(hash, url) => name.url_hash() == *hash && name.url() == *url,
            Self::Prefix(prefix) => name.url().starts_with(prefix),
            Self::Tag(_) => false,
            Self::All => true,
        }
    }

    pub(super) fn tag(&self) -> Option<u64> {
        match self {
            Self::Tag(tag) => Some(*tag),
            _ => None,
        }
    }
}

impl Store {
    /// Makes one entry stale, as a soft purge would. The disk does not hear of it: after a restart it is what it was. A store
    /// that comes in the place of this one does.
    pub fn soften(&self, entry: &Entry) {
        self.with(entry.name(), |shard| {
            if let Some(id) = shard.id_of(entry.name(), entry.number()) {
                shard.slot_mut(id).soft = true;
            }
        });
        entry.soften_at(self.clock.wall());
        self.tell_outdated(entry.url());
    }
}
