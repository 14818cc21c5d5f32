//! The filters that come with Wiregate.
//!
//! [`all`] is the list. Adding a filter means adding its file and its line here.

pub mod auth;
pub mod cache;
pub mod security;
pub mod traffic;
pub mod transform;

use wiregate_sdk::Registry;

/// Every filter that comes with Wiregate.
#[must_use]
pub fn all() -> Registry {
    Registry::new()
        .add::<auth::api_key::ApiKey>()
        .add::<auth::basic_auth::BasicAuth>()
        .add::<auth::jwt::Jwt>()
        .add::<cache::http::Cache>()
        .add::<security::body_limit::BodyLimit>()
        .add::<security::cors::Cors>()
        .add::<security::ip::Ip>()
        .add::<traffic::rate_limit::RateLimit>()
        .add::<transform::compress::Compress>()
        .add::<transform::headers::Headers>()
        .add::<transform::json::Json>()
        .add::<transform::redirect::Redirect>()
        .add::<transform::request_id::RequestId>()
        .add::<transform::respond::Respond>()
        .add::<transform::rewrite::Rewrite>()
        .add::<transform::template::Template>()
}
