//! The last good keys of one source: they outlive the way in which they are fetched, and the process.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use wiregate_sdk::Clock;
use wiregate_sdk::build::{Fetches, Portable};
use wiregate_sdk::serde::{Deserialize, Serialize};

use super::fetch::{self, Fetched, MOST_BYTES};
use super::jwk::Set;
use super::key::Key;

/// The version of the form in which they go over.
const VERSION: u8 = 1;
/// How large that may be: a text within JSON, in which some characters take two bytes.
const MOST_PACKED: usize = 2 * MOST_BYTES + (64 << 10);

/// The last good keys of a source, for all who fetch from there over the same trust: what was fetched
/// stays good when the times become others.
pub(super) struct Last {
    source: Source,
    pub(super) clock: Clock,
    keys: ArcSwapOption<Vec<Key>>,
    generation: AtomicU64,
    good: Mutex<Option<Good>>,
    /// What operators see of it.
    pub(super) shown: Arc<Fetches>,
}

/// Where keys are fetched from, and over what trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "wiregate_sdk::serde")]
pub(super) struct Source {
    /// Whether it has the keys, or tells where they are.
    kind: String,
    /// Its address.
    at: String,
    /// What tells who may say what the keys are.
    trust: String,
}

impl Source {
    pub(super) fn new(kind: &str, at: &str, trust: &str) -> Self {
        let [kind, at, trust] = [kind, at, trust].map(str::to_owned);
        Self { kind, at, trust }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, at, trust } = self;
        write!(f, "{kind}\u{0}{at}\u{0}{trust}")
    }
}

/// What was fetched, and when.
struct Good {
    /// On the monotonic clock, which is one for all processes of a machine.
    at: Duration,
    max_age: Option<Duration>,
    /// The keys as they were read, and none that was of no use: no secret can be among them.
    read: Vec<String>,
}

/// What goes over to the next process.
#[derive(Serialize, Deserialize)]
#[serde(crate = "wiregate_sdk::serde")]
struct Packed {
    version: u8,
    source: Source,
    /// Nanoseconds on the monotonic clock.
    at: u64,
    /// Seconds.
    max_age: Option<u64>,
    /// A set of keys (RFC 7517, 5).
    set: String,
}

impl Last {
    /// None so far.
    pub(super) fn new(source: Source, clock: Clock, shown: Arc<Fetches>) -> Self {
        Self {
            source,
            clock,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            good: Mutex::default(),
            shown,
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The last good set; `None` as long as there was none.
    pub(super) fn keys(&self) -> Option<Arc<Vec<Key>>> {
        self.keys.load_full()
    }

    pub(super) fn are_there(&self) -> bool {
        self.keys.load().is_some()
    }

    /// A number that becomes another whenever the keys do.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// When the last good set was fetched, and for how long it was said to be good.
    pub(super) fn fetched(&self) -> Option<(Instant, Option<Duration>)> {
        let good = self.good();
        let Good { at, max_age, .. } = good.as_ref()?;
        let age = self.clock.monotonic().saturating_sub(*at);
        let now = self.clock.instant();
        Some((now.checked_sub(age).unwrap_or(now), *max_age))
    }

    /// These were fetched right now.
    pub(super) fn store(&self, Fetched { set, max_age }: Fetched) {
        self.put(set, self.clock.monotonic(), max_age);
    }

    /// Takes a set that is fresher than the one that is there; says whether it is.
    fn put(&self, set: Set, at: Duration, max_age: Option<Duration>) -> bool {
        let mut good = self.good();
        if good.as_ref().is_some_and(|good| good.at > at) {
            return false;
        }
        let Set { keys, read, .. } = set;
        if good.as_ref().is_none_or(|good| good.read != read) {
            let (source, count) = (&*self.shown.from, keys.len());
            tracing::info!(source, keys = count, "there are new keys");
            self.keys.store(Some(Arc::new(keys)));
            self.generation.fetch_add(1, Ordering::Release);
        }
        *good = Some(Good { at, max_age, read });
        true
    }

    fn good(&self) -> MutexGuard<'_, Option<Good>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what a former process has packed as strictly as what comes over the network.
    fn take(&self, packed: &[u8]) -> Result<(), String> {
        if packed.len() > MOST_PACKED {
            return Err("they are too large".into());
        }
        let unreadable = "they are cut off, or of another version";
        let packed: Packed = serde_json::from_slice(packed).map_err(|_| unreadable)?;
        if packed.version != VERSION {
            return Err(unreadable.into());
        }
        if packed.source != self.source {
            return Err("they were fetched from elsewhere, or over another trust".into());
        }
        let (at, now) = (Duration::from_nanos(packed.at), self.clock.now());
        let age = self.clock.monotonic().checked_sub(at);
        let age = age.ok_or("they are of a time that has not come")?;
        let set = fetch::set(packed.set.as_bytes())?;
        if self.put(set, at, packed.max_age.map(Duration::from_secs)) {
            self.shown
                .taken_over(now.wall.checked_sub(age).unwrap_or(now.wall));
        }
        Ok(())
    }
}

impl Portable for Last {
    fn pack(&self, room: usize) -> Vec<u8> {
        let good = self.good();
        let Some(Good { at, max_age, read }) = good.as_ref() else {
            return Vec::new(); // nothing was fetched
        };
        let packed = Packed {
            version: VERSION,
            source: self.source.clone(),
            at: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
            max_age: max_age.map(|age| age.as_secs()),
            set: format!("{{\"keys\":[{}]}}", read.join(",")),
        };
        let fits = packed.set.len() <= MOST_BYTES;
        let packed = serde_json::to_vec(&packed).unwrap_or_default();
        if fits && packed.len() <= room.min(MOST_PACKED) {
            return packed;
        }
        let source = &*self.shown.from;
        tracing::warn!(source, "keys are too large to go over to the new process");
        Vec::new()
    }

    fn take_in(&self, packed: &[u8]) {
        if packed.is_empty() {
            return;
        }
        if let Err(why) = self.take(packed) {
            let source = &*self.shown.from;
            tracing::warn!(source, why, "keys of the former process are left out");
        }
    }
}
