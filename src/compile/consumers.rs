//! The callers that a configuration knows.

use std::sync::Arc;

use indexmap::IndexMap;
use wiregate_filters::auth::{key_digest, name_problem, password};
use wiregate_sdk::consumers::{Consumers, Credential, Holder, Password};
use wiregate_sdk::value::{At, Place, Problem};

use crate::config::model::consumer::{Consumer, Credentials, Keys, User};

/// All of them, each with its credentials; `cut` where some were left out already.
pub(super) fn build(
    written: IndexMap<String, At<Consumer>>,
    cut: bool,
    problems: &mut Vec<Problem>,
) -> Arc<Consumers> {
    let before = problems.len();
    let mut builder = Builder {
        consumers: Consumers::default(),
        problems,
    };
    for (name, At { place, value }) in written {
        builder.add(&name, &place, value);
    }
    let mut consumers = builder.consumers;
    if cut || problems.len() > before {
        consumers.cut();
    }
    Arc::new(consumers)
}

struct Builder<'a> {
    consumers: Consumers,
    problems: &'a mut Vec<Problem>,
}

impl Builder<'_> {
    fn add(&mut self, name: &str, place: &Place, written: Consumer) {
        if let Some(why) = name_problem(name) {
            self.say(place, why);
        }
        let consumer = Arc::new(wiregate_sdk::Consumer {
            name: name.into(),
            groups: written.groups.into(),
            plan: written.plan.map(Into::into),
        });
        self.consumers.add(Holder {
            consumer: consumer.clone(),
            place: place.clone(),
        });
        self.give_all(&consumer, written.credentials);
    }

    fn give_all(&mut self, consumer: &Arc<wiregate_sdk::Consumer>, credentials: Credentials) {
        let mut give = |credential, place: &Place| {
            let holder = Holder {
                consumer: consumer.clone(),
                place: place.clone(),
            };
            if let Err(other) = self.consumers.give(credential, holder) {
                self.problems.push(taken(place, &other));
            }
        };
        let mut wrong = Vec::new();
        if let Some(keys) = &credentials.api_key {
            wrong.extend(digests(keys, |digest, place| {
                give(Credential::Key(digest), place);
            }));
        }
        for user in credentials.basic_auth.iter().flatten() {
            match password_of(user) {
                Err(problem) => wrong.push(problem),
                Ok(password) => {
                    let name = user.value.name.as_deref().unwrap_or(&consumer.name);
                    match user_problem(name) {
                        Some(why) => wrong.push(Problem::new(user.place.clone(), why)),
                        None => give(Credential::User(name.into(), password), &user.place),
                    }
                }
            }
        }
        for At { place, value } in credentials.jwt.into_iter().flatten() {
            let (issuer, subject) = (value.issuer, value.subject);
            give(Credential::Subject { issuer, subject }, &place);
        }
        self.problems.append(&mut wrong);
    }

    fn say(&mut self, place: &Place, why: String) {
        self.problems.push(Problem::new(place.clone(), why));
    }
}

/// Calls with the digest of each key; says which are none.
fn digests(
    keys: &At<Keys>,
    mut each: impl FnMut(wiregate_sdk::types::Digest, &Place),
) -> Vec<Problem> {
    if keys.value.key.is_none() && keys.value.sha256.is_none() {
        let why = "expected `key`, `sha256` or both";
        return vec![Problem::new(keys.place.clone(), why)];
    }
    let mut wrong = Vec::new();
    for key in keys.value.key.iter().flatten() {
        match key_digest(&key.value) {
            Ok(digest) => each(digest, &key.place),
            Err(why) => wrong.push(Problem::new(key.place.clone(), why)),
        }
    }
    for digest in keys.value.sha256.iter().flatten() {
        each(*digest.value, &digest.place);
    }
    wrong
}

fn password_of(user: &At<User>) -> Result<Password, Problem> {
    let (place, read) = match (&user.value.password_hash, &user.value.password) {
        (Some(hash), None) => (&hash.place, password::hash(&hash.value)),
        (None, Some(plain)) => (&plain.place, password::plain(plain.value.expose())),
        _ => {
            let why = "expected either `password_hash` or `password`";
            return Err(Problem::new(user.place.clone(), why));
        }
    };
    read.map_err(|why| Problem::new(place.clone(), why))
}

fn user_problem(name: &str) -> Option<String> {
    let colon = || format!("expected a name without a colon, found `{name}`");
    name_problem(name).or_else(|| name.contains(':').then(colon))
}

fn taken(place: &Place, other: &Holder) -> Problem {
    let name = &other.consumer.name;
    let why = format!("expected a credential of its own, found that of consumer `{name}`");
    Problem::new(place.clone(), why).related(other.place.clone(), "first here")
}
