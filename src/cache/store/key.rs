//! What a response is stored under.

use std::fmt;

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
    facts: Facts,
}

impl Key {
    /// Of a URL with this hash.
    pub(super) fn new(seed: u64, (url, hash): (Url, u64), parts: &[&[u8]]) -> Self {
        let mut text = url.0.into_bytes();
        let url = text.len();
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        let facts = Facts::of(seed, &text, (url, hash));
        Self { text, facts }
    }

    /// As it was written to disk: `None` where it is no key.
    pub(super) fn read(seed: u64, text: Box<[u8]>, url: usize) -> Option<Self> {
        std::str::from_utf8(text.get(..url)?).ok()?;
        let hash = hash_of(seed, &text[..url]);
        let facts = Facts::of(seed, &text, (url, hash));
        let text = text.into();
        Some(Self { text, facts })
    }

    /// The URL.
    pub fn url(&self) -> &str {
        self.name().url()
    }

    pub(super) fn name(&self) -> Name<'_> {
        Name::new(&self.text, self.facts)
    }

    pub(super) fn hash(&self) -> u128 {
        self.facts.hash
    }

    pub(super) fn url_hash(&self) -> u64 {
        self.facts.url_hash
    }

    /// The memory that it takes beside its own size.
    pub(super) fn bytes(&self) -> usize {
        allocated(self.text.capacity())
    }
}

/// A copy with no more memory than it needs.
impl From<Name<'_>> for Key {
    fn from(name: Name<'_>) -> Self {
        Self {
            text: name.text.to_vec(),
            facts: name.facts,
        }
    }
}

impl Facts {
    /// Where the URL ends is part of the key.
    fn of(seed: u64, text: &[u8], (url, url_hash): (usize, u64)) -> Self {
        Self {
            hash: xxh3_128_with_seed(text, seed ^ url as u64),
            url_hash,
            url,
        }
    }
}

/// The hash of a URL, a tag, or a prefix.
pub(super) fn hash_of(seed: u64, text: &[u8]) -> u64 {
    xxh3_64_with_seed(text, seed)
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name().is(other.name())
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.url()).finish()
    }
}

/// A key as those see it who compare it and look it up: its text may be a part of something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'t> {
    text: &'t [u8],
    facts: Facts,
}

/// What is known of the text of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    hash: u128,
    url_hash: u64,
    url: usize,
}

impl<'t> Name<'t> {
    /// The name that this is the text of.
    pub(super) fn new(text: &'t [u8], facts: Facts) -> Self {
        Self { text, facts }
    }

    /// What is known of its text.
    pub(super) fn facts(self) -> Facts {
        self.facts
    }

    pub(super) fn is(self, other: Self) -> bool {
        self.facts == other.facts && self.text == other.text
    }

    pub(super) fn url(self) -> &'t str {
        std::str::from_utf8(&self.text[..self.facts.url]).expect("checked when it was made")
    }

    /// The text, and where in it the URL ends.
    pub(super) fn parts(self) -> (&'t [u8], usize) {
        (self.text, self.facts.url)
    }

    pub(super) fn hash(self) -> u128 {
        self.facts.hash
    }

    pub(super) fn url_hash(self) -> u64 {
        self.facts.url_hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, parts: &[&[u8]]) -> Key {
        let hash = hash_of(7, url.as_bytes());
        Key::new(7, (url.into(), hash), parts)
    }

    #[test]
    fn keys_are_the_same_when_all_parts_are() {
        let one = of("http://a/b", &[b"GET", b"c"]);
        assert_eq!(one, of("http://a/b", &[b"GET", b"c"]));
        for other in [
            of("http://a/b", &[b"GET", b"d"]),
            of("http://a/b", &[b"GET"]),
            of("http://a/b", &[b"GETc"]),
            of("http://a/b", &[b"GE", b"Tc"]),
            of("http://a/b", &[b"GET", b"c", b""]),
            of("http://a/", &[b"b", b"GET", b"c"]),
            of("", &[b"http://a/b", b"GET", b"c"]),
        ] {
            assert_ne!(one, other);
            assert_ne!(one.hash(), other.hash());
        }
    }

    #[test]
    fn what_a_name_says_is_enough_for_the_same_key() {
        let key = of("http://a/b", &[b"GET"]);
        let (text, url) = key.name().parts();
        let again = Key::read(7, text.into(), url).unwrap();
        assert!(again == key && Key::from(again.name()) == key);
        let name = Name::new(text, again.name().facts());
        assert!(name.is(key.name()) && !name.is(of("http://a/b", &[]).name()));
        assert!(Key::read(7, b"abc"[..].into(), 4).is_none());
        assert!(Key::read(7, [0xff, b'a'][..].into(), 1).is_none());
    }
}
