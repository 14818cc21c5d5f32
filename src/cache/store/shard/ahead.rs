//! What the next evictions touch.

use super::super::prefetch::will_read;
use super::Shard;
use super::slab::Rank;

impl Shard {
    /// It is asked for ahead, step by step: a slot three evictions before, where its entry is known two, with its places in
    /// the table and the sketch, and where the entry's text is known one. What goes is nearly always from the window, and what
    /// comes is written over it; a text on probation is touched by nobody.
    pub(super) fn foresee(&self) {
        for rank in [Rank::Window, Rank::Probation] {
            let Some(last) = self.slots.peek(self.list_of(rank).last) else {
                continue;
            };
            let entry = last.entry().filter(|_| rank == Rank::Window);
            if let Some(entry) = entry {
                will_read(entry.meta().head.text());
            }
            let Some(next) = self.slots.peek(last.links.before) else {
                continue;
            };
            if let Some(entry) = next.entry() {
                will_read(&**entry);
                self.urls.will_find(next.url_hash());
                self.sketch.will_estimate(next.hash() as u64);
            }
            if let Some(third) = self.slots.place(next.links.before) {
                will_read(third);
            }
        }
    }
}
