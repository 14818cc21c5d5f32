//! Filters that change what passes, or answer in its place.

mod bounded;
mod field;
mod host;
mod ranges;
mod sides;
mod url;
mod workers;

pub mod compress;
pub mod headers;
pub mod json;
pub mod redirect;
pub mod request_id;
pub mod respond;
pub mod rewrite;
pub mod template;
