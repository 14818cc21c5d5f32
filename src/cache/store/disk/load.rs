//! Brings back what is on disk alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::body::Body;
use super::super::key::Name;
use super::super::{Entry, Key, Store};
use super::record::{Found, Record};
use super::{At, Engine, Place, Spot, Stretch};
use crate::cache::Stored;

/// A larger body stays on disk, and is read from there.
const LARGE: u64 = 1024 * 1024;

impl Store {
    /// Reads what is on disk under a key, and gives the newest entry that `fits`, as
    /// [`Store::find`](super::super::Store::find) does. A body of up to 1 MiB is checked as a whole, and in memory
    /// afterwards; a larger one is read by its readers, block by block, each checked before it is handed out. `None`
    /// too where the disk fails, or what is there is damaged: that is gone then.
    ///
    /// Reading happens on threads for blocking work, a bounded number of them; of one key, once.
    pub async fn load(
        self: &Arc<Self>,
        key: &Key,
        mut fits: impl FnMut(&Entry) -> bool,
    ) -> Option<Arc<Entry>> {
        let disk = self.disk.as_ref()?;
        let place = key.hash() as usize % disk.loads.len();
        let _turn = disk.loads[place].lock().await;
        let there = self.lock(key.url_hash()).on_disk(key);
        for (number, at) in there {
            let (store, key) = (self.clone(), key.clone());
            let loading = move || store.load_one(&key, number, at);
            // A runtime that ends gives up what is being read.
            let loaded = tokio::task::spawn_blocking(loading).await.ok().flatten();
            if let Some(entry) = loaded.filter(|entry| fits(entry)) {
                return Some(entry);
            }
        }
        self.lock(key.url_hash()).peek(key, fits)
    }

    fn load_one(&self, key: &Key, number: u64, at: At) -> Option<Arc<Entry>> {
        let disk = self.disk.as_ref()?;
        let read = disk.read(self, key, number, at);
        let loaded = self.with_hash(key.url_hash(), |shard| {
            let id = shard.id_of(key.hash(), number)?;
            let slot = shard.slot_mut(id);
            if slot.disk != Place::At(at) || slot.entry.is_some() {
                return slot.entry.clone();
            }
            let Some(entry) = read else {
                shard.remove(id);
                return None;
            };
            if slot.soft {
                entry.soften();
            }
            slot.entry = Some(entry.clone());
            shard.unlist(id);
            shard.admit(id);
            Some(entry)
        })?;
        // Where there is no room, this entry may have had to go; its caller has it.
        self.make_room(loaded.name(), 0);
        Some(loaded)
    }
}

impl Engine {
    fn read(&self, store: &Store, key: &Key, number: u64, at: At) -> Option<Arc<Entry>> {
        let head = self.record(at.head)?.0;
        let name = Name::read(&store.room, self.seed, &head.text, head.url)?;
        let (body, start) = self.record(at.body)?;
        let meta = Stored::decode(&head.meta);
        // Neither happens unless somebody has written to the folder.
        let good = name.is(key) && head.length == body.length;
        let (meta, true) = (meta?, good) else {
            self.damaged();
            return None;
        };
        let segment = self.segment(at.body.segment)?;
        let (room, length) = (&store.room, body.length);
        let corrupt = self.corrupt.clone();
        let stretch = Stretch::new(room, segment, start, length, body.sums, corrupt);
        let body = match length <= LARGE.min(store.largest()) {
            true => Body::read(room, stretch.read_whole()?),
            false => Body::on_disk(stretch),
        };
        let entry = Entry::new(room, name, number, meta.compact(), Arc::new(body));
        Some(Arc::new(entry))
    }

    /// A record, and where its body begins.
    fn record(&self, spot: Spot) -> Option<(Record, u64)> {
        let segment = self.segment(spot.segment)?;
        match Record::read(&segment, spot.offset) {
            Ok(Found::Record(record, head)) => Some((record, u64::from(spot.offset) + head as u64)),
            _ => {
                self.damaged();
                None
            }
        }
    }

    fn damaged(&self) {
        self.corrupt.fetch_add(1, Ordering::Relaxed);
    }
}
