//! Brings back what is on disk alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedMutexGuard;

use super::super::body::Body;
use super::super::shard::Newcomer;
use super::super::{Entry, Key, Store};
use super::record::{Found, Kind, Record};
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
    /// Reading happens on threads for blocking work, a bounded number of them; of one key, once. Where this is dropped
    /// before its end, others wait for the thread that it has left behind.
    pub async fn load(
        self: &Arc<Self>,
        key: &Key,
        mut fits: impl FnMut(&Entry) -> bool,
    ) -> Option<Arc<Entry>> {
        let disk = self.disk.as_ref()?;
        let place = key.hash() as usize % disk.loads.len();
        let turn = Arc::new(disk.loads[place].clone().lock_owned().await);
        let there = self.lock(key.url_hash()).on_disk(key);
        for (number, at) in there {
            let (store, of, held) = (self.clone(), key.clone(), turn.clone());
            let looked = apart(held, move || store.look_at(&of, number, at)).await;
            let Some(entry) = looked.filter(|entry| fits(entry)) else {
                continue; // it is for others, or gone
            };
            let (store, of, held) = (self.clone(), key.clone(), turn.clone());
            let loaded = apart(held, move || store.bring_in(&of, at, &entry)).await;
            if let Some(entry) = loaded.filter(|entry| fits(entry)) {
                return Some(entry);
            }
        }
        self.lock(key.url_hash()).peek(key, fits)
    }

    /// What a slot has on disk, but for its body. Where that cannot be read, the slot goes.
    fn look_at(&self, key: &Key, number: u64, at: At) -> Option<Arc<Entry>> {
        let read = self.disk.as_ref()?.read(self, key, number, at);
        if read.is_none() {
            self.leave_out(key, number, at);
        }
        read
    }

    fn leave_out(&self, key: &Key, number: u64, at: At) {
        self.with_hash(key.url_hash(), |shard| {
            let id = shard.id_of(key.name(), number)?;
            let slot = shard.slot(id);
            (slot.disk == Place::At(at) && slot.entry().is_none()).then(|| shard.remove(id))
        });
    }

    /// Puts an entry into memory, with its body where that is small.
    fn bring_in(&self, key: &Key, at: At, entry: &Entry) -> Option<Arc<Entry>> {
        let number = entry.number();
        let Some(body) = self.body_of(entry) else {
            self.leave_out(key, number, at);
            return None;
        };
        let (name, meta) = (entry.name(), entry.meta().clone());
        let read = Arc::new(Entry::new(&self.room, name, number, meta, body));
        let loaded = self.with_hash(key.url_hash(), |shard| {
            let id = shard.id_of(key.name(), number)?;
            let slot = shard.slot(id);
            if slot.disk != Place::At(at) || slot.entry().is_some() {
                return slot.entry().cloned();
            }
            if slot.soft {
                read.soften();
            }
            shard.warm(id, &read);
            Some(read)
        })?;
        // Where there is no room, this entry may have had to go; its caller has it.
        self.make_room(loaded.name(), 0, Newcomer::Part);
        Some(loaded)
    }

    /// The body of an entry that was looked at, as it is to be in memory.
    fn body_of(&self, entry: &Entry) -> Option<Body> {
        let stretch = entry.stretch()?; // what was looked at is on disk
        match stretch.length() <= LARGE.min(self.largest()) {
            true => stretch.read_whole().map(Body::read),
            false => Some(Body::on_disk(stretch.clone())),
        }
    }
}

/// Does something on a thread for blocking work, which keeps the turn until it is done, whoever waits for that.
async fn apart<T: Send + 'static>(
    turn: Arc<OwnedMutexGuard<()>>,
    work: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    let work = move || {
        let _turn = turn;
        work()
    };
    // A runtime that ends gives up what is being read.
    tokio::task::spawn_blocking(work).await.ok().flatten()
}

impl Engine {
    /// An entry whose body is on disk.
    fn read(&self, store: &Store, key: &Key, number: u64, at: At) -> Option<Arc<Entry>> {
        let head = self.record(at.head)?.0;
        let (body, start) = self.record(at.body)?;
        let meta = Stored::decode(&head.meta);
        // Neither happens unless somebody has written to the folder.
        let (Some(meta), true) = (meta, are_of(key, at, &head, &body)) else {
            self.damaged();
            return None;
        };
        let segment = self.segment(at.body.segment)?;
        let (room, length) = (&store.room, body.length);
        let corrupt = self.corrupt.clone();
        let stretch = Stretch::new(room, segment, start, length, body.sums, corrupt);
        let body = Body::on_disk(stretch);
        let entry = Entry::new(room, key.name(), number, meta, body);
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

/// Whether these are the head of an entry with this key and the record with its body: each is right by itself, and
/// stands where it says.
fn are_of(key: &Key, at: At, head: &Record, body: &Record) -> bool {
    let is_its_body = match head.kind {
        Kind::Entry => at.head == at.body,
        Kind::Head => head.body == Some(at.body),
        Kind::Purge | Kind::Void => false,
    };
    let (text, url) = key.name().parts();
    let of_key = |record: &Record| *record.text == *text && record.url == url;
    is_its_body
        && body.kind == Kind::Entry
        && head.length == body.length
        && of_key(head)
        && of_key(body)
}
