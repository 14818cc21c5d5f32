//! The callers that a configuration knows, found by what they show.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::types::Digest;
use crate::value::Place;
use crate::{Consumer, Identity};

/// The callers that a configuration knows (`consumers:`), found by their names and by what they
/// show. Each look-up takes the same time, however many there are.
#[derive(Debug, Default)]
pub struct Consumers {
    names: HashMap<Arc<str>, Holder>,
    keys: HashMap<Digest, Holder>,
    users: IndexMap<Box<str>, (Password, Holder)>,
    /// By issuer, and then by what its tokens say.
    subjects: HashMap<Box<str>, HashMap<Box<str>, Holder>>,
    /// Whether some of them were left out, since the configuration has a mistake there.
    cut: bool,
}

/// What a consumer shows.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An API key, by its SHA-256.
    Key(Digest),
    /// A user name and a password.
    User(Box<str>, Password),
    /// What the tokens of an issuer say of it. Without an issuer: those of filters that name none.
    Subject {
        /// The issuer (RFC 7519, 4.1.1).
        issuer: Option<Box<str>>,
        /// The value of the claim that the filter looks at.
        subject: Box<str>,
    },
}

/// A password, in the form that it is kept in.
#[derive(Clone, Debug)]
pub enum Password {
    /// A hash: argon2id in the PHC format, or bcrypt. Checked at load.
    Hash(Arc<str>),
    /// The SHA-256 of one that the configuration refers to.
    Plain(Digest),
}

/// Who holds a credential, or a name.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// Where the credential is written, or the consumer.
    pub place: Place,
}

impl Holder {
    /// The holder as a caller that this filter has established.
    pub fn identity(&self, by: &'static str) -> Identity {
        Identity {
            name: self.consumer.name.clone(),
            groups: self.consumer.groups.clone(),
            consumer: Some(self.consumer.clone()),
            by,
            ..Identity::default()
        }
    }
}

impl Consumers {
    /// Adds a consumer, whose name no other one has.
    pub fn add(&mut self, holder: Holder) {
        self.names.insert(holder.consumer.name.clone(), holder);
    }

    /// Adds a credential.
    ///
    /// # Errors
    /// Who holds the same one already; nothing is added then.
    pub fn give(&mut self, credential: Credential, holder: Holder) -> Result<(), Holder> {
        match credential {
            Credential::Key(digest) => vacant(self.keys.entry(digest), holder),
            Credential::User(name, password) => match self.users.entry(name) {
                Entry::Occupied(taken) => Err(taken.get().1.clone()),
                Entry::Vacant(free) => {
                    free.insert((password, holder));
                    Ok(())
                }
            },
            Credential::Subject { issuer, subject } => {
                let issuer = self.subjects.entry(issuer.unwrap_or_default());
                vacant(issuer.or_default().entry(subject), holder)
            }
        }
    }

    /// Says that some were left out because of a mistake, so that nobody finds fault with what is
    /// missing: the configuration is refused for that mistake.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// The consumer of this name. No caller that a filter knows by itself may have it: whatever goes
    /// by `consumer` would take one for the other.
    pub fn get(&self, name: &str) -> Option<&Holder> {
        self.names.get(name)
    }

    /// Who holds the API key with this SHA-256.
    pub fn with_key(&self, digest: &Digest) -> Option<&Holder> {
        self.keys.get(digest)
    }

    /// Whether any consumer holds an API key, or was to hold one.
    pub fn have_keys(&self) -> bool {
        self.cut || !self.keys.is_empty()
    }

    /// Whether any consumer has a password, or was to have one.
    pub fn have_users(&self) -> bool {
        self.cut || !self.users.is_empty()
    }

    /// The password of a user, and who that is.
    pub fn with_user(&self, name: &str) -> Option<&(Password, Holder)> {
        self.users.get(name)
    }

    /// All users with their passwords, in a list that stays the same.
    pub fn users(&self) -> &indexmap::map::Slice<Box<str>, (Password, Holder)> {
        self.users.as_slice()
    }

    /// Whether the tokens of this issuer say something of any consumer, or were to.
    pub fn have_subjects(&self, issuer: Option<&str>) -> bool {
        self.cut || self.subjects.contains_key(issuer.unwrap_or(""))
    }

    /// The issuers whose tokens say something of consumers.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.subjects.keys().map(|issuer| &**issuer)
    }

    /// Of whom the tokens of this issuer say this.
    pub fn with_subject(&self, issuer: Option<&str>, subject: &str) -> Option<&Holder> {
        self.subjects.get(issuer.unwrap_or(""))?.get(subject)
    }
}

fn vacant<K>(
    entry: std::collections::hash_map::Entry<'_, K, Holder>,
    holder: Holder,
) -> Result<(), Holder> {
    match entry {
        std::collections::hash_map::Entry::Occupied(taken) => Err(taken.get().clone()),
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(holder);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;

    fn holder(name: &str, line: u32) -> Holder {
        Holder {
            consumer: Arc::new(Consumer {
                name: name.into(),
                groups: Arc::from(["staff".into()]),
                plan: Some("gold".into()),
            }),
            place: Place {
                file: "c.yaml".into(),
                line,
                column: 1,
                width: 1,
            },
        }
    }

    fn subject(issuer: Option<&str>, subject: &str) -> Credential {
        Credential::Subject {
            issuer: issuer.map(Into::into),
            subject: subject.into(),
        }
    }

    #[test]
    fn finds_each_by_what_it_shows() {
        let mut all = Consumers::default();
        let ann = holder("ann", 1);
        all.add(ann.clone());
        let key = Digest::from([1; 32]);
        let password = Password::Plain(Digest::from([2; 32]));
        for credential in [
            Credential::Key(key),
            Credential::User("anna".into(), password),
            subject(Some("https://a.example"), "7"),
            subject(None, "8"),
        ] {
            assert!(all.give(credential, ann.clone()).is_ok());
        }
        let name = |holder: Option<&Holder>| holder.map(|it| it.consumer.name.to_string());
        let ann = Some("ann".to_owned());
        assert_eq!(name(all.with_key(&key)), ann);
        assert_eq!(name(all.with_user("anna").map(|(_, holder)| holder)), ann);
        assert_eq!(name(all.with_subject(Some("https://a.example"), "7")), ann);
        assert_eq!(name(all.with_subject(None, "8")), ann);
        assert_eq!(name(all.get("ann")), ann);
        assert_eq!(name(all.get("anna")), None);
        assert!(all.have_subjects(Some("https://a.example")) && all.have_subjects(None));
        assert!(!all.have_subjects(Some("https://a.example/")));
        // What one issuer says of somebody, another one says of somebody else.
        assert_eq!(name(all.with_subject(Some("https://b.example"), "7")), None);
        assert_eq!(name(all.with_subject(None, "7")), None);
        assert_eq!(name(all.with_key(&Digest::from([2; 32]))), None);
        assert!(all.with_user("ann").is_none());
    }

    #[test]
    fn a_credential_has_one_holder() {
        let mut all = Consumers::default();
        let key = Digest::from([1; 32]);
        assert!(all.give(Credential::Key(key), holder("ann", 1)).is_ok());
        let first = all
            .give(Credential::Key(key), holder("bob", 2))
            .unwrap_err();
        assert_eq!((&*first.consumer.name, first.place.line), ("ann", 1));
        assert_eq!(&*all.with_key(&key).unwrap().consumer.name, "ann");
    }

    fn many(count: u32) -> Consumers {
        let mut all = Consumers::default();
        for number in 0..count {
            let holder = holder(&number.to_string(), number);
            all.add(holder.clone());
            for credential in [
                Credential::Key(digest(number)),
                Credential::User(number.to_string().into(), Password::Plain(digest(number))),
                subject(Some("https://a.example"), &number.to_string()),
            ] {
                assert!(all.give(credential, holder.clone()).is_ok());
            }
        }
        all
    }

    fn digest(number: u32) -> Digest {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Digest::from(bytes)
    }

    /// Whom these numbers find, by each way in which a caller may show who it is, and how many seconds that took.
    fn looked_up(all: &Consumers, numbers: &[u32]) -> (Vec<Option<u32>>, f64) {
        let numbers: Vec<_> = (numbers.iter())
            .map(|number| (digest(*number), number.to_string()))
            .collect();
        let start = Instant::now();
        let mut found = Vec::new();
        for (digest, name) in numbers.iter().cycle().take(10_000) {
            let ways = [
                all.with_key(digest),
                all.with_user(name).map(|(_, holder)| holder),
                all.with_subject(Some("https://a.example"), name),
                all.get(name),
            ];
            found.push(black_box(ways));
        }
        let seconds = start.elapsed().as_secs_f64();
        found.truncate(numbers.len());
        let line = |holder: Option<&Holder>| holder.map(|holder| holder.place.line);
        let each = found.into_iter().map(|ways| {
            let lines = ways.map(line);
            assert!(lines.iter().all(|one| *one == lines[0]), "{lines:?}");
            lines[0]
        });
        (each.collect(), seconds)
    }

    #[test]
    fn a_hundred_thousand_are_found_as_fast_as_ten_wherever_they_stand() {
        let (few, many) = (many(10), many(100_000));
        // The least of some rounds: what else the machine does is no part of it.
        let least = |all: &Consumers, numbers: &[u32], there: bool| {
            let rounds = (0..5).map(|_| {
                let (found, seconds) = looked_up(all, numbers);
                let expected = numbers.iter().map(|number| there.then_some(*number));
                assert!(found.into_iter().eq(expected), "{numbers:?}");
                seconds
            });
            rounds.fold(f64::MAX, f64::min)
        };
        let ten: Vec<u32> = (0..10).collect();
        let usual = least(&few, &ten, true);
        let spread: Vec<u32> = (0..1000).map(|number| number * 100 + 99).collect();
        for (numbers, there) in [
            (&[0][..], true),
            (&[50_000], true),
            (&[99_999], true),
            (&[100_000], false),
            (&[u32::MAX], false),
            (&spread, true),
        ] {
            // One after the other, they would take thousands of times as long.
            let ratio = least(&many, numbers, there) / usual;
            assert!(ratio < 100.0, "{numbers:?}: {ratio}");
        }
    }

    #[test]
    fn becomes_an_identity() {
        let identity = holder("ann", 1).identity("api_key");
        assert_eq!((&*identity.name, identity.by), ("ann", "api_key"));
        assert_eq!(&*identity.groups, &["staff".into()]);
        assert_eq!(identity.consumer.unwrap().plan.as_deref(), Some("gold"));
    }
}
