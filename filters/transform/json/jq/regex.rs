//! Regular expressions, in the engine of jaq, but one match after the other.
//!
//! A search takes as long as its text is long, times the states of its pattern; all matches of a text may take the
//! square of that. So each search is begun only if there is time for it, and patterns have bounds.

use std::rc::Rc;

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, v};
use jaq_core::{Cv, Error, Exn, Native, ValT as _, ValX};
use jaq_json::Val;
use jaq_std::ValT as _;
use regex_bites::bytes::{Captures, Match, Regex, RegexBuilder};

use super::Kind;
use super::meter::Meter;
use super::search::starts_character;

/// How much memory compiled patterns may take, in steps: the first that is enough tells how many states there are.
const SIZES: [usize; 5] = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18];
/// What a state takes, at least.
const STATE: usize = 24;
/// Of the states of a pattern, so many are rarely looked at for one byte: one in this many.
const ACTIVE: usize = 4;
/// More matches of one text than this are not kept: each is an object or more.
const MOST_MATCHES: usize = 250_000;

pub(super) fn natives() -> [Fun<Kind>; 3] {
    [
        (
            "matches",
            v(2),
            Native::new(|cv| box_once(search(cv, (false, true)))),
        ),
        (
            "split_matches",
            v(2),
            Native::new(|cv| box_once(search(cv, (true, true)))),
        ),
        (
            "split_",
            v(2),
            Native::new(|cv| box_once(search(cv, (true, false)))),
        ),
    ]
}

/// A compiled pattern. The last one of a run is kept.
pub(super) struct Pattern {
    written: (Val, Val),
    regex: Regex,
    states: usize,
    /// `g`: all matches, not only the first.
    all: bool,
    /// `n`: without empty ones.
    filled: bool,
}

impl Pattern {
    fn new(pattern: &Val, flags: &Val) -> Result<Self, Error<Val>> {
        let [source, letters] = [pattern, flags].map(text);
        let (source, letters) = (source?, letters?);
        if let Some(wrong) = letters.chars().find(|letter| !"gnimslxp".contains(*letter)) {
            return Err(Error::str(format!("invalid regex flag: {wrong}")));
        }
        let has = |letter| letters.contains(letter);
        let mut builder = RegexBuilder::new(source);
        builder
            .case_insensitive(has('i'))
            .multi_line(has('m') || has('p'))
            .dot_matches_new_line(has('s') || has('p'))
            .swap_greed(has('l'))
            .ignore_whitespace(has('x'));
        let mut built = Err(String::new());
        for size in SIZES {
            let regex = builder.size_limit(size).build();
            built = regex
                .map(|regex| (regex, size / STATE))
                .map_err(|error| error.to_string());
            if built.is_ok() {
                break;
            }
        }
        let (regex, states) = built.map_err(|why| Error::str(format!("invalid regex: {why}")))?;
        Ok(Self {
            written: (pattern.clone(), flags.clone()),
            regex,
            states,
            all: has('g'),
            filled: has('n'),
        })
    }
}

fn text(value: &Val) -> Result<&str, Error<Val>> {
    let bytes = value.as_utf8_bytes();
    let bytes = bytes.ok_or_else(|| Error::typ(value.clone(), "string"))?;
    std::str::from_utf8(bytes).map_err(Error::str)
}

/// The pattern, as it was compiled before, or anew.
fn compiled<'a>(meter: &Meter, pattern: &Val, flags: &Val) -> Result<Rc<Pattern>, Exn<'a, Val>> {
    let mut last = meter.pattern.borrow_mut();
    let same = last
        .take()
        .filter(|last| last.written.0 == *pattern && last.written.1 == *flags);
    let found = match same {
        Some(same) => same,
        None => {
            meter.work(32)?;
            Rc::new(Pattern::new(pattern, flags).map_err(Exn::from)?)
        }
    };
    *last = Some(found.clone());
    Ok(found)
}

/// What a pattern finds in a text: what is between matches, the matches, or both.
fn search<'a>((mut ctx, input): Cv<'a, Kind>, (between, found): (bool, bool)) -> ValX<'a, Val> {
    let (flags, source) = (ctx.pop_var(), ctx.pop_var());
    let meter = ctx.data().meter;
    let pattern = compiled(meter, &source, &flags)?;
    let haystack = input.try_as_utf8_bytes_owned().map_err(Exn::from)?;
    let part = |from, to| Val::utf8_str(haystack.slice(from..to));
    let mut out = Vec::new();
    let (mut end, mut counted) = (0, (0, 0));
    let mut matches = pattern.regex.captures_iter(&haystack);
    loop {
        let left = haystack.len() - end;
        meter.begin((1 + left).saturating_mul(pattern.states) / ACTIVE)?;
        let Some(captures) = matches.next() else {
            break;
        };
        let whole = captures.get(0).expect("a match is there as a whole");
        if pattern.filled && whole.is_empty() {
            continue;
        }
        if between {
            out.push(part(end, whole.start()));
        }
        end = whole.end();
        if found {
            counted.1 += characters(&haystack[counted.0..whole.start()]);
            counted.0 = whole.start();
            out.push(
                described(&pattern.regex, &captures, counted, &haystack, &part)
                    .map_err(Exn::from)?,
            );
        }
        if out.len() > MOST_MATCHES {
            return Err(meter.exceed("it made a value that is too large or too deep"));
        }
        if !pattern.all {
            break;
        }
    }
    if between {
        out.push(part(end, haystack.len()));
    }
    Ok(out.into_iter().collect())
}

/// A match and its groups, as objects. `start` is where it begins, in bytes and in characters.
fn described(
    regex: &Regex,
    captures: &Captures<'_>,
    start: (usize, usize),
    haystack: &[u8],
    part: &impl Fn(usize, usize) -> Val,
) -> Result<Val, Error<Val>> {
    let group = |(found, name): (Option<Match<'_>>, Option<&str>)| {
        let found = found?;
        let offset = start.1 + characters(&haystack[start.0..found.start()]);
        let length = characters(&haystack[found.start()..found.end()]);
        let fields = [
            ("offset", Val::from(offset)),
            ("length", Val::from(length)),
            ("string", part(found.start(), found.end())),
        ];
        let name = name.map(|name| ("name", Val::from(name.to_owned())));
        let fields = fields.into_iter().chain(name);
        Some(Val::from_map(
            fields.map(|(key, value)| (Val::from(key.to_owned()), value)),
        ))
    };
    captures
        .iter()
        .zip(regex.capture_names())
        .filter_map(group)
        .collect()
}

fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| starts_character(**byte)).count()
}
