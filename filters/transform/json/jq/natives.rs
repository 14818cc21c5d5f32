//! Filters of our own, which programs cannot name but [`super::instrument`] puts into them, and
//! those that take the place of ones that know no limit.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, v};
use jaq_core::{Cv, Error, Exn, Native, ValX};
use jaq_json::{Val, read};

use super::{Kind, scan, to_json};

/// A step of a loop: gives what it gets.
pub(super) const STEP: &str = "a step";
/// A value has been made: gives what it gets.
pub(super) const MADE: &str = "a made value";
/// What is written into a text.
pub(super) const TEXT: &str = "a text";
/// A product.
pub(super) const TIMES: &str = "a product";

/// Filters that tell what no request may know, end the run, or know no limit.
pub(super) const WITHHELD: [&str; 6] = [
    "env",
    "halt",
    "debug_empty",
    "stderr_empty",
    "fromjson",
    "tojson",
];

/// Our own filters.
pub(super) fn natives() -> [Fun<Kind>; 6] {
    [
        (STEP, v(0), step()),
        (MADE, v(0), Native::new(|cv| box_once(made(cv)))),
        (TEXT, v(0), Native::new(|cv| box_once(text(cv)))),
        (TIMES, v(2), Native::new(|cv| box_once(times(cv)))),
        ("tojson", v(0), Native::new(|cv| box_once(json(cv)))),
        ("fromjson", v(0), Native::new(|cv| box_once(parse(cv)))),
    ]
}

fn step() -> Native<Kind> {
    Native::new(|cv: Cv<'_, Kind>| {
        let stepped = cv.0.data().meter.step(&cv.1);
        box_once(stepped.map(|()| cv.1))
    })
    .with_paths(|cv| {
        let stepped = cv.0.data().meter.step(&cv.1.0);
        box_once(stepped.map(|()| cv.1))
    })
    .with_update(|cv, update| match cv.0.data().meter.step(&cv.1) {
        Ok(()) => update(cv.1),
        Err(ended) => box_once(Err(ended)),
    })
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
    read::parse_single(&text).map_err(|error| fail(error.to_string()))
}

fn times<'a>((mut ctx, _): Cv<'a, Kind>) -> ValX<'a, Val> {
    let (right, left) = (ctx.pop_var(), ctx.pop_var());
    let length = match (&left, &right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(times))
        | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
            let times = jaq_std::ValT::as_f64(&Val::Num(times.clone())).unwrap_or(f64::MAX);
            text.len() as f64 * times
        }
        _ => 0.0,
    };
    let meter = ctx.data().meter;
    if length > meter.longest() as f64 {
        return Err(meter.exceed("it made a text larger than `output`"));
    }
    (left * right).map_err(Exn::from)
}
