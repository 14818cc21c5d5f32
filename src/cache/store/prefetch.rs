//! Memory that will be needed in a moment, and has not been for long: the processor is asked for it ahead, so that nothing
//! waits for it then.
//!
//! A store is larger than the processor's caches, and what an eviction takes out of it was touched thousands of requests
//! before. Each line of that is waited for as long as some hundred instructions take.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// So many bytes come into the processor's caches together.
const LINE: usize = 64;
/// More than this the processor fetches ahead by itself, once it is being read or written.
const MOST: usize = 4 * 1024;

/// Something will be read. Its memory is not touched by this.
pub(super) fn will_read<T: ?Sized>(what: &T) {
    fetch(std::ptr::from_ref(what).cast(), size_of_val(what));
}

/// Something is about to be written.
pub(in crate::cache) fn will_write(room: &[MaybeUninit<u8>]) {
    fetch(room.as_ptr().cast(), room.len());
}

/// Where a table is that is behind a lock, for those who do not hold that. By the time that they ask for a place in it, it may
/// be somewhere else: then they ask in vain.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    first: AtomicUsize,
    last: AtomicUsize,
}

impl Whereabouts {
    /// The table, of as many words as a power of two, is here.
    pub(super) fn tell<T>(&self, table: &[T]) {
        const { assert!(size_of::<T>() == size_of::<u64>()) }
        self.first.store(table.as_ptr().addr(), Relaxed);
        self.last.store(table.len() - 1, Relaxed);
    }

    /// Its word with this number, counted round and round, will be read.
    pub(super) fn will_read(&self, number: usize) {
        let number = number & self.last.load(Relaxed);
        let bytes = number.wrapping_mul(size_of::<u64>());
        let address = self.first.load(Relaxed).wrapping_add(bytes);
        fetch(std::ptr::without_provenance(address), 1);
    }
}

#[cfg(target_arch = "x86_64")]
fn fetch(from: *const i8, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    let mut at = 0;
    while at < bytes.min(MOST) {
        // SAFETY: it reads and writes nothing, and an address that is none is passed over.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at)) }
        at += LINE;
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch(_: *const i8, _: usize) {}
