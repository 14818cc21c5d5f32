//! Filters that establish who is calling.

pub mod api_key;
pub mod basic_auth;
mod challenge;

/// Credentials are for the gateway, so `strip` is on.
fn strips() -> bool {
    true
}
