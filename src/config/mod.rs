//! The configuration as it is written: reading files, resolving references, reporting problems.

pub mod http2;
mod include;
mod merge;
pub mod model;
pub mod overload;
pub mod read;
pub mod reference;
pub mod report;
pub mod schema;
mod shape;

pub(crate) use read::read_regular;
pub use read::{Read, Sources, read_all};
pub use reference::Environment;
pub use report::{json, text};
