//! Values of ours that take part in an evaluation.

use std::any::Any;

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use regex::Regex;

use super::fact::Fact;
use super::moment::Moment;
use crate::types::CidrSet;

/// What a name in a compiled expression stands for.
#[derive(Debug)]
pub(super) enum Slot {
    Fact(Fact),
    Pattern(Compiled),
    Networks(Networks),
    Moment(Moment),
}

/// A pattern, compiled at load.
#[derive(Clone, Debug)]
pub(super) struct Compiled(pub(super) Regex);

/// Networks, read at load.
#[derive(Clone, Debug)]
pub(super) struct Networks(pub(super) CidrSet);

pub(super) static PATTERN: Type = Type::new_unspecified_type("pattern");
pub(super) static NETWORKS: Type = Type::new_unspecified_type("networks");

macro_rules! value {
    ($type:ident, $cel:ident) => {
        impl Val for $type {
            fn get_type(&self) -> &Type {
                &$cel
            }

            fn cel_type() -> &'static Type {
                &$cel
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $type {}
    };
}

value!(Compiled, PATTERN);
value!(Networks, NETWORKS);

/// A condition as CEL writes it.
pub(super) fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
