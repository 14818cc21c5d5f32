//! Filters that establish who is calling.

pub mod api_key;
pub mod basic_auth;
mod challenge;
pub mod jwt;
mod source;

pub use api_key::digest_of_secret as key_digest;
pub use basic_auth::password;
pub use challenge::name_problem;

/// Credentials are for the gateway, so `strip` is on.
fn strips() -> bool {
    true
}
