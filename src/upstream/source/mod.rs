//! Where endpoints come from: what is written, what DNS says, and what is in files.

mod answers;
mod discovery;
mod dns;
mod file;
mod merge;
mod roster;
mod sockets;

pub use answers::{Answer, Answers, Hosts, Question, Service};
pub use discovery::Discovery;
pub use dns::{Dns, Failure};
pub use file::EndpointFile;
pub use roster::{Listed, Rank, Roster, Source};

/// Endpoints of one upstream, at most.
pub const MOST_ENDPOINTS: usize = 500;
/// The weight of one endpoint, at most.
pub const MOST_WEIGHT: u32 = 100;
