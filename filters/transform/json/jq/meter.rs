//! What a run of a program has left: time, stack, and room for values.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use jaq_core::Exn;
use jaq_json::Val;

use super::regex::Pattern;

/// How much of the stack a run may take. Its thread has 2 MiB; what a program can nest without a
/// step takes less than what is left.
const STACK: usize = 512 * 1024;
/// How deep a value may be. Dropping it takes a step on the stack for each level.
const DEEPEST: usize = 1000;
/// How many elements an array, and how many members an object may have.
const MOST_ITEMS: usize = 4_000_000;
/// The clock is read once in so much work.
const WORK: usize = 64;
/// So many bytes of a text, or items of an array or object, are as much work as a step.
const BYTES_OF_A_STEP: usize = 512;
const ITEMS_OF_A_STEP: usize = 8;
/// What one unit of what is weighed takes, about: a comparison of two numbers, a state of a pattern at one
/// byte.
const UNIT: Duration = Duration::from_nanos(8);
/// So many bytes of a text weigh as much as a number.
const BYTES_OF_A_UNIT: usize = 64;
/// One of so many values that a program makes is measured, by chance, so that no loop slips
/// through. A value grows by a few levels each time, and 2 MiB hold thousands of them.
const MEASURED: u32 = 32;

const TOO_LONG: &str = "it ran longer than `time`";

/// The meter of one run, on one thread.
pub(super) struct Meter {
    /// Real time: a program that hangs does so whatever the gateway's clock says.
    deadline: Cell<Instant>,
    /// Where the stack was when the run began.
    base: usize,
    /// How long a text may be.
    longest: usize,
    /// What has been done since the clock was read.
    work: Cell<usize>,
    chance: Cell<u32>,
    exceeded: Cell<Option<&'static str>>,
    /// The regular expression that was used last.
    pub(super) pattern: RefCell<Option<Rc<Pattern>>>,
}

impl Meter {
    pub(super) fn new(time: Duration, longest: usize) -> Self {
        Self {
            deadline: Cell::new(Instant::now() + time),
            base: here(),
            longest,
            work: Cell::new(0),
            chance: Cell::new(0x9e37_79b9),
            exceeded: Cell::new(None),
            pattern: RefCell::new(None),
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
        self.work(
            1 + match value {
                Val::TStr(text) | Val::BStr(text) => text.len() / BYTES_OF_A_STEP,
                Val::Arr(items) => items.len() / ITEMS_OF_A_STEP,
                Val::Obj(members) => members.len() / ITEMS_OF_A_STEP,
                _ => 0,
            },
        )?;
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

    /// So much work was done, in steps.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn work<'a>(&self, steps: usize) -> Result<(), Exn<'a, Val>> {
        let work = self.work.get().saturating_add(steps);
        if work < WORK {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        match self.left().is_zero() {
            true => Err(self.exceed(TOO_LONG)),
            false => Ok(()),
        }
    }

    fn left(&self) -> Duration {
        let deadline = self.deadline.get();
        deadline.saturating_duration_since(Instant::now())
    }

    /// Something will take up to so many units later, in one go with others of its kind: the time for it is gone from
    /// here on.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn owe<'a>(&self, units: usize) -> Result<(), Exn<'a, Val>> {
        match self.deadline.get().checked_sub(takes(units)) {
            Some(deadline) => self.deadline.set(deadline),
            None => return Err(self.exceed(TOO_LONG)),
        }
        self.work(WORK)
    }

    /// Something is about to begin that cannot be interrupted, and takes up to so many units. What would take
    /// longer than there is time left is not begun.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn begin<'a>(&self, units: usize) -> Result<(), Exn<'a, Val>> {
        if units < WORK {
            return self.work(1);
        }
        self.work.set(0);
        match takes(units) > self.left() {
            true => Err(self.exceed(TOO_LONG)),
            false => Ok(()),
        }
    }

    /// What a value weighs, in units: what looking at all of it takes. No more is weighed than there is time for.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn weight<'a>(&self, value: &Val) -> Result<usize, Exn<'a, Val>> {
        match value {
            Val::Arr(_) | Val::Obj(_) => {}
            Val::TStr(text) | Val::BStr(text) => return Ok(1 + text.len() / BYTES_OF_A_UNIT),
            _ => return Ok(1),
        }
        let most = self.left().as_nanos() / UNIT.as_nanos();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut rest = most;
        match weigh(value, DEEPEST, &mut rest) {
            true => Ok(most - rest),
            false => Err(self.exceed(TOO_LONG)),
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

    /// A value of so many items is about to be made.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub(super) fn items<'a>(&self, count: usize) -> Result<(), Exn<'a, Val>> {
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

/// How long so many units take.
fn takes(units: usize) -> Duration {
    UNIT.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX))
}

/// Takes what a value weighs; `false` where that is more than there is, or it is deeper than that.
fn weigh(value: &Val, depth: usize, rest: &mut usize) -> bool {
    let own = match value {
        Val::TStr(text) | Val::BStr(text) => 1 + text.len() / BYTES_OF_A_UNIT,
        _ => 1,
    };
    let Some(left) = rest.checked_sub(own) else {
        return false;
    };
    *rest = left;
    match value {
        Val::Arr(items) => depth > 0 && items.iter().all(|item| weigh(item, depth - 1, rest)),
        Val::Obj(members) => {
            let mut parts = members.iter();
            depth > 0 && parts.all(|(k, v)| weigh(k, depth - 1, rest) && weigh(v, depth - 1, rest))
        }
        _ => true,
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
