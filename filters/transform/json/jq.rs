//! Programs in jq, compiled at load and bounded when they run.

mod compile;
mod instrument;
mod meter;
mod natives;
mod recursion;
mod regex;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jaq_core::data::HasLut;
use jaq_core::{Ctx, Exn, Lut, Vars};
use jaq_json::{Val, read, write};
use wiregate_sdk::types::{Pairs, Period, Size};
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{Deserialize, Facts, Invalid, JsonSchema, Template};

use super::super::bounded::Bounded;
use super::super::respond::text::Check;
use super::scan;
use meter::Meter;

/// A program, or a program with its arguments and limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars", inline)]
pub(super) struct Config(ShortOrFull<String, Options>);

/// A program with its arguments and limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "JqOptions")]
struct Options {
    /// The program. It gets the document and gives one value, which takes its place.
    program: String,
    /// Texts that the program finds in variables: `tenant` in `$tenant`.
    #[serde(default)]
    args: Pairs<String, Template>,
    /// How long it may run; at most 10s.
    #[serde(default = "usual_time")]
    time: Period,
    /// How large the value that it gives may be, and each text that it makes on the way.
    #[serde(default = "usual_output")]
    output: Size,
}

const LONGEST: Duration = Duration::from_secs(10);
/// How many digits a number may have.
const MOST_DIGITS: usize = 1000;

fn usual_time() -> Period {
    Period::millis(100)
}

fn usual_output() -> Size {
    Size::mib(8)
}

/// A compiled program.
pub(super) struct Program {
    filter: jaq_core::Filter<Kind>,
    args: Vec<Template>,
    time: Duration,
    output: usize,
}

/// Why a program gave no document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It ended with an error, or with something else than one value.
    Failed(&'static str),
    /// It ran into a limit.
    Exhausted(&'static str),
}

/// What programs work with: values of JSON, and the meter of the run.
pub(super) struct Kind;

#[derive(Clone)]
pub(super) struct Data<'a> {
    lut: &'a Lut<Kind>,
    meter: &'a Meter,
}

impl jaq_core::DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

impl<'a> HasLut<'a, Kind> for Data<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

impl Program {
    /// Compiles what was written below `at`.
    ///
    /// # Errors
    /// What is wrong with it, its arguments included, which must stand this check.
    pub(super) fn new(config: Config, at: &str, check: Check) -> Result<Arc<Self>, Invalid> {
        let (options, place) = match config.0 {
            ShortOrFull::Full(options) => (options, format!("{at}.program")),
            ShortOrFull::Short(program) => {
                let options = Options {
                    program,
                    args: Pairs::default(),
                    time: usual_time(),
                    output: usual_output(),
                };
                (options, at.to_owned())
            }
        };
        let mut invalid = Invalid::default();
        for (name, _) in options.args.iter().filter(|(name, _)| !is_name(name)) {
            let message = format!("expected a name such as `tenant`, found `{name}`");
            invalid.and(Invalid::at(format!("{at}.args.{name}"), message));
        }
        for (name, arg) in options.args.iter() {
            if let Err(why) = check(arg) {
                invalid.and(Invalid::at(format!("{at}.args.{name}"), why));
            }
        }
        let time = options.time.get();
        if time > LONGEST {
            let message = format!("expected at most 10s, found `{}`", options.time);
            invalid.and(Invalid::at(format!("{at}.time"), message));
        }
        invalid.into_result()?;
        let (names, args): (Vec<_>, Vec<_>) = options.args.into_iter().unzip();
        let filter = compile::compile(&options.program, &names);
        Ok(Arc::new(Self {
            filter: filter.map_err(|error| Invalid::at(place, error))?,
            args,
            time,
            output: options.output.len(),
        }))
    }

    /// How long it may run.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// The values of its arguments in this exchange.
    ///
    /// # Errors
    /// Why an expression has no value.
    pub(super) fn args(&self, facts: &Facts<'_>) -> Result<Vec<String>, String> {
        let values = self.args.iter().map(|arg| arg.render(facts));
        values.map(|value| value.map(Into::into)).collect()
    }

    /// Runs the program on a document that has been checked to be JSON. Takes up to [`Self::time`].
    ///
    /// # Errors
    /// Why there is no other document.
    pub(super) fn run(&self, text: &[u8], args: Vec<String>) -> Result<Vec<u8>, Failure> {
        if has_long_number(text) {
            return Err(Failure::Failed("a number has more than 1000 digits"));
        }
        let document = read::parse_single(text);
        let document = document.map_err(|_| Failure::Failed("cannot read the document"))?;
        let meter = Meter::new(self.time, self.output);
        let data = Data {
            lut: &self.filter.lut,
            meter: &meter,
        };
        // The last of the variables comes first.
        let ctx = Ctx::<Kind>::new(data, Vars::new(args.into_iter().map(Val::from)));
        let mut values = self.filter.id.run((ctx, document));
        let mut next = || {
            let value = values.next().transpose();
            value.map_err(|exception| failure(exception, &meter))
        };
        let value = next()?.ok_or(Failure::Failed("expected one value, found none"))?;
        if next()?.is_some() {
            return Err(Failure::Failed("expected one value, found several"));
        }
        let text = self.write(&value)?;
        scan::check(&text).map_err(|_| {
            Failure::Failed("expected a value that JSON can write, found another one")
        })?;
        Ok(text)
    }

    fn write(&self, value: &Val) -> Result<Vec<u8>, Failure> {
        if !meter::is_within(value, scan::DEEPEST, &mut self.output.clone()) {
            return Err(Failure::Exhausted("its value is too large or too deep"));
        }
        let text = to_json(value, self.output);
        text.ok_or(Failure::Exhausted("its value is larger than `output`"))
    }
}

fn failure(exception: Exn<'_, Val>, meter: &Meter) -> Failure {
    match (meter.exceeded(), exception.get_err()) {
        (Some(limit), _) => Failure::Exhausted(limit),
        // What it says may be from the body.
        (None, _) => Failure::Failed("the program ended with an error"),
    }
}

/// Whether a number in a document has more digits than can be read in a moment: that takes the square of their count.
fn has_long_number(text: &[u8]) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let outside = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        let digits = rest[..outside].split(|byte| !byte.is_ascii_digit());
        if digits.map(<[u8]>::len).max() > Some(MOST_DIGITS) {
            return true;
        }
        rest = rest.get(outside + 1..).unwrap_or_default();
        // To the end of the text that begins here.
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            let escape = rest[at] == b'\\';
            rest = rest.get(at + 1 + usize::from(escape)..).unwrap_or_default();
            if !escape {
                break;
            }
        }
    }
    false
}

/// A value as JSON; `None` where that is longer than `limit`.
fn to_json(value: &Val, limit: usize) -> Option<Vec<u8>> {
    let mut out = Bounded::new(limit);
    let written = write::write(&mut out, &write::Pp::default(), 0, value);
    written.is_ok().then(|| out.into_bytes())
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
