//! Looking for one value in another, in steps.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, v};
use jaq_core::{Cv, Error, Exn, Native, ValX};
use jaq_json::Val;
use memchr::memmem;

use super::Kind;
use super::meter::Meter;

pub(super) fn natives() -> [Fun<Kind>; 2] {
    [
        ("contains", v(1), Native::new(|cv| box_once(contains(cv)))),
        ("indices", v(1), Native::new(|cv| box_once(indices(cv)))),
    ]
}

fn contains<'a>((mut ctx, value): Cv<'a, Kind>) -> ValX<'a, Val> {
    let part = ctx.pop_var();
    has(ctx.data().meter, &value, &part).map(Val::from)
}

/// Whether a value has another one in it: a text a part of it; an array, in some element, each element; an
/// object each member; anything else is the same.
fn has<'a>(meter: &Meter, value: &Val, part: &Val) -> Result<bool, Exn<'a, Val>> {
    meter.work(1)?;
    match (value, part) {
        (Val::BStr(value), Val::BStr(part)) | (Val::TStr(value), Val::TStr(part)) => {
            meter.work((value.len() + part.len()) / 512)?;
            Ok(memmem::find(value, part).is_some())
        }
        (Val::Arr(values), Val::Arr(parts)) => {
            for part in parts.iter() {
                let mut found = false;
                for value in values.iter() {
                    found = has(meter, value, part)?;
                    if found {
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Val::Obj(values), Val::Obj(parts)) => {
            for (key, part) in parts.iter() {
                let found = match values.get(key) {
                    Some(value) => has(meter, value, part)?,
                    None => false,
                };
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(value == part),
    }
}

/// Where a value is in another one: a text in a text, elements in an array, or one element.
fn indices<'a>((mut ctx, value): Cv<'a, Kind>) -> ValX<'a, Val> {
    let part = ctx.pop_var();
    let meter = ctx.data().meter;
    let found = match (&value, &part) {
        (Val::BStr(_), Val::BStr(part)) | (Val::TStr(_), Val::TStr(part)) if part.is_empty() => {
            Vec::new()
        }
        (Val::BStr(text), Val::BStr(part)) => in_text(meter, text, part, |_| true)?,
        // Positions are those of characters.
        (Val::TStr(text), Val::TStr(part)) => in_text(meter, text, part, starts_character)?,
        (Val::Arr(_), Val::Arr(parts)) if parts.is_empty() => Vec::new(),
        (Val::Arr(values), Val::Arr(parts)) => {
            in_array(meter, &part, values.windows(parts.len()), |window| {
                *window == **parts
            })?
        }
        (Val::Arr(values), part) => in_array(meter, part, values.iter(), |value| value == part)?,
        _ => return Err(Exn::from(Error::index(value, part))),
    };
    Ok(found.into_iter().map(Val::from).collect())
}

pub(super) fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Where a part is in a text; places may overlap. `counts` is whether a byte is one that positions count.
fn in_text<'a>(
    meter: &Meter,
    text: &[u8],
    part: &[u8],
    counts: fn(u8) -> bool,
) -> Result<Vec<usize>, Exn<'a, Val>> {
    let finder = memmem::Finder::new(part);
    let (mut found, mut from, mut position) = (Vec::new(), 0, 0);
    while let Some(at) = finder.find(&text[from..]) {
        meter.work(1 + (at + part.len()) / 512)?;
        position += text[from..from + at].iter().filter(|b| counts(**b)).count();
        found.push(position);
        meter.items(found.len())?;
        position += 1;
        from += at + 1;
        while from < text.len() && !counts(text[from]) {
            from += 1;
        }
    }
    meter.work((text.len() - from) / 512)?;
    Ok(found)
}

/// Which of these places in an array hold a part.
fn in_array<'a, P>(
    meter: &Meter,
    part: &Val,
    places: impl Iterator<Item = P>,
    holds: impl Fn(P) -> bool,
) -> Result<Vec<usize>, Exn<'a, Val>> {
    let weight = meter.weight(part)?;
    let mut found = Vec::new();
    for (number, place) in places.enumerate() {
        meter.begin(weight)?;
        if holds(place) {
            found.push(number);
        }
    }
    Ok(found)
}
