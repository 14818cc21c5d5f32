//! Wiregate: a programmable API gateway, and the framework for building one.
//!
//! A gateway is a registry of filters and one line:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     wiregate::run(wiregate::filters::all())
//! }
//! ```
//!
//! A filter of one's own implements [`Filter`], and joins with `.add::<MyFilter>()`.

mod allocator;
mod descriptors;
mod lock;

pub mod admin;
pub mod cache;
pub mod cli;
pub mod compile;
pub mod config;
pub mod echo;
pub mod gateway;
pub mod listen;
pub mod observe;
pub mod overload;
pub mod proxy;
pub mod reload;
pub mod router;
pub mod systemd;
pub mod upgrade;
pub mod upstream;

pub use cli::run;
pub use wiregate_filters as filters;
pub use wiregate_sdk::*;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;
