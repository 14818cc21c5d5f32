//! What came of a request in the cache.

/// What came of a request to a route with a cache, in one word for metrics and the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealt {
    /// A fresh stored response.
    Hit,
    /// A stale one.
    Stale,
    /// One that the upstream has found to be good.
    Revalidated,
    /// One that was fetched for this request.
    Miss,
    /// One that was fetched for another request.
    Collapsed,
    /// The request went to the upstream by itself.
    Pass,
}

impl Dealt {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Collapsed,
        Self::Pass,
    ];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
        }
    }
}
