//! The allocator: mimalloc, which is told an alignment only where it would not keep it by itself.
//!
//! The crate `mimalloc` names one each time, and mimalloc then takes a longer way: about 25
//! instructions more for each of the hundred allocations of a request.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// The alignment that every block of this size and more has (`MI_MAX_ALIGN_SIZE`).
const NATURAL: usize = 16;

unsafe extern "C" {
    /// mimalloc's: gives what this thread has freed back to the system; by force, all of it.
    fn mi_collect(force: bool);
}

/// Gives memory that this thread has freed back to the system.
pub(crate) fn give_back() {
    // SAFETY: it may be called at any time, by any thread, also by one that has allocated nothing.
    unsafe { mi_collect(true) }
}

/// The allocator of the whole process.
pub(crate) struct Allocator;

/// Whether mimalloc keeps the alignment by itself: blocks of 16 bytes and more stand at multiples
/// of 16, and smaller ones at multiples of 8.
fn is_natural(layout: Layout) -> bool {
    layout.align() <= NATURAL && layout.align() <= layout.size()
}

// SAFETY: what mimalloc gives out is as large as was asked for, aligned as `is_natural` says or as
// it was told, and belongs to nobody else until it is freed; on failure it is null. It does not
// unwind. A block may be freed and resized by either way, however it was made.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_natural(layout) {
            true => unsafe { mi_malloc(layout.size()).cast() },
            false => unsafe { mi_malloc_aligned(layout.size(), layout.align()).cast() },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_natural(layout) {
            true => unsafe { mi_zalloc(layout.size()).cast() },
            false => unsafe { mi_zalloc_aligned(layout.size(), layout.align()).cast() },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match is_natural(layout) && layout.align() <= size {
            true => unsafe { mi_realloc(block.cast(), size).cast() },
            false => unsafe { mi_realloc_aligned(block.cast(), size, layout.align()).cast() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_and_keeps_its_bytes() {
        for align in [1, 2, 4, 8, 16, 32, 64, 128, 4096] {
            for size in [
                1, 3, 7, 8, 9, 15, 16, 17, 24, 48, 100, 1000, 1024, 5000, 70_000,
            ] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let aligned = |block: *mut u8| (block as usize).is_multiple_of(align);
                // SAFETY: no layout is of size 0, and each block is used within its size.
                unsafe {
                    let block = Allocator.alloc_zeroed(layout);
                    assert!(aligned(block), "{layout:?}");
                    assert_eq!(*block.add(size - 1), 0);
                    block.add(size - 1).write(7);
                    let block = Allocator.realloc(block, layout, size + 40);
                    assert!(aligned(block), "{layout:?}");
                    assert_eq!(*block.add(size - 1), 7);
                    let larger = Layout::from_size_align(size + 40, align).unwrap();
                    Allocator.dealloc(block, larger);
                    let block = Allocator.alloc(layout);
                    assert!(aligned(block), "{layout:?}");
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }
}
