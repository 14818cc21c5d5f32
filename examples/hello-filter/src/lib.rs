//! Three filters of one's own, each in its file.
//!
//! `docs/writing-a-filter.md` walks through them.

pub mod api_version;
pub mod daily_quota;
pub mod redact;
