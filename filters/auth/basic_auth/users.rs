//! The users that may come in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use wiregate_sdk::types::Secret;
use wiregate_sdk::{Deserialize, Identity, Invalid, JsonSchema};

use super::password::Password;
use crate::auth::challenge::name_problem;

/// A user, with either `password_hash` or `password`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct User {
    /// The user's name, without a colon.
    name: String,
    /// The password's hash: argon2id in the PHC format, or bcrypt.
    #[serde(default)]
    password_hash: Option<Box<str>>,
    /// The password itself, as a reference.
    #[serde(default)]
    password: Option<Secret>,
    /// The groups that the user is in.
    #[serde(default)]
    groups: Vec<Box<str>>,
}

/// A user that may come in.
pub(super) struct Known {
    pub(super) identity: Identity,
    pub(super) password: Password,
    /// What becomes another when the password does.
    pub(super) fingerprint: [u8; 32],
}

/// The users that may come in; at least one.
pub(super) struct Users {
    known: Vec<Arc<Known>>,
    by_name: HashMap<Arc<str>, usize>,
    seed: RandomState,
}

/// Beyond it, a file is no list of users.
const MOST_FILE_BYTES: u64 = 16 << 20;

impl Users {
    pub(super) fn new(users: Vec<User>, htpasswd: Option<&Path>) -> Result<Self, Invalid> {
        let mut all = Self {
            known: Vec::new(),
            by_name: HashMap::new(),
            seed: RandomState::new(),
        };
        if users.is_empty() && htpasswd.is_none() {
            return Err(Invalid::new("expected `users`, `htpasswd` or both"));
        }
        let mut invalid = Invalid::default();
        for (position, user) in users.into_iter().enumerate() {
            for (place, why) in all.add_user(user) {
                invalid.and(Invalid::at(format!("users[{position}]{place}"), why));
            }
        }
        if let Some(path) = htpasswd {
            for why in all.add_file(path) {
                invalid.and(Invalid::at("htpasswd", why));
            }
        }
        invalid.into_result()?;
        Ok(all)
    }

    /// The user of this name and `true`; or, where there is none, another one and `false`. Of one
    /// unknown name it is always the same one, and each is as likely, so that the time that it
    /// takes to verify a password does not tell who is known.
    pub(super) fn find(&self, name: &str) -> (&Arc<Known>, bool) {
        match self.by_name.get(name) {
            Some(position) => (&self.known[*position], true),
            None => {
                let users = self.known.len() as u64;
                let position = usize::try_from(self.seed.hash_one(name) % users);
                (&self.known[position.expect("less than a length")], false)
            }
        }
    }

    fn add_user(&mut self, user: User) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let password = match (&user.password_hash, &user.password) {
            (Some(hash), None) => Password::parse(hash)
                .map_err(|why| problems.push((".password_hash", why)))
                .ok(),
            (None, Some(password)) => plain(password.expose())
                .map_err(|why| problems.push((".password", why)))
                .ok(),
            _ => {
                problems.push(("", "expected either `password_hash` or `password`".into()));
                None
            }
        };
        if let Err(why) = self.add(&user.name, password, user.groups) {
            problems.push((".name", why));
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
                problems.push(format!("{}:{}: {why}", path.display(), number + 1));
            }
        }
        if self.known.is_empty() && problems.is_empty() {
            problems.push(format!("expected users, found none in {}", path.display()));
        }
        problems
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let (name, hash) = line.split_once(':').ok_or("expected `name:hash`")?;
        if !hash.starts_with("$2") {
            return Err("expected a bcrypt hash, as `htpasswd -B` writes it".into());
        }
        let password = Password::parse(hash)?;
        self.add(name, Some(password), Vec::new())
    }

    /// Adds a user, unless the password is one that has been refused already.
    fn add(
        &mut self,
        name: &str,
        password: Option<Password>,
        groups: Vec<Box<str>>,
    ) -> Result<(), String> {
        if let Some(why) = name_problem(name) {
            return Err(why);
        }
        if name.contains(':') {
            return Err(format!("expected a name without a colon, found `{name}`"));
        }
        let name: Arc<str> = name.into();
        if self
            .by_name
            .insert(name.clone(), self.known.len())
            .is_some()
        {
            return Err(format!("expected a name of its own, found `{name}` again"));
        }
        if let Some(password) = password {
            self.known.push(Arc::new(Known {
                identity: Identity {
                    name,
                    groups: groups.into(),
                    by: "basic_auth",
                    ..Identity::default()
                },
                fingerprint: password.fingerprint(),
                password,
            }));
        }
        Ok(())
    }
}

fn plain(password: &str) -> Result<Password, String> {
    if password.chars().any(|c| c.is_ascii_control()) {
        // Often a line break at the end of the file that it is read from.
        return Err("expected a password without control characters, found one in it".into());
    }
    Ok(Password::plain(password))
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
