//! How much a file may hold, so that a short one cannot stand for a long one.

use super::{Node, Value};

/// How long a text may be, in bytes. Its values may hold twice as much once its aliases are
/// expanded.
pub const MAX_BYTES: usize = 10 << 20;
/// How many values a file may have once its aliases are expanded.
pub const MAX_NODES: usize = 2_000_000;
/// How deep values may nest.
pub const MAX_DEPTH: usize = 64;

/// What the values of a file take, their aliases expanded.
#[derive(Default)]
pub(super) struct Budget(Size);

impl Budget {
    /// Takes a part of it; says why not where too little is left.
    pub(super) fn charge(&mut self, size: Size) -> Result<(), &'static str> {
        self.0.nodes += size.nodes;
        self.0.bytes += size.bytes;
        if self.0.nodes > MAX_NODES {
            return Err("expected at most 2,000,000 values in a file, found more");
        }
        if self.0.bytes > 2 * MAX_BYTES {
            return Err("expected at most 20 MiB of text in the values of a file, found more");
        }
        Ok(())
    }
}

/// How much of the budget a value takes.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    pub(super) depth: usize,
}

impl Size {
    /// One value with so much text, in bytes.
    pub(super) fn single(bytes: usize) -> Self {
        Self {
            nodes: 1,
            bytes,
            depth: 0,
        }
    }

    /// A value with all that is in it.
    pub(super) fn of(value: &Value) -> Self {
        let mut size = Self::single(0);
        match &value.node {
            Node::Null => {}
            Node::Scalar(scalar) => size.bytes = scalar.text.len(),
            Node::List(items) => items.iter().for_each(|item| size.hold(Self::of(item))),
            Node::Map(entries) => {
                for (key, value) in entries {
                    size.bytes += key.name.len();
                    size.hold(Self::of(value));
                }
            }
        }
        size
    }

    fn hold(&mut self, inner: Self) {
        self.nodes += inner.nodes;
        self.bytes += inner.bytes;
        self.depth = self.depth.max(inner.depth + 1);
    }
}
