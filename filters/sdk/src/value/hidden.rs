//! What is written out in a configuration, and yet is not shown again.

use std::cell::RefCell;
use std::collections::HashSet;

use super::Place;

thread_local! {
    // Serde carries no more than values: where one stands that is not to be shown is laid down here.
    static NOTED: RefCell<Option<HashSet<Place>>> = const { RefCell::new(None) };
}

/// Notes where [`Hidden`](crate::types::Hidden) values are decoded on this thread, as long as it lives.
/// One at a time.
#[derive(Debug)]
pub struct Noted(());

impl Noted {
    /// Begins, with nothing noted.
    pub fn begin() -> Self {
        NOTED.set(Some(HashSet::new()));
        Self(())
    }

    /// The places that were noted so far.
    pub fn places(&self) -> HashSet<Place> {
        NOTED.with_borrow(|noted| noted.clone().unwrap_or_default())
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        NOTED.set(None);
    }
}

pub(super) fn note(place: &Place) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            noted.insert(place.clone());
        }
    });
}
