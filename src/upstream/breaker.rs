//! A circuit breaker: while too many attempts fail, there are none but a few probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::model::upstream as model;

/// Attempts are counted in so many parts of the time that counts.
const PARTS: u64 = 10;
/// Where all probes are out, another request may ask again after this.
const PROBING: Duration = Duration::from_secs(1);
const CLOSED: u64 = 0;

/// A circuit breaker.
pub struct Breaker {
    config: model::Breaker,
    part: u64,
    memory: Arc<Memory>,
}

/// What a circuit breaker remembers; it outlives a reload.
#[derive(Debug)]
pub struct Memory {
    start: Instant,
    /// [`CLOSED`], or the milliseconds after `start` from which on probes may pass.
    open_until: AtomicU64,
    probing: AtomicU32,
    passed: AtomicU32,
    /// For each part of the time: which part it is, and how many attempts were good and bad.
    parts: [AtomicU64; PARTS as usize],
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            open_until: AtomicU64::new(CLOSED),
            probing: AtomicU32::new(0),
            passed: AtomicU32::new(0),
            parts: Default::default(),
        }
    }
}

/// What became of the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was opened.
    Opened,
    /// It was closed.
    Closed,
}

/// The leave to make an attempt. Dropped, it makes room for another probe where it was one.
pub struct Leave(State);

enum State {
    /// An attempt like any other.
    Plain,
    /// A probe that has not been answered yet.
    Probe(Arc<Memory>),
    /// It was counted as good, in this part of the time.
    Good { part: u64 },
    /// A probe that was answered well, at this time.
    Passed { at: u64 },
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let State::Probe(memory) = &self.0 {
            memory.probing.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Breaker {
    /// As the configuration says, with what it remembers.
    pub fn new(config: &model::Breaker, memory: Arc<Memory>) -> Self {
        let within: Duration = config.within.into();
        Self {
            config: config.clone(),
            part: (millis(within) / PARTS).max(1),
            memory,
        }
    }

    /// Whether the circuit is not closed.
    pub fn is_open(&self) -> bool {
        self.memory.open_until.load(Ordering::Acquire) != CLOSED
    }

    /// Leave for an attempt.
    ///
    /// # Errors
    /// The circuit is open: after this time it is worth asking again.
    pub fn ask(&self, now: Instant) -> Result<Leave, Duration> {
        let memory = &self.memory;
        let until = memory.open_until.load(Ordering::Acquire);
        if until == CLOSED {
            return Ok(Leave(State::Plain));
        }
        let now = millis(now - memory.start);
        if now < until {
            return Err(Duration::from_millis(until - now));
        }
        let most = self.config.probes.get();
        let probing = memory
            .probing
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |probing| {
                (probing < most).then_some(probing + 1)
            });
        match probing {
            Ok(_) => Ok(Leave(State::Probe(memory.clone()))),
            Err(_) => Err(PROBING),
        }
    }

    /// An attempt was answered, or has failed before that. One that was answered well may still
    /// [break](Self::broke).
    pub fn tell(&self, leave: &mut Leave, now: Instant, good: bool) -> Option<Turn> {
        let now = millis(now - self.memory.start);
        let next = match (&leave.0, good) {
            (State::Probe(_), true) => State::Passed { at: now },
            (_, true) => State::Good {
                part: self.part_of(now),
            },
            (_, false) => State::Plain,
        };
        // What is left of it makes room for another probe.
        let before = Leave(std::mem::replace(&mut leave.0, next));
        match (&before.0, good) {
            (State::Probe(_), true) => self.probed(now),
            (State::Probe(_), false) => self.reopen(now),
            (_, good) => self.counted(now, good),
        }
    }

    /// An attempt that was answered well has broken in the middle of its response: it counts as one
    /// that failed, and no longer as one that went well. A probe that breaks opens the circuit
    /// again, unless that comes later than probes are apart.
    pub fn broke(&self, leave: Leave, now: Instant) -> Option<Turn> {
        let now = millis(now - self.memory.start);
        match leave.0 {
            State::Passed { at } if now.saturating_sub(at) < self.open_for() => {
                self.reopen(now).or_else(|| self.open(CLOSED, now))
            }
            State::Good { part } => {
                self.take_back(part);
                self.counted(now, false)
            }
            _ => self.counted(now, false),
        }
    }

    /// Opens the circuit again where it is half open. Probes that fail together open it once.
    fn reopen(&self, now: u64) -> Option<Turn> {
        let until = self.memory.open_until.load(Ordering::Acquire);
        (until != CLOSED && until <= now).then(|| self.open(until, now))?
    }

    /// A probe has passed, unless another one has opened the circuit again meanwhile.
    fn probed(&self, now: u64) -> Option<Turn> {
        let memory = &self.memory;
        let until = memory.open_until.load(Ordering::Acquire);
        if until == CLOSED || until > now {
            return None;
        }
        let passed = memory.passed.fetch_add(1, Ordering::AcqRel) + 1;
        if passed < self.config.probes.get() {
            return None;
        }
        memory.passed.store(0, Ordering::Release);
        for part in &memory.parts {
            part.store(0, Ordering::Relaxed);
        }
        let open = memory.open_until.swap(CLOSED, Ordering::AcqRel);
        (open != CLOSED).then_some(Turn::Closed)
    }

    fn part_of(&self, now: u64) -> u64 {
        now / self.part + 1
    }

    fn open_for(&self) -> u64 {
        millis(self.config.open_for.into()).max(1)
    }

    /// An attempt that was counted as good in this part of the time was not.
    fn take_back(&self, number: u64) {
        let slot = &self.memory.parts[(number % PARTS) as usize];
        let take = |packed| {
            let mut part = Part::unpack(packed);
            part.good = part.good.checked_sub(1)?;
            (part.number == number).then(|| part.pack())
        };
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    }

    fn counted(&self, now: u64, good: bool) -> Option<Turn> {
        let number = self.part_of(now);
        let slot = &self.memory.parts[(number % PARTS) as usize];
        let add = |packed| Some(Part::unpack(packed).of(number).with(good).pack());
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if good || self.is_open() {
            return None;
        }
        let (mut all, mut bad) = (0u64, 0u64);
        for part in &self.memory.parts {
            let part = Part::unpack(part.load(Ordering::Relaxed));
            if part.number + PARTS > number {
                all += part.good + part.bad;
                bad += part.bad;
            }
        }
        let enough = all >= self.config.of_at_least.get().into();
        // bad / all >= errors, without a division
        let too_many = bad * 1_000_000 >= all * u64::from(self.config.errors.millionths());
        (enough && too_many).then(|| self.open(CLOSED, now))?
    }

    fn open(&self, before: u64, now: u64) -> Option<Turn> {
        let until = now + self.open_for();
        self.memory.passed.store(0, Ordering::Release);
        let opened = self.memory.open_until.compare_exchange(
            before,
            until,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        opened.is_ok().then_some(Turn::Opened)
    }
}

/// The attempts of one part of the time.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    good: u64,
    bad: u64,
}

impl Part {
    const MOST: u64 = 0xffff;
    const NUMBERS: u64 = 0xffff_ffff;

    fn unpack(packed: u64) -> Self {
        Self {
            number: packed >> 32,
            good: packed >> 16 & Self::MOST,
            bad: packed & Self::MOST,
        }
    }

    fn pack(self) -> u64 {
        (self.number & Self::NUMBERS) << 32 | self.good << 16 | self.bad
    }

    /// This part, or an empty one where it is of an earlier round.
    fn of(self, number: u64) -> Self {
        if self.number == number {
            return self;
        }
        Self {
            number,
            good: 0,
            bad: 0,
        }
    }

    fn with(mut self, good: bool) -> Self {
        if self.good == Self::MOST || self.bad == Self::MOST {
            // What counts is their ratio.
            (self.good, self.bad) = (self.good / 2, self.bad / 2);
        }
        self.good += u64::from(good);
        self.bad += u64::from(!good);
        self
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
