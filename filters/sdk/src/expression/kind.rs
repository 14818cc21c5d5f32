//! What sort of value an expression has, as far as it is known at load.

use std::fmt;

/// A sort of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Uint,
    Double,
    Bool,
    Bytes,
    List,
    Map,
    Time,
    Null,
    Type,
    /// Known only when it is evaluated, as with the elements of a list.
    Any,
}

impl Kind {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether a value of this sort can stand where one of the other is expected.
    pub(super) fn fits(self, expected: Self) -> bool {
        self == expected || self == Self::Any || expected == Self::Any
    }

    /// Whether values of the two sorts can be equal, or be compared.
    pub(super) fn compares(self, other: Self) -> bool {
        self.fits(other) || self.is_number() && other.is_number()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Int => "a number",
            Self::Uint => "an unsigned number",
            Self::Double => "a decimal number",
            Self::Bool => "a condition",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Time => "a time",
            Self::Null => "null",
            Self::Type => "a type",
            Self::Any => "any value",
        })
    }
}
