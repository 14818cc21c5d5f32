//! The keys that are known, and whose they are.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use wiregate_sdk::types::{OneOrMany, Secret};
use wiregate_sdk::{Deserialize, Identity, Invalid, JsonSchema};

use crate::auth::challenge::name_problem;

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
    sha256: Option<OneOrMany<String>>,
    /// The groups that the caller is in.
    #[serde(default)]
    groups: Vec<Box<str>>,
}

const SHORTEST: usize = 16;
pub(super) const LONGEST: usize = 1024;

/// The keys that are known, by their SHA-256.
///
/// Which digests are looked at on the way to one says nothing about any key, because nobody can
/// choose a key for the beginning of its digest; and two of them are compared in constant time.
pub(super) struct Keys(HashMap<Digest, Identity>);

#[derive(Clone, Copy)]
struct Digest([u8; 32]);

impl Keys {
    pub(super) fn new(keys: Vec<Key>) -> Result<Self, Invalid> {
        if keys.is_empty() {
            return Err(Invalid::at("keys", "expected at least one key, found none"));
        }
        let mut invalid = Invalid::default();
        let mut names = HashSet::new();
        let mut known: HashMap<Digest, Identity> = HashMap::with_capacity(keys.len());
        for (position, key) in keys.into_iter().enumerate() {
            let place = format!("keys[{position}]");
            if let Some(why) = name_problem(&key.name) {
                invalid.and(Invalid::at(format!("{place}.name"), why));
            }
            if !names.insert(key.name.clone()) {
                let why = format!("expected a name of its own, found `{}` again", key.name);
                invalid.and(Invalid::at(format!("{place}.name"), why));
            }
            let identity = Identity {
                name: key.name.as_str().into(),
                groups: key.groups.as_slice().into(),
                by: "api_key",
                ..Identity::default()
            };
            for (place, digest) in key.digests(&place) {
                match digest {
                    Err(why) => invalid.and(Invalid::at(place, why)),
                    Ok(digest) => {
                        if let Some(other) = known.insert(digest, identity.clone()) {
                            let why = format!(
                                "expected a key of its own, found that of `{}`",
                                other.name
                            );
                            invalid.and(Invalid::at(place, why));
                        }
                    }
                }
            }
        }
        invalid.into_result()?;
        Ok(Self(known))
    }

    /// Whose key this is.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Identity> {
        if key.len() > LONGEST {
            return None;
        }
        self.0.get(&Digest::of(key))
    }
}

impl Key {
    /// The digests of all keys, each with the place where it is written.
    fn digests(&self, place: &str) -> Vec<(String, Result<Digest, String>)> {
        if self.key.is_none() && self.sha256.is_none() {
            let why = "expected `key`, `sha256` or both".to_owned();
            return vec![(place.to_owned(), Err(why))];
        }
        let keys = self.key.iter().flatten().enumerate();
        let keys = keys.map(|(i, key)| (format!("{place}.key[{i}]"), Digest::of_secret(key)));
        let hashes = self.sha256.iter().flatten().enumerate();
        let hashes = hashes.map(|(i, hex)| (format!("{place}.sha256[{i}]"), Digest::parse(hex)));
        keys.chain(hashes).collect()
    }
}

impl Digest {
    fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    fn of_secret(key: &Secret) -> Result<Self, String> {
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
        Ok(Self::of(key))
    }

    fn parse(hex: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err("expected a SHA-256 of 64 hex digits".into());
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).expect("ASCII");
            *byte = u8::from_str_radix(digits, 16).expect("hex digits");
        }
        Ok(Self(bytes))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let (start, _) = self.0.split_first_chunk().expect("longer than that");
        hasher.write_u64(u64::from_ne_bytes(*start));
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use super::*;

    fn keys(count: usize) -> Keys {
        let keys = (0..count).map(|number| Key {
            name: format!("n{number}"),
            key: Some(OneOrMany::from(
                format!("key-0123456789-{number}")
                    .parse::<Secret>()
                    .unwrap(),
            )),
            sha256: None,
            groups: Vec::new(),
        });
        Keys::new(keys.collect()).unwrap_or_else(|invalid| panic!("{invalid}"))
    }

    #[test]
    fn a_hundred_thousand_keys_are_looked_up_as_fast_as_ten() {
        let (few, many) = (keys(10), keys(100_000));
        let last = many.get(b"key-0123456789-99999").unwrap();
        assert_eq!(&*last.name, "n99999");
        let time = |keys: &Keys| -> Duration {
            let start = Instant::now();
            for _ in 0..2_000 {
                black_box(keys.get(b"key-0123456789-9"));
            }
            start.elapsed()
        };
        // One after the other, they would take ten thousand times as long.
        let ratio = time(&many).as_secs_f64() / time(&few).as_secs_f64();
        assert!(ratio < 100.0, "{ratio}");
    }
}
