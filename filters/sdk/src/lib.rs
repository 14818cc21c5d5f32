//! The contract between Wiregate and its filters.
//!
//! A filter is one type that implements [`Filter`]. It sees a request going in and the response
//! coming out through small views ([`Request`], [`Attempt`], [`Response`], [`Chunk`],
//! [`Outcome`]); it never sees the proxy underneath. Whatever it needs from its configuration is
//! settled once, in [`Filter::build`].

pub mod body;
pub mod build;
pub mod cache;
pub mod chain;
pub mod clock;
pub mod consumers;
pub mod cookies;
pub mod exchange;
pub mod expression;
pub mod fetches;
mod files;
pub mod filter;
pub mod form;
pub mod headers;
pub mod host;
mod kept;
pub mod mode;
pub mod path;
mod portable;
pub mod preflight;
pub mod registry;
pub mod reply;
pub mod template;
pub mod testing;
pub mod types;
pub mod value;
pub mod views;

pub use body::{Abort, Chunk};
pub use build::{Build, Invalid, Portable};
pub use chain::{Chain, Link, Slot};
pub use clock::{Clock, Now};
pub use consumers::Consumers;
pub use exchange::{Certificate, Client, Consumer, Exchange, Identity, Tls};
pub use expression::{Condition, Expression, Facts};
pub use filter::{Filter, Flow};
pub use headers::Headers;
pub use host::{host_in, host_of};
pub use mode::Mode;
pub use path::path_key;
pub use registry::Registry;
pub use reply::Reply;
pub use template::Template;
pub use views::{Attempt, Origin, Outcome, Request, RequestHead, Response, ResponseHead};

pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use schemars;
pub use schemars::JsonSchema;
pub use serde;
pub use serde::Deserialize;
