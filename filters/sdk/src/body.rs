//! Pieces of bodies.

use bytes::Bytes;

/// One piece of a body that a filter reads or rewrites in passing.
///
/// Replace `data` to rewrite it; leave it empty to hold the piece back. Whatever a filter held
/// back must leave with the piece that is `last`, which may itself arrive empty.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The bytes of this piece.
    pub data: Bytes,
    /// Whether the body ends with this piece.
    pub last: bool,
}

/// Ends an exchange whose response head has already left: the connection (HTTP/1.1) or the
/// stream (HTTP/2) is cut, so that the client cannot take the body for a whole one.
#[derive(Debug)]
pub struct Abort {
    /// One word on why, for logs and metrics, e.g. `response_too_large`.
    pub reason: &'static str,
}
