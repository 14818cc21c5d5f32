//! One way to take a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a lock guards, also where a thread has panicked with it: nothing is left half done under a lock that is taken
/// like this.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
