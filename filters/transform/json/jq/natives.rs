//! Filters of our own, which programs cannot name but [`super::instrument`] puts into them, and
//! those that take the place of ones that know no limit.
//!
//! What a filter of jaq's does cannot be interrupted. One that takes longer than its input is large is weighed
//! before it begins, or is another one here, which takes steps.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, v};
use jaq_core::{Cv, Error, Exn, Native, ValX};
use jaq_json::{Num, Val, read};
use memchr::memmem;

use super::meter::Meter;
use super::{Kind, has_long_number, regex, scan, search, to_json};

/// A step of a loop: gives what it gets.
pub(super) const STEP: &str = "a step";
/// A value has been made: gives what it gets.
pub(super) const MADE: &str = "a made value";
/// What is written into a text.
pub(super) const TEXT: &str = "a text";
/// A product.
pub(super) const TIMES: &str = "a product";

/// A quotient.
pub(super) const OVER: &str = "a quotient";
/// What is looked at as a whole: gives what it gets.
pub(super) const WHOLE: &str = "a whole value";
/// What is sorted, or looked up among sorted ones: gives what it gets.
pub(super) const SORTED: &str = "a sorted value";
/// What others are sorted by: gives what it gets.
pub(super) const KEY: &str = "a key";
/// What is taken apart into as many items as it has bytes: gives what it gets.
pub(super) const APART: &str = "a text to take apart";
/// What is looked up in something: gives what it gets.
pub(super) const INDEX: &str = "an index";

/// Filters that tell what no request may know, end the run, or know no limit, and those that others take the
/// place of.
pub(super) const WITHHELD: [&str; 13] = [
    "env",
    "halt",
    "debug_empty",
    "stderr_empty",
    "fromjson",
    "tojson",
    "contains",
    "indices",
    "matches",
    "split_matches",
    "split_",
    // Functions of Bessel take as long as their order is large.
    "jn",
    "yn",
];

/// How many comparisons an item takes, at most, to be sorted, or to be found among sorted ones.
const TO_SORT: usize = 24;
/// How many bits an integer may have: those of a thousand digits. It takes the square of its length to write it.
const MOST_BITS: u64 = 3400;

/// A filter that gives what it gets, once this has looked at it.
macro_rules! looked_at {
    ($look:path) => {
        Native::new(|cv: Cv<'_, Kind>| {
            let looked = $look(cv.0.data().meter, &cv.1);
            box_once(looked.map(|()| cv.1))
        })
        .with_paths(|cv| {
            let looked = $look(cv.0.data().meter, &cv.1.0);
            box_once(looked.map(|()| cv.1))
        })
        .with_update(|cv, update| match $look(cv.0.data().meter, &cv.1) {
            Ok(()) => update(cv.1),
            Err(ended) => box_once(Err(ended)),
        })
    };
}

/// Our own filters.
pub(super) fn natives() -> impl Iterator<Item = Fun<Kind>> {
    let others = [
        (STEP, v(0), looked_at!(Meter::step)),
        (WHOLE, v(0), looked_at!(whole)),
        (SORTED, v(0), looked_at!(sorted)),
        (KEY, v(0), looked_at!(key)),
        (APART, v(0), looked_at!(apart)),
        (INDEX, v(0), looked_at!(index)),
        (MADE, v(0), Native::new(|cv| box_once(made(cv)))),
        (TEXT, v(0), Native::new(|cv| box_once(text(cv)))),
        (TIMES, v(2), Native::new(|cv| box_once(times(cv)))),
        (OVER, v(2), Native::new(|cv| box_once(over(cv)))),
        ("tojson", v(0), Native::new(|cv| box_once(json(cv)))),
        ("fromjson", v(0), Native::new(|cv| box_once(parse(cv)))),
    ];
    others
        .into_iter()
        .chain(search::natives())
        .chain(regex::natives())
}

fn whole<'a>(meter: &Meter, value: &Val) -> Result<(), Exn<'a, Val>> {
    meter.begin(meter.weight(value)?)
}

fn sorted<'a>(meter: &Meter, value: &Val) -> Result<(), Exn<'a, Val>> {
    meter.begin(meter.weight(value)?.saturating_mul(TO_SORT))
}

/// Keys are compared when all of them are there: each takes its part of the time beforehand.
fn key<'a>(meter: &Meter, value: &Val) -> Result<(), Exn<'a, Val>> {
    meter.owe(meter.weight(value)?.saturating_mul(TO_SORT))
}

fn apart<'a>(meter: &Meter, value: &Val) -> Result<(), Exn<'a, Val>> {
    let items = match value {
        Val::TStr(text) | Val::BStr(text) => text.len(),
        Val::Arr(items) => items.len(),
        Val::Obj(members) => members.len(),
        _ => 1,
    };
    meter.items(items)?;
    meter.begin(items)
}

/// Every element would be compared with every one of an array.
fn index<'a>(meter: &Meter, value: &Val) -> Result<(), Exn<'a, Val>> {
    match value {
        Val::Arr(_) => Err(Exn::from(Error::str("an array is no index: see `indices`"))),
        value => whole(meter, value),
    }
}

fn made<'a>((ctx, value): Cv<'a, Kind>) -> ValX<'a, Val> {
    ctx.data().meter.made(&value).map(|()| value)
}

fn text<'a>((ctx, value): Cv<'a, Kind>) -> ValX<'a, Val> {
    match value {
        Val::TStr(_) | Val::BStr(_) => Ok(value),
        value => json((ctx, value)),
    }
}

fn json<'a>((ctx, value): Cv<'a, Kind>) -> ValX<'a, Val> {
    let meter = ctx.data().meter;
    match to_json(&value, meter.longest()) {
        Some(text) => Ok(Val::utf8_str(text)),
        None => Err(meter.exceed("it made a text larger than `output`")),
    }
}

fn parse<'a>((_, value): Cv<'a, Kind>) -> ValX<'a, Val> {
    let text = value.try_as_utf8_bytes_owned().map_err(Exn::from)?;
    let fail = |why: String| Exn::from(Error::str(format!("cannot parse JSON: {why}")));
    scan::check(&text).map_err(fail)?;
    if has_long_number(&text) {
        return Err(fail("a number has more than 1000 digits".to_owned()));
    }
    read::parse_single(&text).map_err(|error| fail(error.to_string()))
}

fn times<'a>((mut ctx, _): Cv<'a, Kind>) -> ValX<'a, Val> {
    let (right, left) = (ctx.pop_var(), ctx.pop_var());
    let meter = ctx.data().meter;
    match (&left, &right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(times))
        | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
            let times = jaq_std::ValT::as_f64(&Val::Num(times.clone())).unwrap_or(f64::MAX);
            if text.len() as f64 * times > meter.longest() as f64 {
                return Err(meter.exceed("it made a text larger than `output`"));
            }
        }
        (Val::Num(one), Val::Num(other)) if bits(one) + bits(other) > MOST_BITS => {
            return Err(meter.exceed("it made a number of more than 1000 digits"));
        }
        (Val::Obj(_), Val::Obj(_)) => {
            whole(meter, &left)?;
            whole(meter, &right)?;
        }
        _ => {}
    }
    (left * right).map_err(Exn::from)
}

/// How many bits an integer has that is a large one.
fn bits(number: &Num) -> u64 {
    match number {
        Num::BigInt(number) => number.bits(),
        _ => 0,
    }
}

fn over<'a>((mut ctx, _): Cv<'a, Kind>) -> ValX<'a, Val> {
    let (right, left) = (ctx.pop_var(), ctx.pop_var());
    if let (Val::TStr(text), Val::TStr(by)) | (Val::BStr(text), Val::BStr(by)) = (&left, &right) {
        let meter = ctx.data().meter;
        meter.work(text.len() / 512)?;
        let pieces = match by.is_empty() {
            true => text.len(),
            false => memmem::find_iter(text, &**by).count(),
        };
        meter.items(pieces)?;
        meter.begin(pieces.saturating_mul(8))?;
    }
    (left / right).map_err(Exn::from)
}
