//! The ids of traces and spans.

use std::fmt;

use serde::{Serialize, Serializer};

/// The id of a trace; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// An id of these bits; nothing where they are all zero.
    pub fn new(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// A random one.
    pub fn random(mut random: impl FnMut() -> u128) -> Self {
        loop {
            if let Some(id) = Self::new(random()) {
                return id;
            }
        }
    }

    /// The second half of its bits, which are those that are random for sure.
    pub fn low(self) -> u64 {
        self.0 as u64
    }

    /// Its bytes, in network order.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// An id of these bits; nothing where they are all zero.
    pub fn new(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// A random one.
    pub fn random(mut random: impl FnMut() -> u128) -> Self {
        loop {
            if let Some(id) = Self::new(random() as u64) {
                return id;
            }
        }
    }

    /// Its bytes, in network order.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
