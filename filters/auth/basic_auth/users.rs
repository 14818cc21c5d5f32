//! The users that may come in.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wiregate_sdk::consumers::{Consumers, Holder, Password};
use wiregate_sdk::types::{Hidden, Secret};
use wiregate_sdk::{Consumer, Deserialize, Identity, Invalid, JsonSchema};

use super::password;
use crate::auth::challenge::{name_problem, taken};

/// A user, with either `password_hash` or `password`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct User {
    /// The user's name, without a colon.
    name: String,
    /// The password's hash: argon2id in the PHC format, or bcrypt.
    #[serde(default)]
    password_hash: Option<Hidden<Box<str>>>,
    /// The password itself, as a reference.
    #[serde(default)]
    password: Option<Secret>,
    /// The groups that the user is in.
    #[serde(default)]
    groups: Vec<Box<str>>,
}

/// A user that may come in.
pub(super) struct Known {
    pub(super) identity: Arc<Identity>,
    pub(super) password: Password,
}

impl Known {
    /// A consumer's user.
    fn of(name: &str, password: &Password, holder: &Holder) -> Self {
        Self {
            identity: Arc::new(Identity {
                name: name.into(),
                ..holder.identity("basic_auth")
            }),
            password: password.clone(),
        }
    }
}

/// The users that may come in; at least one.
pub(super) struct Users {
    known: Vec<Arc<Known>>,
    by_name: HashMap<Arc<str>, usize>,
    /// All that the configuration has.
    consumers: Arc<Consumers>,
    /// Whether they are let in as well.
    lets_consumers_in: bool,
    /// What picks a user for an unknown name. Known to nobody who does not know the first users'
    /// passwords, and the same in all filters and gateways that have the same users.
    seed: [u8; 32],
}

/// The passwords of so many users make the seed.
const SEEDING: usize = 16;

/// Beyond it, a file is no list of users.
const MOST_FILE_BYTES: u64 = 16 << 20;

impl Users {
    pub(super) fn new(
        users: Vec<User>,
        htpasswd: Option<&Path>,
        consumers: Arc<Consumers>,
        lets_consumers_in: bool,
    ) -> Result<Self, Invalid> {
        let mut all = Self {
            known: Vec::new(),
            by_name: HashMap::new(),
            consumers,
            lets_consumers_in,
            seed: [0; 32],
        };
        let have_users = all.let_in().is_some_and(Consumers::have_users);
        if users.is_empty() && htpasswd.is_none() && !have_users {
            return Err(Invalid::new(
                "expected `users`, `htpasswd`, or `consumers:` in the configuration with a `basic_auth`",
            ));
        }
        let mut invalid = Invalid::default();
        for (position, user) in users.into_iter().enumerate() {
            for why in all.add_user(user) {
                invalid.and(why.within(&format!("users[{position}]")));
            }
        }
        if let Some(path) = htpasswd {
            for why in all.add_file(path) {
                invalid.and(Invalid::at("htpasswd", why));
            }
        }
        invalid.into_result()?;
        all.seed = all.seed();
        Ok(all)
    }

    /// The consumers, where they are let in.
    fn let_in(&self) -> Option<&Consumers> {
        self.lets_consumers_in.then_some(&*self.consumers)
    }

    fn seed(&self) -> [u8; 32] {
        let own = self.known.iter().map(|known| &known.password);
        let consumers = self.let_in().into_iter().flat_map(Consumers::users);
        let all = own.chain(consumers.map(|(_, (password, _))| password));
        let mut digest = Sha256::new();
        for password in all.take(SEEDING) {
            let kept = password::kept(password);
            digest.update(kept.len().to_le_bytes());
            digest.update(kept);
        }
        digest.finalize().into()
    }

    /// The user of this name and `true`; or, where there is none, another one and `false`. Of one
    /// unknown name it is always the same one, and each is as likely, so that the time that it
    /// takes to verify a password does not tell who is known.
    pub(super) fn find(&self, name: &str) -> (Arc<Known>, bool) {
        if let Some(position) = self.by_name.get(name) {
            return (self.known[*position].clone(), true);
        }
        if let Some((password, holder)) = self.let_in().and_then(|all| all.with_user(name)) {
            return (Arc::new(Known::of(name, password, holder)), true);
        }
        let position = self.pick(name);
        let known = self.known.get(position).cloned().unwrap_or_else(|| {
            let (name, (password, holder)) = self
                .let_in()
                .and_then(|all| all.users().get_index(position - self.known.len()))
                .expect("there are as many");
            Arc::new(Known::of(name, password, holder))
        });
        (known, false)
    }

    /// The position of the user that stands for an unknown name.
    fn pick(&self, name: &str) -> usize {
        let users = self.known.len() + self.let_in().map_or(0, |all| all.users().len());
        let digest = Sha256::new_with_prefix(self.seed).chain_update(name);
        let digest: [u8; 32] = digest.finalize().into();
        let number = digest.first_chunk().expect("it is longer");
        let position = u64::from_le_bytes(*number) % users as u64;
        usize::try_from(position).expect("less than a length")
    }

    fn add_user(&mut self, user: User) -> Vec<Invalid> {
        let mut problems = Vec::new();
        let password = match (&user.password_hash, &user.password) {
            (Some(hash), None) => password::hash(hash)
                .map_err(|why| problems.push(Invalid::at("password_hash", why)))
                .ok(),
            (None, Some(plain)) => password::plain(plain.expose())
                .map_err(|why| problems.push(Invalid::at("password", why)))
                .ok(),
            _ => {
                let why = "expected either `password_hash` or `password`";
                problems.push(Invalid::new(why));
                None
            }
        };
        if let Err(why) = self.add(&user.name, password, user.groups) {
            problems.push(why.within("name"));
        }
        problems
    }

    fn add_file(&mut self, path: &Path) -> Vec<String> {
        let text = match read(path) {
            Ok(text) => text,
            Err(why) => return vec![why],
        };
        let mut problems = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(why) = self.add_line(line) {
                let why = why.to_string();
                problems.push(format!("{}:{}: {why}", path.display(), number + 1));
            }
        }
        if self.known.is_empty() && problems.is_empty() {
            problems.push(format!("expected users, found none in {}", path.display()));
        }
        problems
    }

    fn add_line(&mut self, line: &str) -> Result<(), Invalid> {
        let (name, hash) = (line.split_once(':')).ok_or(Invalid::new("expected `name:hash`"))?;
        if !hash.starts_with("$2") {
            let why = "expected a bcrypt hash, as `htpasswd -B` writes it";
            return Err(Invalid::new(why));
        }
        let password = password::hash(hash).map_err(Invalid::new)?;
        self.add(name, Some(password), Vec::new())
    }

    /// Adds a user, unless the password is one that has been refused already.
    fn add(
        &mut self,
        name: &str,
        password: Option<Password>,
        groups: Vec<Box<str>>,
    ) -> Result<(), Invalid> {
        if let Some(why) = name_problem(name) {
            return Err(Invalid::new(why));
        }
        if name.contains(':') {
            let why = format!("expected a name without a colon, found `{name}`");
            return Err(Invalid::new(why));
        }
        if let Some((_, holder)) = self.let_in().and_then(|all| all.with_user(name)) {
            return Err(taken(holder, "the consumer's user"));
        }
        if let Some(holder) = self.consumers.get(name) {
            return Err(taken(holder, "the consumer"));
        }
        let name: Arc<str> = name.into();
        if self
            .by_name
            .insert(name.clone(), self.known.len())
            .is_some()
        {
            let why = format!("expected a name of its own, found `{name}` again");
            return Err(Invalid::new(why));
        }
        if let Some(password) = password {
            let groups: Arc<[Box<str>]> = groups.into();
            let consumer = Consumer {
                name: name.clone(),
                groups: groups.clone(),
                plan: None,
            };
            self.known.push(Arc::new(Known {
                identity: Arc::new(Identity {
                    name,
                    groups,
                    consumer: Some(Arc::new(consumer)),
                    by: "basic_auth",
                    ..Identity::default()
                }),
                password,
            }));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(format!("expected an absolute path, found `{shown}`"));
    }
    let cannot = |why: std::io::Error| format!("cannot read {shown}: {why}");
    let file = std::fs::metadata(path).map_err(cannot)?;
    if !file.is_file() || file.len() > MOST_FILE_BYTES {
        return Err(format!("expected a file of at most 16 MiB, found {shown}"));
    }
    std::fs::read_to_string(path).map_err(cannot)
}
