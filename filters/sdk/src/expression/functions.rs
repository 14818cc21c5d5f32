//! The functions that an expression can call.

use std::cell::LazyCell;
use std::sync::Arc;

use cel::common::types::{CelBool, CelInt, CelString, STRING_TYPE};
use cel::common::value::{CowVal, FromVal};
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::kind::Kind::{self, Any, Bool, Bytes, Double, Int, List, Map, Text, Time, Uint};
use super::moment::{Moment, TIME};
use super::values::{Compiled, NETWORKS, Networks, PATTERN};

/// One form of a function.
struct Function {
    name: &'static str,
    /// What it is called on, where it is called on a value.
    on: Option<Kind>,
    arguments: &'static [Kind],
    result: Kind,
}

const fn on(on: Kind, name: &'static str, arguments: &'static [Kind], result: Kind) -> Function {
    Function {
        name,
        on: Some(on),
        arguments,
        result,
    }
}

const fn of(name: &'static str, arguments: &'static [Kind], result: Kind) -> Function {
    Function {
        name,
        on: None,
        arguments,
        result,
    }
}

/// Every function that is not treated in a way of its own. What can make much of little, such as
/// `replace` or `split`, is left out: a client decides on the size of the texts.
const FUNCTIONS: &[Function] = &[
    of("bool", &[Text], Bool),
    of("bool", &[Bool], Bool),
    of("bytes", &[Text], Bytes),
    of("bytes", &[Bytes], Bytes),
    of("double", &[Text], Double),
    of("double", &[Int], Double),
    of("double", &[Uint], Double),
    of("double", &[Double], Double),
    of("dyn", &[Any], Any),
    of("int", &[Text], Int),
    of("int", &[Int], Int),
    of("int", &[Uint], Int),
    of("int", &[Double], Int),
    of("int", &[Time], Int),
    of("size", &[Text], Int),
    of("size", &[Bytes], Int),
    of("size", &[List], Int),
    of("size", &[Map], Int),
    of("string", &[Text], Text),
    of("string", &[Bool], Text),
    of("string", &[Bytes], Text),
    of("string", &[Double], Text),
    of("string", &[Int], Text),
    of("string", &[Time], Text),
    of("string", &[Uint], Text),
    of("type", &[Any], Kind::Type),
    of("uint", &[Text], Uint),
    of("uint", &[Int], Uint),
    of("uint", &[Uint], Uint),
    of("uint", &[Double], Uint),
    on(Bytes, "size", &[], Int),
    on(List, "size", &[], Int),
    on(Map, "size", &[], Int),
    on(Text, "charAt", &[Int], Text),
    on(Text, "contains", &[Text], Bool),
    on(Text, "endsWith", &[Text], Bool),
    on(Text, "indexOf", &[Text], Int),
    on(Text, "indexOf", &[Text, Int], Int),
    on(Text, "lastIndexOf", &[Text], Int),
    on(Text, "lastIndexOf", &[Text, Int], Int),
    on(Text, "lowerAscii", &[], Text),
    on(Text, "size", &[], Int),
    on(Text, "startsWith", &[Text], Bool),
    on(Text, "substring", &[Int], Text),
    on(Text, "substring", &[Int, Int], Text),
    on(Text, "trim", &[], Text),
    on(Text, "upperAscii", &[], Text),
    on(Time, "getDate", &[], Int),
    on(Time, "getDayOfMonth", &[], Int),
    on(Time, "getDayOfWeek", &[], Int),
    on(Time, "getFullYear", &[], Int),
    on(Time, "getHours", &[], Int),
    on(Time, "getMinutes", &[], Int),
    on(Time, "getMonth", &[], Int),
    on(Time, "getSeconds", &[], Int),
];

/// Functions whose arguments are looked at while the expression is compiled.
const SPECIAL: [&str; 4] = ["has", "in_cidr", "matches", "timestamp"];

/// The sort of value that a call gives.
///
/// # Errors
/// That there is no such function, or that it does not take these arguments.
pub(super) fn result_of(name: &str, on: Option<Kind>, arguments: &[Kind]) -> Result<Kind, String> {
    let named = || FUNCTIONS.iter().filter(|function| function.name == name);
    let takes = |function: &&Function| {
        on.map_or(function.on.is_none(), |on| {
            function.on.is_some_and(|kind| on.fits(kind))
        }) && arguments.len() == function.arguments.len()
            && arguments
                .iter()
                .zip(function.arguments)
                .all(|(a, b)| a.fits(*b))
    };
    let mut results = named().filter(takes).map(|function| function.result);
    if let Some(first) = results.next() {
        return Ok(if results.all(|other| other == first) {
            first
        } else {
            Any
        });
    }
    if named().next().is_none() {
        return Err(unknown(name));
    }
    let forms: Vec<String> = named()
        .map(|function| form(name, function.on, function.arguments))
        .collect();
    Err(format!(
        "expected {}, found {}",
        forms.join(" or "),
        form(name, on, arguments)
    ))
}

fn form(name: &str, on: Option<Kind>, arguments: &[Kind]) -> String {
    let on = on.map(|kind| format!("({kind}).")).unwrap_or_default();
    let arguments: Vec<String> = arguments.iter().map(Kind::to_string).collect();
    format!("`{on}{name}({})`", arguments.join(", "))
}

fn unknown(name: &str) -> String {
    let names = FUNCTIONS
        .iter()
        .map(|function| function.name)
        .chain(SPECIAL);
    let nearest = names
        .map(|known| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
        .min();
    match nearest {
        Some((_, known)) => format!("unknown function `{name}`, did you mean `{known}`?"),
        None => format!("unknown function `{name}`"),
    }
}

thread_local! {
    /// The functions never change. One set for each thread, so that its count of users is not
    /// passed between processors on every request.
    static ENV: LazyCell<Arc<Env>> = LazyCell::new(|| {
        Arc::new(environment().expect("every function is declared once"))
    });
}

/// What evaluates the functions.
pub(super) fn env() -> Arc<Env> {
    ENV.with(|env| Arc::clone(env))
}

fn environment() -> Result<Env, DeclarationError> {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    env.add_extension(extensions::strings)?;
    let (text, pattern) = (|| STRING_TYPE, || PATTERN.to_owned());
    env.add_overload("matches", "text_pattern", vec![text(), pattern()], matches)?;
    env.add_member_overload("matches", "text.pattern", text(), vec![pattern()], matches)?;
    env.add_overload(
        "in_cidr",
        "text_networks",
        vec![text(), NETWORKS.to_owned()],
        in_cidr,
    )?;
    for (name, call) in OF_TIME {
        env.add_overload(name, &format!("time_{name}"), vec![TIME.to_owned()], call)?;
    }
    for (name, call) in ON_TIME {
        env.add_member_overload(name, name, TIME.to_owned(), Vec::new(), call)?;
    }
    Ok(env)
}

type Call = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError>;

const OF_TIME: [(&str, Call); 2] = [
    ("int", |args| int(time(&args)?.seconds())),
    ("string", |args| {
        Ok(CowVal::owned(CelString::from(time(&args)?.to_string())))
    }),
];

const ON_TIME: [(&str, Call); 8] = [
    ("getDate", |args| int(time(&args)?.date().2)),
    ("getDayOfMonth", |args| int(time(&args)?.date().2 - 1)),
    ("getDayOfWeek", |args| int(time(&args)?.weekday())),
    ("getFullYear", |args| int(time(&args)?.date().0)),
    ("getHours", |args| int(time(&args)?.of_day() / 3_600)),
    ("getMinutes", |args| int(time(&args)?.of_day() / 60 % 60)),
    ("getMonth", |args| int(time(&args)?.date().1 - 1)),
    ("getSeconds", |args| int(time(&args)?.of_day() % 60)),
];

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let pattern = argument::<Compiled>(&args, 1)?;
    Ok(CowVal::owned(CelBool::from(
        pattern.0.is_match(argument::<CelString>(&args, 0)?.inner()),
    )))
}

/// What is no address is in no network.
fn in_cidr<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let networks = argument::<Networks>(&args, 1)?;
    let address = argument::<CelString>(&args, 0)?.inner().parse();
    let inside = address.is_ok_and(|address| networks.0.contains(address));
    Ok(CowVal::owned(CelBool::from(inside)))
}

fn time(args: &[CowVal<'_, '_>]) -> Result<Moment, ExecutionError> {
    argument::<Moment>(args, 0).copied()
}

fn int<'b, 'v>(number: i64) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(CowVal::owned(CelInt::from(number)))
}

fn argument<'a, 'v, T: FromVal<'a, 'v>>(
    args: &'a [CowVal<'a, 'v>],
    at: usize,
) -> Result<&'a T, ExecutionError> {
    args.get(at)
        .and_then(|value| value.downcast_ref())
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::testing::Given;
    use crate::expression::tests::text;

    fn sample(kind: Kind) -> &'static str {
        match kind {
            Text => "\"10\"",
            Int => "1",
            Uint => "1u",
            Double => "1.0",
            Bool => "true",
            Bytes => "b\"1\"",
            List => "[1]",
            Map => "{\"a\": 1}",
            Time => "request.time",
            Kind::Null | Kind::Type | Any => "null",
        }
    }

    #[test]
    fn every_function_that_is_listed_can_be_called() {
        let given = Given::default();
        for function in FUNCTIONS {
            let on = function.on.map(|kind| format!("{}.", sample(kind)));
            let arguments: Vec<_> = function.arguments.iter().map(|k| sample(*k)).collect();
            let call = format!(
                "{}{}({})",
                on.unwrap_or_default(),
                function.name,
                arguments.join(", ")
            );
            // Only the value of a function that takes any argument is not always comparable.
            let literal = if function.name == "bool" && arguments == ["\"10\""] {
                "bool(\"true\")"
            } else {
                &call
            };
            let compared = format!("{literal} == {literal}");
            assert_eq!(text(&given, &compared), "true", "{compared}");
        }
    }

    #[test]
    fn says_which_forms_there_are() {
        assert_eq!(
            result_of("startsWith", Some(Text), &[Int]).unwrap_err(),
            "expected `(text).startsWith(text)`, found `(text).startsWith(a number)`"
        );
        assert_eq!(
            result_of("startswith", Some(Text), &[Text]).unwrap_err(),
            "unknown function `startswith`, did you mean `startsWith`?"
        );
        assert_eq!(
            result_of("banana", None, &[]).unwrap_err(),
            "unknown function `banana`"
        );
    }
}
