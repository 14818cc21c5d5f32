//! What a run of a program has left: time, stack, and room for values.

use std::cell::Cell;
use std::time::{Duration, Instant};

use jaq_core::Exn;
use jaq_json::Val;

/// How much of the stack a run may take. Its thread has 2 MiB; what a program can nest without a
/// step takes less than what is left.
const STACK: usize = 512 * 1024;
/// How deep a value may be. Dropping it takes a step on the stack for each level.
const DEEPEST: usize = 1000;
/// How many elements an array, and how many members an object may have.
const MOST_ITEMS: usize = 4_000_000;
/// The clock is read once in so many steps.
const STEPS: u32 = 64;
/// One of so many values that a program makes is measured, by chance, so that no loop slips
/// through. A value grows by a few levels each time, and 2 MiB hold thousands of them.
const MEASURED: u32 = 32;

/// The meter of one run, on one thread.
pub(super) struct Meter {
    /// Real time: a program that hangs does so whatever the gateway's clock says.
    deadline: Instant,
    /// Where the stack was when the run began.
    base: usize,
    /// How long a text may be.
    longest: usize,
    steps: Cell<u32>,
    chance: Cell<u32>,
    exceeded: Cell<Option<&'static str>>,
}

impl Meter {
    pub(super) fn new(time: Duration, longest: usize) -> Self {
        Self {
            deadline: Instant::now() + time,
            base: here(),
            longest,
            steps: Cell::new(0),
            chance: Cell::new(0x9e37_79b9),
            exceeded: Cell::new(None),
        }
    }

    /// The limit that the run has gone beyond.
    pub(super) fn exceeded(&self) -> Option<&'static str> {
        self.exceeded.get()
    }

    /// How long a text may be.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// A step with this value.
    ///
    /// # Errors
    /// What ends the run and cannot be caught by it, where a limit is reached.
    pub(super) fn step<'a>(&self, value: &Val) -> Result<(), Exn<'a, Val>> {
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if steps.is_multiple_of(STEPS) && Instant::now() > self.deadline {
            return Err(self.exceed("it ran longer than `time`"));
        }
        if self.base.abs_diff(here()) > STACK {
            return Err(self.exceed("it called itself too deeply"));
        }
        match value {
            Val::TStr(text) | Val::BStr(text) => self.text(text.len()),
            Val::Arr(items) => self.items(items.len()),
            Val::Obj(members) => self.items(members.len()),
            _ => Ok(()),
        }
    }

    /// A value has been made.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn made<'a>(&self, value: &Val) -> Result<(), Exn<'a, Val>> {
        self.step(value)?;
        // xorshift32
        let mut chance = self.chance.get();
        chance ^= chance << 13;
        chance ^= chance >> 17;
        chance ^= chance << 5;
        self.chance.set(chance);
        if chance.is_multiple_of(MEASURED) && !is_within(value, DEEPEST, &mut MOST_ITEMS.clone()) {
            return Err(self.exceed("it made a value that is too large or too deep"));
        }
        Ok(())
    }

    /// A text of this length is about to be made.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn text<'a>(&self, length: usize) -> Result<(), Exn<'a, Val>> {
        match length > self.longest {
            true => Err(self.exceed("it made a text larger than `output`")),
            false => Ok(()),
        }
    }

    fn items<'a>(&self, count: usize) -> Result<(), Exn<'a, Val>> {
        match count > MOST_ITEMS {
            true => Err(self.exceed("it made a value that is too large or too deep")),
            false => Ok(()),
        }
    }

    /// Ends the run.
    pub(super) fn exceed<'a>(&self, limit: &'static str) -> Exn<'a, Val> {
        self.exceeded.set(Some(limit));
        Exn::halt(1)
    }
}

/// Whether a value is no deeper than that, and has no more parts than there are left.
pub(super) fn is_within(value: &Val, depth: usize, parts: &mut usize) -> bool {
    let Some(left) = parts.checked_sub(1) else {
        return false;
    };
    *parts = left;
    match value {
        Val::Arr(items) => depth > 0 && items.iter().all(|item| is_within(item, depth - 1, parts)),
        Val::Obj(members) => {
            depth > 0 && (members.values()).all(|member| is_within(member, depth - 1, parts))
        }
        _ => true,
    }
}

/// About where the stack is.
fn here() -> usize {
    let marker = 0_u8;
    std::ptr::from_ref(&marker).addr()
}
