//! What a response is stored under.

use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// A URL and whatever else tells responses apart. All parts are kept and compared: two keys whose
/// hashes collide are still two keys.
#[derive(Clone)]
pub struct Key {
    /// The URL, then each part behind its length.
    text: SmallVec<[u8; 192]>,
    url: usize,
    hash: u128,
    url_hash: u64,
}

impl Key {
    pub(super) fn new<'p>(seed: u64, url: &str, parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut text = SmallVec::from_slice(url.as_bytes());
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        Self {
            // Where the URL ends is part of the key.
            hash: xxh3_128_with_seed(&text, seed ^ url.len() as u64),
            url_hash: xxh3_64_with_seed(url.as_bytes(), seed),
            url: url.len(),
            text,
        }
    }

    /// The URL.
    pub fn url(&self) -> &str {
        std::str::from_utf8(&self.text[..self.url]).expect("made of a str")
    }

    pub(super) fn hash(&self) -> u128 {
        self.hash
    }

    pub(super) fn url_hash(&self) -> u64 {
        self.url_hash
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.url == other.url && self.text == other.text
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.url()).finish()
    }
}
