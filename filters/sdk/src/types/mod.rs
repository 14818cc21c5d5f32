//! Types for options: parsed once, impossible to get wrong afterwards.
//!
//! Each reads itself from the text that a user writes, and describes itself in the JSON Schema.

mod byte_rate;
mod cidr;
mod cidr_set;
mod digest;
mod field_name;
mod hidden;
mod media_range;
mod media_type;
pub(crate) mod one_or_many;
mod pairs;
mod pattern;
mod percent;
mod period;
mod rate;
mod scalar;
mod secret;
mod size;
mod status;

pub use byte_rate::ByteRate;
pub use cidr::Cidr;
pub use cidr_set::CidrSet;
pub use digest::Digest;
pub use field_name::FieldName;
pub use hidden::Hidden;
pub use media_range::MediaRange;
pub use media_type::MediaType;
pub use one_or_many::OneOrMany;
pub use pairs::Pairs;
pub use pattern::{FullPattern, Pattern};
pub use percent::Percent;
pub use period::Period;
pub use rate::Rate;
pub use secret::Secret;
pub use size::Size;
pub use status::Status;

pub(crate) use scalar::found;
