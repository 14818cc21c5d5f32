//! What a purge hits.

use super::Entry;

/// What a purge hits.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What a purge does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Removes entries.
    Hard,
    /// Makes entries stale: they may be validated, or serve where stale ones may.
    Soft,
}

impl What {
    pub(super) fn hits(&self, entry: &Entry) -> bool {
        match self {
            Self::Url(url) => entry.key().url() == url,
            Self::Prefix(prefix) => entry.key().url().starts_with(prefix.as_str()),
            Self::Tag(tag) => entry.meta().tags.iter().any(|own| **own == **tag),
            Self::All => true,
        }
    }
}
