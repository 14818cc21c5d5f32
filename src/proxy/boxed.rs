//! Futures that are made where they stay.

use std::pin::Pin;

/// A future in memory of its own. It is made there: a large one is not copied.
#[inline]
pub(super) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}
