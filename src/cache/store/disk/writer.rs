//! The one thread that writes.

mod room;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

use super::super::{Entry, Mode, Store, What};
use super::record::{Kind, Record, sums_of};
use super::segment::Segment;
use super::{At, Command, Engine, Place, Spot};
use crate::cache::Variant;
use room::is_full;

impl Engine {
    /// Writes what it is asked to, until the store is gone.
    pub(super) fn write(self: Arc<Self>, store: &Weak<Store>) {
        let mut writer = Writer {
            engine: self,
            store: store.clone(),
            current: None,
            again: Vec::new(),
            given_up: false,
        };
        while let Some(command) = writer.next() {
            writer.run(command);
            writer.run_again();
        }
    }

    /// The disk has failed: nothing on it counts any more.
    fn fail(&self, error: &io::Error) -> io::Result<()> {
        if !self.failed.swap(true, Ordering::AcqRel) {
            let folder = self.folder.display();
            tracing::error!("cannot write to {folder}: {error}; the cache goes on in memory alone");
        }
        let segments = std::mem::take(&mut *self.segments());
        let deleted = segments.values().map(|segment| segment.delete());
        deleted.fold(Ok(()), io::Result::and)
    }
}

struct Writer {
    engine: Arc<Engine>,
    store: Weak<Store>,
    current: Option<Arc<Segment>>,
    /// Entries that are written anew since their segment goes.
    again: Vec<(Arc<Entry>, Variant)>,
    /// The folder is another process's.
    given_up: bool,
}

impl Writer {
    fn next(&self) -> Option<Command> {
        let mut queue = self.engine.queue();
        loop {
            if let Some(command) = queue.commands.pop_front() {
                queue.texts = queue.texts.saturating_sub(command.text());
                if let Command::Store(entry, _) = &command {
                    queue.bytes = queue.bytes.saturating_sub(entry.bytes());
                }
                return Some(command);
            }
            if queue.closing {
                return None;
            }
            let woken = self.engine.wake.wait(queue);
            queue = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&mut self, command: Command) {
        match command {
            Command::GiveUp(told) => {
                let synced = self.sync().and_then(|()| self.engine.unlock());
                self.given_up = true;
                drop(told.send(synced)); // who asked may have lost patience
            }
            _ if self.given_up => {}
            Command::Store(entry, variant) => {
                match self.store.upgrade() {
                    Some(store) => self.store_entry(&store, &entry, variant),
                    // The store was closed: what the entry had replaced must not come back.
                    None => self.say(&Record::void(entry.name().hash(), variant)),
                }
            }
            Command::Clear => {
                self.purge_all();
                if let Some(store) = self.store.upgrade() {
                    store.forget_all();
                }
            }
            Command::Purge(What::All, Mode::Hard) => self.purge_all(),
            Command::Purge(what, mode) => self.say(&Record::purge(&what, mode)),
            Command::Void(hash, variant) => self.say(&Record::void(hash, variant)),
            Command::Sync(told) => {
                // Whoever asked may have gone.
                drop(told.send(self.sync()));
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match (&self.current, self.engine.failed.load(Ordering::Acquire)) {
            (Some(current), false) => current.sync(),
            _ => Ok(()),
        }
    }

    /// Each segment that goes lets at most a quarter of one be written anew, so that this ends.
    fn run_again(&mut self) {
        while let Some((entry, variant)) = self.again.pop() {
            if let Some(store) = self.store.upgrade() {
                self.store_entry(&store, &entry, variant);
            }
        }
    }

    /// Nothing on disk counts any more: it goes at once.
    fn purge_all(&mut self) {
        self.say(&Record::purge(&What::All, Mode::Hard));
        let kept = self.current.as_ref().map(|current| current.id());
        let mut segments = self.engine.segments();
        let old: Vec<u32> = segments
            .keys()
            .copied()
            .filter(|id| Some(*id) != kept)
            .collect();
        for id in old {
            // What stays is dead all the same: the record says so.
            let deleted = segments.remove(&id).map(|segment| segment.delete());
            drop(deleted);
        }
    }

    /// Writes what must not be lost: where that fails, whatever it was about goes.
    fn say(&mut self, record: &Record) {
        if self.engine.failed.load(Ordering::Acquire) {
            return;
        }
        let said = self.giving_way(|this| {
            let segment = this.room_for(record, 0)?;
            this.append(&segment, record, &[]).map(drop)
        });
        let said = match said {
            Err(error) if is_full(&error) => self.start_over(),
            said => said,
        };
        if let Err(error) = said {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.current = None;
        if let Err(error) = self.engine.fail(error) {
            let folder = self.engine.folder.display();
            tracing::error!(
                "cannot delete what is in {folder}: {error}; empty it before the next start"
            );
        }
        if let Some(store) = self.store.upgrade() {
            store.forget_all();
        }
    }

    /// Writes an entry, unless something has removed it, or it is written already.
    fn store_entry(&mut self, store: &Store, queued: &Arc<Entry>, variant: Variant) {
        let (name, number) = (queued.name(), queued.number());
        let slot = store.with(name, |shard| {
            let slot = shard.slot(shard.id_of(name, number)?);
            let entry = slot.entry().cloned().unwrap_or_else(|| queued.clone());
            Some((slot.disk, entry, slot.soft, slot.variant, slot.tags.clone()))
        });
        let Some((disk, entry, soft, variant, tags)) = slot else {
            // It is gone, or there is a newer head, which is queued behind it. What it has replaced must not come back.
            self.say(&Record::void(name.hash(), variant));
            return;
        };
        let Place::Queued(at) = disk else {
            return;
        };
        let record = self.record_of(&entry, at, soft, variant, tags);
        let written = record
            .and_then(|record| self.giving_way(|this| this.write_record(&entry, &record, at)));
        match written {
            Ok(at) => store.with(name, |shard| {
                if let Some(id) = shard.id_of(name, number) {
                    let slot = shard.slot_mut(id);
                    // A head that has come meanwhile is behind this one in the queue.
                    let same = slot.entry().is_none_or(|now| Arc::ptr_eq(now, &entry));
                    slot.used = false;
                    slot.disk = match same {
                        true => Place::At(at),
                        false => Place::Queued(Some(at)),
                    };
                }
            }),
            Err(error) => self.not_written(store, &entry, variant, &error),
        }
    }

    fn record_of(
        &self,
        entry: &Entry,
        at: Option<At>,
        soft: bool,
        variant: Variant,
        tags: Box<[u64]>,
    ) -> io::Result<Record> {
        let mut record = Record::of(entry, soft, variant, tags);
        let there = at.filter(|at| self.engine.segment(at.body.segment).is_some());
        if let Some(at) = there {
            record.kind = Kind::Head;
            record.body = Some(at.body);
            return Ok(record);
        }
        let Some(pieces) = entry.pieces() else {
            let gone = "its body was on disk, and is not any more";
            return Err(io::Error::other(gone));
        };
        record.sums = sums_of(pieces);
        Ok(record)
    }

    fn write_record(&mut self, entry: &Entry, record: &Record, at: Option<At>) -> io::Result<At> {
        if self.engine.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the disk has failed"));
        }
        let segment = self.room_for(record, record.after_head())?;
        // Room was made: the body that a head is for may have gone for it.
        let body = record
            .body
            .filter(|body| self.engine.segment(body.segment).is_some());
        if record.body.is_some() && body.is_none() {
            return Err(io::Error::other("its body had to go"));
        }
        let head = match (record.kind, entry.pieces()) {
            (Kind::Entry, Some(pieces)) => {
                let pieces: Vec<&[u8]> = pieces.collect();
                self.append(&segment, record, &pieces)?
            }
            _ => self.append(&segment, record, &[])?,
        };
        let body = at.and(body).unwrap_or(head);
        Ok(At { head, body })
    }

    fn append(&self, segment: &Segment, record: &Record, body: &[&[u8]]) -> io::Result<Spot> {
        let offset = u32::try_from(segment.length()).map_err(io::Error::other)?;
        let head = record.encode(segment.id(), offset);
        segment.append(std::iter::once(&*head).chain(body.iter().copied()))?;
        let segment = segment.id();
        Ok(Spot { segment, offset })
    }

    /// The entry stays in memory; what is on disk of it, or of what it has replaced, does not count.
    fn not_written(&mut self, store: &Store, entry: &Entry, variant: Variant, error: &io::Error) {
        self.engine.unwritten.fetch_add(1, Ordering::Relaxed);
        let full = is_full(error);
        if error.raw_os_error().is_some() && !self.engine.told.swap(true, Ordering::Relaxed) {
            let folder = self.engine.folder.display();
            tracing::warn!(full, "cannot write an entry to {folder}: {error}");
        }
        store.not_on_disk(entry);
        self.say(&Record::void(entry.name().hash(), variant));
    }
}
