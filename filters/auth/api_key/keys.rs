//! The keys that are known, and whose they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wiregate_sdk::types::{Digest, Hidden, OneOrMany, Secret};
use wiregate_sdk::{Consumer, Consumers, Deserialize, Identity, Invalid, JsonSchema};

use crate::auth::challenge::{name_problem, taken};

/// A caller and its keys. At least one of `key` and `sha256` is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Key {
    /// The caller's name.
    name: String,
    /// The key, 16 to 1024 visible ASCII characters, as a reference; or several of which each will do.
    #[serde(default)]
    key: Option<OneOrMany<Secret>>,
    /// The SHA-256 of the key in hex, in its place.
    #[serde(default)]
    sha256: Option<OneOrMany<Hidden<Digest>>>,
    /// The groups that the caller is in.
    #[serde(default)]
    groups: Vec<Box<str>>,
}

const SHORTEST: usize = 16;
const LONGEST: usize = 1024;

/// The operator alone fills it, and nobody can choose a digest: a quick hash will do.
type ByDigest = HashMap<Digest, Arc<Identity>, foldhash::fast::RandomState>;

/// The keys that are known, by their SHA-256.
///
/// Which digests are looked at on the way to one says nothing about any key, because nobody can
/// choose a key for the beginning of its digest; and two of them are compared in constant time.
pub(super) struct Keys {
    own: ByDigest,
    /// The consumers whose keys are accepted as well.
    consumers: Option<Arc<Consumers>>,
}

impl Keys {
    pub(super) fn new(
        keys: Option<Vec<Key>>,
        consumers: Arc<Consumers>,
        accepts_consumers: bool,
    ) -> Result<Self, Invalid> {
        let have_keys = accepts_consumers && consumers.have_keys();
        match &keys {
            Some(keys) if keys.is_empty() => {
                return Err(Invalid::at("keys", "expected at least one key, found none"));
            }
            None if !have_keys => {
                let why = "expected `keys`, or `consumers:` in the configuration with an `api_key`";
                return Err(Invalid::new(why));
            }
            _ => {}
        }
        let own = Self::own(keys.unwrap_or_default(), &consumers, accepts_consumers)?;
        Ok(Self {
            own,
            consumers: accepts_consumers.then_some(consumers),
        })
    }

    fn own(
        keys: Vec<Key>,
        consumers: &Consumers,
        accepts_consumers: bool,
    ) -> Result<ByDigest, Invalid> {
        let accepted = accepts_consumers.then_some(consumers);
        let mut invalid = Invalid::default();
        let mut names = HashSet::new();
        let mut known = ByDigest::with_capacity_and_hasher(keys.len(), Default::default());
        for (position, key) in keys.into_iter().enumerate() {
            let place = format!("keys[{position}]");
            if let Some(why) = name_problem(&key.name) {
                invalid.and(Invalid::at(format!("{place}.name"), why));
            }
            if !names.insert(key.name.clone()) {
                let why = format!("expected a name of its own, found `{}` again", key.name);
                invalid.and(Invalid::at(format!("{place}.name"), why));
            }
            if let Some(holder) = consumers.get(&key.name) {
                invalid.and(taken(holder, "the consumer").within(&format!("{place}.name")));
            }
            let identity = Arc::new(Identity {
                name: key.name.as_str().into(),
                groups: key.groups.as_slice().into(),
                consumer: Some(Arc::new(Consumer {
                    name: key.name.as_str().into(),
                    groups: key.groups.as_slice().into(),
                    plan: None,
                })),
                by: "api_key",
                ..Identity::default()
            });
            for (place, digest) in key.digests(&place) {
                let added = digest
                    .map_err(Invalid::new)
                    .and_then(|digest| free(&digest, &known, accepted).map(|()| digest));
                match added {
                    Err(why) => invalid.and(why.within(&place)),
                    Ok(digest) => {
                        known.insert(digest, identity.clone());
                    }
                }
            }
        }
        invalid.into_result()?;
        Ok(known)
    }

    /// Whose key this is.
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Identity>> {
        if key.len() > LONGEST {
            return None;
        }
        let digest = digest_of(key);
        self.own.get(&digest).cloned().or_else(|| {
            let holder = self.consumers.as_ref()?.with_key(&digest)?;
            Some(Arc::new(holder.identity("api_key")))
        })
    }
}

/// Whether nobody has this key yet.
fn free(digest: &Digest, known: &ByDigest, consumers: Option<&Consumers>) -> Result<(), Invalid> {
    let held = |by: &str| Invalid::new(format!("expected a key of its own, found that of {by}"));
    if let Some(other) = known.get(digest) {
        return Err(held(&format!("`{}`", other.name)));
    }
    if let Some(holder) = consumers.and_then(|all| all.with_key(digest)) {
        let held = held(&format!("consumer `{}`", holder.consumer.name));
        return Err(held.related(&holder.place, "the consumer's key"));
    }
    Ok(())
}

impl Key {
    /// The digests of all keys, each with the place where it is written.
    fn digests(&self, place: &str) -> Vec<(String, Result<Digest, String>)> {
        if self.key.is_none() && self.sha256.is_none() {
            let why = "expected `key`, `sha256` or both".to_owned();
            return vec![(place.to_owned(), Err(why))];
        }
        let keys = self.key.iter().flatten().enumerate();
        let keys = keys.map(|(i, key)| (format!("{place}.key[{i}]"), digest_of_secret(key)));
        let hashes = self.sha256.iter().flatten().enumerate();
        let hashes = hashes.map(|(i, digest)| (format!("{place}.sha256[{i}]"), Ok(**digest)));
        keys.chain(hashes).collect()
    }
}

fn digest_of(key: &[u8]) -> Digest {
    Digest::from(<[u8; 32]>::from(Sha256::digest(key)))
}

/// The digest of a key.
///
/// # Errors
/// Why it cannot be one.
pub fn digest_of_secret(key: &Secret) -> Result<Digest, String> {
    let key = key.expose().as_bytes();
    if !(SHORTEST..=LONGEST).contains(&key.len()) {
        let found = key.len();
        return Err(format!(
            "expected a key of {SHORTEST} to {LONGEST} characters, found one of {found}"
        ));
    }
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err("expected a key of visible ASCII characters, found others in it".into());
    }
    Ok(digest_of(key))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use wiregate_sdk::consumers::{Credential, Holder};
    use wiregate_sdk::value::Place;

    use super::*;

    /// This many keys, half of them of consumers.
    fn keys(count: usize) -> Keys {
        let key = |number: usize| format!("key-0123456789-{number}");
        let own = (0..count / 2).map(|number| Key {
            name: format!("n{number}"),
            key: Some(OneOrMany::from(key(number).parse::<Secret>().unwrap())),
            sha256: None,
            groups: Vec::new(),
        });
        let mut consumers = Consumers::default();
        for number in count / 2..count {
            let consumer = Arc::new(Consumer {
                name: format!("n{number}").into(),
                ..Consumer::default()
            });
            let credential = Credential::Key(digest_of(key(number).as_bytes()));
            let holder = Holder {
                consumer,
                place: place(),
            };
            consumers.give(credential, holder).unwrap();
        }
        let own = Keys::own(own.collect(), &consumers, true);
        Keys {
            own: own.unwrap_or_else(|invalid| panic!("{invalid}")),
            consumers: Some(Arc::new(consumers)),
        }
    }

    fn place() -> Place {
        Place {
            file: "c.yaml".into(),
            line: 1,
            column: 1,
            width: 1,
        }
    }

    #[test]
    fn a_hundred_thousand_keys_are_looked_up_as_fast_as_ten() {
        let (few, many) = (keys(10), keys(100_000));
        let last = many.get(b"key-0123456789-99999").unwrap();
        assert_eq!(&*last.name, "n99999");
        let time = |keys: &Keys| -> Duration {
            let start = Instant::now();
            for _ in 0..2_000 {
                black_box(keys.get(b"key-0123456789-1"));
                black_box(keys.get(b"key-0123456789-9"));
            }
            start.elapsed()
        };
        // One after the other, they would take ten thousand times as long.
        let ratio = time(&many).as_secs_f64() / time(&few).as_secs_f64();
        assert!(ratio < 100.0, "{ratio}");
    }
}
