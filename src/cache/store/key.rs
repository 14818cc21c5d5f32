//! What a response is stored under.

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::room::allocated;

/// Most keys are no longer than this.
const SHORT: usize = 256;

/// The URL of a key, on its way into it.
pub struct Url(String);

impl Url {
    /// Adds a part.
    pub fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Adds a part that is in lower case here, however it was written.
    pub fn push_in_lower_case(&mut self, text: &str) {
        let start = self.0.len();
        self.push(text);
        self.0[start..].make_ascii_lowercase();
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// With room for the rest of most keys.
impl From<&str> for Url {
    fn from(text: &str) -> Self {
        let mut url = String::with_capacity(SHORT.max(text.len()));
        url.push_str(text);
        Self(url)
    }
}

/// A URL and whatever else tells responses apart. All parts are kept and compared: two keys whose
/// hashes collide are still two keys.
#[derive(Clone)]
pub struct Key {
    /// The URL, then each part behind its length.
    text: Vec<u8>,
    url: usize,
    hash: u128,
    url_hash: u64,
}

impl Key {
    pub(super) fn new<'p>(
        seed: u64,
        url: impl Into<Url>,
        parts: impl IntoIterator<Item = &'p [u8]>,
    ) -> Self {
        let mut text = url.into().0.into_bytes();
        let url = text.len();
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        let (hash, url_hash) = hashes(seed, &text, url);
        Self {
            text,
            url,
            hash,
            url_hash,
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

/// Where the URL ends is part of the key.
fn hashes(seed: u64, text: &[u8], url: usize) -> (u128, u64) {
    let hash = xxh3_128_with_seed(text, seed ^ url as u64);
    (hash, hash_of(seed, &text[..url]))
}

/// The hash of a URL, a tag, or a prefix.
pub(super) fn hash_of(seed: u64, text: &[u8]) -> u64 {
    xxh3_64_with_seed(text, seed)
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.url == other.url && self.text == other.text
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.url()).finish()
    }
}

/// A key as the store keeps it: one copy of its text for the index and all who hold an entry. Whoever keeps it counts
/// its [bytes](Name::bytes).
#[derive(Clone, Debug)]
pub(super) struct Name {
    text: Arc<[u8]>,
    url: usize,
    hash: u128,
    url_hash: u64,
}

impl Name {
    pub(super) fn new(key: &Key) -> Self {
        Self {
            text: key.text.as_slice().into(),
            url: key.url,
            hash: key.hash,
            url_hash: key.url_hash,
        }
    }

    /// As it was written to disk: `None` where it is no name.
    pub(super) fn read(seed: u64, text: &[u8], url: usize) -> Option<Self> {
        std::str::from_utf8(text.get(..url)?).ok()?;
        let (hash, url_hash) = hashes(seed, text, url);
        Some(Self {
            text: text.into(),
            url,
            hash,
            url_hash,
        })
    }

    pub(super) fn is(&self, key: &Key) -> bool {
        self.hash == key.hash && self.url == key.url && *self.text == *key.text
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.url == other.url && self.text == other.text
    }

    pub(super) fn url(&self) -> &str {
        std::str::from_utf8(&self.text[..self.url]).expect("checked when it was made")
    }

    /// The text, and where in it the URL ends.
    pub(super) fn parts(&self) -> (&[u8], usize) {
        (&self.text, self.url)
    }

    pub(super) fn hash(&self) -> u128 {
        self.hash
    }

    pub(super) fn url_hash(&self) -> u64 {
        self.url_hash
    }

    /// The memory that it takes beside its own size.
    pub(super) fn bytes(&self) -> usize {
        allocated(2 * size_of::<usize>() + self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_when_all_parts_are() {
        let key = |url: &str, parts: &[&'static [u8]]| Key::new(7, url, parts.iter().copied());
        let one = key("http://a/b", &[b"GET", b"c"]);
        assert_eq!(one, key("http://a/b", &[b"GET", b"c"]));
        for other in [
            key("http://a/b", &[b"GET", b"d"]),
            key("http://a/b", &[b"GET"]),
            key("http://a/b", &[b"GETc"]),
            key("http://a/b", &[b"GE", b"Tc"]),
            key("http://a/b", &[b"GET", b"c", b""]),
            key("http://a/", &[b"b", b"GET", b"c"]),
            key("", &[b"http://a/b", b"GET", b"c"]),
        ] {
            assert_ne!(one, other);
            assert_ne!(one.hash(), other.hash());
        }
    }

    #[test]
    fn a_name_says_which_key_it_was_made_of() {
        let key = Key::new(7, "http://a/b", [&b"GET"[..]]);
        let name = Name::new(&key);
        assert!(name.is(&key) && !name.is(&Key::new(7, "http://a/b", [])));
        let (text, url) = name.parts();
        let again = Name::read(7, text, url).unwrap();
        assert!(again.is(&key) && again.same(&name));
        assert!(Name::read(7, b"abc", 4).is_none());
        assert!(Name::read(7, &[0xff, b'a'], 1).is_none());
    }
}
