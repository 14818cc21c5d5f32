//! Tokens that were verified, so that it need not be done again.

use std::array;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use wiregate_sdk::{Consumers, Identity};

use super::remote::Remote;

/// How many tokens share a place.
const WAYS: usize = 4;

/// A table of fixed size. Nobody waits for anybody: who looks reads one place, who adds replaces
/// what is in it. It outlives reloads for as long as nothing that verification depends on changes.
pub(super) struct Verified {
    /// What tags are made with: nobody knows it, and no other table has it.
    key: LessSafeKey,
    /// Whose generations the entries tell.
    fetched: Box<[Arc<Remote>]>,
    places: Box<[[ArcSwapOption<Entry>; WAYS]]>,
}

/// What a token is found by.
pub(super) type Tag = [u8; 16];

/// A verified token.
pub(super) struct Entry {
    pub(super) tag: Tag,
    /// Until when it holds.
    pub(super) until: SystemTime,
    /// The generation of the keys that it was verified with.
    pub(super) generation: u64,
    /// Who it says is calling.
    pub(super) identity: Arc<Identity>,
    /// The same without the consumer that it is, where the filter looks for one.
    pub(super) claimed: Option<Arc<Identity>>,
    /// Where that was looked for.
    pub(super) consumers: Weak<Consumers>,
}

impl Verified {
    /// One with room for this many tokens, for none with 0, which these keys have verified.
    pub(super) fn new(tokens: usize, fetched: &[Arc<Remote>]) -> Self {
        let places = tokens.div_ceil(WAYS);
        let mut key = [0; 16];
        rand::fill(&mut key).expect("the system has random bytes");
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("16 bytes are a key");
        Self {
            key: LessSafeKey::new(key),
            fetched: fetched.into(),
            places: (0..places)
                .map(|_| array::from_fn(|_| ArcSwapOption::empty()))
                .collect(),
        }
    }

    /// Whether these keys have verified what is in it.
    pub(super) fn is_by(&self, fetched: &[Arc<Remote>]) -> bool {
        let same = |(one, other)| Arc::ptr_eq(one, other);
        self.fetched.len() == fetched.len() && self.fetched.iter().zip(fetched).all(same)
    }

    /// What a token is found by: the tag that AES-GCM makes of it where nothing is encrypted (GMAC, NIST SP 800-38D). Without
    /// the key nobody can make two tokens of one tag, and it takes a fourth of the time of a SHA-256.
    pub(super) fn tag_of(&self, token: &[u8]) -> Tag {
        // One nonce for all is safe for tags that nobody sees, and a token must have the same one each time.
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
        let tag = tag.expect("a token is not too long for it");
        tag.as_ref().try_into().expect("16 bytes")
    }

    /// What this makes of the token with this tag, where it was verified and still holds.
    pub(super) fn find<T>(
        &self,
        tag: &Tag,
        generation: u64,
        now: SystemTime,
        show: impl Fn(&Entry) -> Option<T>,
    ) -> Option<T> {
        self.place(tag)?.iter().find_map(|slot| {
            let entry = slot.load();
            let entry = entry.as_ref()?;
            // Nobody can choose a token for its tag: where two differ tells nothing.
            let holds = entry.tag == *tag && entry.holds(generation, now);
            holds.then(|| show(entry)).flatten()
        })
    }

    /// Remembers a token, in the place of one that does not hold any more, or of the one that
    /// expires first.
    pub(super) fn add(&self, entry: Entry, now: SystemTime) {
        let Some(place) = self.place(&entry.tag) else {
            return;
        };
        let worth = |slot: &&ArcSwapOption<Entry>| {
            let other = slot.load();
            let other = other
                .as_ref()
                .filter(|other| other.tag != entry.tag && other.holds(entry.generation, now));
            other.map(|other| other.until)
        };
        let slot = place.iter().min_by_key(worth);
        slot.expect("a place has slots")
            .store(Some(Arc::new(entry)));
    }

    fn place(&self, tag: &Tag) -> Option<&[ArcSwapOption<Entry>; WAYS]> {
        let (start, _) = tag.split_first_chunk().expect("longer than that");
        let place = u64::from_le_bytes(*start).checked_rem(self.places.len() as u64)?;
        self.places.get(usize::try_from(place).ok()?)
    }
}

impl Entry {
    /// Whether its consumer was looked for among these.
    pub(super) fn is_of(&self, consumers: &Arc<Consumers>) -> bool {
        // What is pointed to weakly keeps its address, even once it is gone.
        std::ptr::eq(self.consumers.as_ptr(), Arc::as_ptr(consumers))
    }

    fn holds(&self, generation: u64, now: SystemTime) -> bool {
        self.generation == generation && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(verified: &Verified, number: u32, until: SystemTime) -> Entry {
        Entry {
            tag: verified.tag_of(&number.to_le_bytes()),
            until,
            generation: 1,
            identity: Arc::new(Identity {
                name: number.to_string().into(),
                ..Identity::default()
            }),
            claimed: None,
            consumers: Weak::new(),
        }
    }

    fn name(verified: &Verified, token: &[u8], generation: u64, now: SystemTime) -> Option<String> {
        let name = |entry: &Entry| Some(entry.identity.name.to_string());
        verified.find(&verified.tag_of(token), generation, now, name)
    }

    #[test]
    fn holds_until_it_expires_or_the_keys_change() {
        let verified = Verified::new(8, &[]);
        let now = SystemTime::now();
        let until = now + Duration::from_secs(60);
        verified.add(entry(&verified, 7, until), now);
        let token = 7_u32.to_le_bytes();
        assert_eq!(name(&verified, &token, 1, now).unwrap(), "7");
        assert!(name(&verified, &token, 1, until - Duration::from_nanos(1)).is_some());
        assert!(name(&verified, &token, 1, until).is_none());
        assert!(name(&verified, &token, 2, now).is_none());
        assert!(name(&verified, b"other", 1, now).is_none());
    }

    #[test]
    fn is_bounded_and_what_expires_first_goes_first() {
        let verified = Verified::new(WAYS, &[]);
        let now = SystemTime::now();
        let until = |number: u32| now + Duration::from_secs(60 + u64::from(number));
        for number in 0..100 {
            verified.add(entry(&verified, number, until(number)), now);
        }
        let is_there = |number: &u32| name(&verified, &number.to_le_bytes(), 1, now).is_some();
        let there: Vec<u32> = (0..100).filter(is_there).collect();
        assert_eq!(there, [96, 97, 98, 99]);
        // One that is added again takes no second slot.
        verified.add(entry(&verified, 98, until(98)), now);
        assert!((96..100).all(|number| is_there(&number)));
    }

    #[test]
    fn with_no_room_nothing_is_remembered() {
        let verified = Verified::new(0, &[]);
        let now = SystemTime::now();
        verified.add(entry(&verified, 1, now + Duration::from_secs(60)), now);
        assert!(name(&verified, &1_u32.to_le_bytes(), 1, now).is_none());
    }

    #[test]
    fn a_tag_is_one_of_one_token_and_one_table() {
        let verified = Verified::new(8, &[]);
        let token = [b'a'; 300];
        let tag = verified.tag_of(&token);
        assert_eq!(verified.tag_of(&token), tag);
        assert_ne!(Verified::new(8, &[]).tag_of(&token), tag);
        for at in 0..token.len() {
            let mut other = token;
            other[at] ^= 1;
            assert_ne!(verified.tag_of(&other), tag, "{at}");
            assert_ne!(verified.tag_of(&token[..at]), tag, "{at}");
        }
        assert_ne!(verified.tag_of(b"a"), verified.tag_of(b"a\0"));
        assert_ne!(verified.tag_of(b""), verified.tag_of(b"\0"));
    }
}
