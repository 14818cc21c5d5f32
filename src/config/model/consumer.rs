//! What a configuration file says about the callers that it knows.

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::{Digest, Hidden, OneOrMany, Secret};
use wiregate_sdk::value::At;

/// A known caller.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The groups that it belongs to.
    #[serde(default)]
    pub groups: Vec<Box<str>>,
    /// The plan that says how much it may ask for.
    #[serde(default)]
    pub plan: Option<Box<str>>,
    /// What it shows, each for the filter of that name. No two consumers have the same.
    #[serde(default)]
    pub credentials: Credentials,
}

/// What a caller shows, each for the filter of that name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Keys for `api_key`.
    #[serde(default)]
    pub api_key: Option<At<Keys>>,
    /// Users for `basic_auth`.
    #[serde(default)]
    pub basic_auth: Option<OneOrMany<At<User>>>,
    /// What tokens say of it, for `jwt`.
    #[serde(default)]
    pub jwt: Option<OneOrMany<At<Subject>>>,
}

/// API keys of which each will do. At least one of `key` and `sha256` is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The key, 16 to 1024 visible ASCII characters, as a reference; or several.
    #[serde(default)]
    pub key: Option<OneOrMany<At<Secret>>>,
    /// The SHA-256 of the key in hex, in its place.
    #[serde(default)]
    pub sha256: Option<OneOrMany<At<Hidden<Digest>>>>,
}

/// A user, with either `password_hash` or `password`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user's name, without a colon; the consumer's when absent.
    #[serde(default)]
    pub name: Option<Box<str>>,
    /// The password's hash: argon2id in the PHC format, or bcrypt.
    #[serde(default)]
    pub password_hash: Option<At<Hidden<Box<str>>>>,
    /// The password itself, as a reference.
    #[serde(default)]
    pub password: Option<At<Secret>>,
}

/// What the tokens of an issuer say of a caller.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The `issuer` of the filter; when absent, that of filters that have none.
    #[serde(default)]
    pub issuer: Option<Box<str>>,
    /// The value of the claim that the filter takes for a `consumer`.
    pub subject: Box<str>,
}
