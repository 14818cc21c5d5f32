//! Room on the disk for what is written: which segments go for it, and what becomes of the cache where others have
//! filled the disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::record::Record;
use super::super::segment::Segment;
use super::Writer;

impl Writer {
    /// Writes. Where the disk is full before the cache has its share of it, the oldest segments give way to others'
    /// files, one by one, and it is tried again.
    pub(super) fn giving_way<T>(
        &mut self,
        mut write: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match write(self) {
                Err(error) if is_full(&error) && self.give_way(&error) => {}
                written => return written,
            }
        }
    }

    /// Deletes the oldest segment, unless it is the one that is being written.
    fn give_way(&mut self, error: &io::Error) -> bool {
        let Some(store) = self.store.upgrade() else {
            return false;
        };
        let current = self.current.as_ref().map(|current| current.id());
        let oldest = {
            let mut segments = self.engine.segments();
            let first = segments.keys().next().copied();
            let first = first.filter(|id| Some(*id) != current);
            first.and_then(|id| segments.remove_entry(&id))
        };
        let Some((id, segment)) = oldest else {
            return false;
        };
        if !self.engine.told.swap(true, Ordering::Relaxed) {
            let folder = self.engine.folder.display();
            tracing::warn!("{folder}: {error}; what is oldest in the cache gives way");
        }
        store.forget_segment(id);
        if let Err(error) = segment.delete() {
            tracing::warn!("cannot delete a segment of the cache: {error}");
        }
        true
    }

    /// Not even a few bytes fit, and there is one segment at most: what the bytes were about goes, with all that is in
    /// that.
    pub(super) fn start_over(&mut self) -> io::Result<()> {
        self.current = None;
        let segments = std::mem::take(&mut *self.engine.segments());
        if let Some(store) = self.store.upgrade() {
            store.forget_all();
        }
        let deleted = segments.values().map(|segment| segment.delete());
        deleted.fold(Ok(()), io::Result::and)
    }

    /// The segment for a record of this kind with so many bytes behind its head.
    pub(super) fn room_for(&mut self, record: &Record, body: u64) -> io::Result<Arc<Segment>> {
        let head = 64 + record.text.len() + record.meta.len();
        let head = head + (record.tags.len() + record.sums.len()) * 8;
        let needed = head as u64 + body;
        if needed > self.engine.length {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than a segment",
            ));
        }
        if let Some(current) = &self.current {
            if current.length() + needed <= self.engine.length {
                return Ok(current.clone());
            }
            current.sync()?;
            self.current = None;
        }
        self.make_room();
        let id = self
            .engine
            .segments()
            .keys()
            .last()
            .map_or(1, |last| last + 1);
        let segment = Arc::new(Segment::create(&self.engine.folder, id)?);
        self.engine.segments().insert(id, segment.clone());
        self.current = Some(segment.clone());
        Ok(segment)
    }

    /// Deletes the oldest segments until there is room for another one.
    fn make_room(&mut self) {
        let Some(store) = self.store.upgrade() else {
            return;
        };
        loop {
            let oldest = {
                let mut segments = self.engine.segments();
                let bytes: u64 = segments.values().map(|segment| segment.length()).sum();
                let most = self.engine.count as u64 * self.engine.length;
                if segments.len() < self.engine.count && bytes + self.engine.length <= most {
                    return;
                }
                segments.pop_first()
            };
            let Some((id, segment)) = oldest else {
                return;
            };
            let rescued = store.rescue(id, self.engine.length / 4);
            self.again.extend(rescued);
            store.forget_segment(id);
            if let Err(error) = segment.delete() {
                tracing::warn!("cannot delete a segment of the cache: {error}");
            }
        }
    }
}

/// Whether others have filled the disk, or what is granted of it is used up.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
