//! Passwords in the forms that they are kept in.

use std::str::FromStr;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use bcrypt::HashParts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use wiregate_sdk::consumers::Password;

/// A password that is kept as a hash, which is checked here and read when one is verified.
///
/// # Errors
/// What is wrong with it; never shows it.
pub fn hash(hash: &str) -> Result<Password, String> {
    Hash::parse(hash).map(|_| Password::Hash(hash.into()))
}

/// A password that is written as a reference.
///
/// # Errors
/// That it has control characters: often a line break at the end of the file that it is read from.
pub fn plain(password: &str) -> Result<Password, String> {
    if password.chars().any(|c| c.is_ascii_control()) {
        return Err("expected a password without control characters, found one in it".into());
    }
    let digest: [u8; 32] = Sha256::digest(password).into();
    Ok(Password::Plain(digest.into()))
}

/// Whether to verify it takes so long that it must not hold up a worker.
pub(super) fn is_slow(password: &Password) -> bool {
    matches!(password, Password::Hash(_))
}

/// Whether this is the password.
pub(super) fn is(password: &Password, candidate: &[u8]) -> bool {
    match password {
        Password::Hash(hash) => Hash::parse(hash).expect("checked at load").is_of(candidate),
        Password::Plain(digest) => {
            let found = Sha256::digest(candidate);
            found.as_slice().ct_eq(digest.bytes()).into()
        }
    }
}

/// What becomes another when the password does.
pub(super) fn kept(password: &Password) -> &[u8] {
    match password {
        Password::Hash(hash) => hash.as_bytes(),
        Password::Plain(digest) => digest.bytes(),
    }
}

/// The most that a hash may ask for: KiB of memory, rounds, lanes.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_ROUNDS: u32 = 16;
const MOST_LANES: u32 = 16;
const MOST_COST: u32 = 16;
/// As much of a password as bcrypt takes in.
const BCRYPT_BYTES: usize = 72;

/// A hash, read.
enum Hash<'h> {
    Argon2(Box<PasswordHash>),
    Bcrypt(&'h str),
}

impl<'h> Hash<'h> {
    fn parse(hash: &'h str) -> Result<Self, String> {
        if hash.starts_with("$argon2id$") {
            Self::argon2(hash)
        } else if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|start| hash.starts_with(start))
        {
            Self::bcrypt(hash)
        } else {
            Err("expected a hash that begins with `$argon2id$`, `$2a$`, `$2b$` or `$2y$`".into())
        }
    }

    fn argon2(hash: &str) -> Result<Self, String> {
        let whole =
            PasswordHash::new(hash).map_err(|why| format!("expected an argon2id hash: {why}"))?;
        if whole.salt.is_none() || whole.hash.is_none() {
            return Err("expected an argon2id hash with its salt and output".into());
        }
        let params =
            Params::try_from(&whole).map_err(|why| format!("expected an argon2id hash: {why}"))?;
        if params.m_cost() > MOST_MEMORY
            || params.t_cost() > MOST_ROUNDS
            || params.p_cost() > MOST_LANES
        {
            return Err(format!(
                "expected at most m={MOST_MEMORY},t={MOST_ROUNDS},p={MOST_LANES}, found m={},t={},p={}",
                params.m_cost(),
                params.t_cost(),
                params.p_cost()
            ));
        }
        Ok(Self::Argon2(Box::new(whole)))
    }

    fn bcrypt(hash: &'h str) -> Result<Self, String> {
        let parts =
            HashParts::from_str(hash).map_err(|why| format!("expected a bcrypt hash: {why}"))?;
        match parts.get_cost() {
            4..=MOST_COST => Ok(Self::Bcrypt(hash)),
            cost => Err(format!("expected a cost of 4 to {MOST_COST}, found {cost}")),
        }
    }

    fn is_of(&self, candidate: &[u8]) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default()
                .verify_password(candidate, &**hash)
                .is_ok(),
            Self::Bcrypt(hash) => {
                // As much work for a password that is too long as for any other.
                let is_same = bcrypt::verify(candidate, hash).unwrap_or(false);
                is_same && candidate.len() <= BCRYPT_BYTES
            }
        }
    }
}
