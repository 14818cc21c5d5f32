//! What a stored response remembers of its terms, as bits.

use super::response::Terms;

/// Not to be used without validation.
pub const NO_CACHE: u32 = 1;
/// Not to be used stale because a request would have it.
pub const STRICT: u32 = 1 << 1;
/// Not to be validated while it is fresh because a request prefers a younger one.
pub const IMMUTABLE: u32 = 1 << 2;
/// It was validated, and its `Last-Modified` was a weak validator before: the `Date` is that of the validation by
/// now, which does not tell when the body was made.
pub const WEAK_DATE: u32 = 1 << 3;

/// The bits for these terms.
pub fn of(terms: &Terms) -> u32 {
    let bit = |set: bool, mark: u32| if set { mark } else { 0 };
    bit(terms.no_cache, NO_CACHE) | bit(terms.is_strict(), STRICT) | bit(terms.immutable, IMMUTABLE)
}
