//! What the old process purges in its caches while it finishes what it has, for the one that has what was in them.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{Line, Message};
use crate::compile::{Purges, Snapshot};

/// How often it is looked whether something was purged.
const LOOK: Duration = Duration::from_millis(20);
/// How long the other process may have no room for what it is told.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Tells the process that has taken over what this one purges.
#[derive(Clone)]
pub struct Forwarding {
    /// None once it cannot be told any more.
    line: Arc<Mutex<Option<Line>>>,
    live: Arc<Snapshot>,
}

impl Forwarding {
    /// Tells what was purged so far before it returns, and the rest as it comes.
    pub(super) fn start(line: Line, live: Arc<Snapshot>) -> Self {
        let this = Self {
            line: Arc::new(Mutex::new(Some(line))),
            live,
        };
        this.tell();
        let telling = this.clone();
        let thread = thread::Builder::new().name("purges".to_owned());
        let started = thread.spawn(move || {
            while telling.tell() {
                thread::sleep(LOOK);
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "what is purged here is told at the end of the process");
        }
        this
    }

    /// Tells what was purged since this was last done; whether the other one can be told more. Blocks.
    pub fn tell(&self) -> bool {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &*line else {
            return false;
        };
        let until = Instant::now() + PATIENCE;
        let told = self
            .live
            .purges(true)
            .try_for_each(|purges| say(open, &purges, until));
        if let Err(error) = &told {
            tracing::warn!(%error, "the process that has taken over does not hear of what is purged here any more");
            *line = None;
        }
        line.is_some()
    }
}

/// Says what was purged in one store.
pub(super) fn say(line: &Line, purges: &Purges, until: Instant) -> std::io::Result<()> {
    let bytes = serde_json::to_vec(purges)?;
    line.say_with(&Message::Purged, &bytes, &[], until)
}
