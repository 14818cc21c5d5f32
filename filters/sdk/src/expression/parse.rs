//! From text to a plan.

use std::borrow::Cow;
use std::thread;

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use cel::parser::{ParseErrors, Parser};

use super::check::{Checker, DEEPEST, slot_at};
use super::evaluate::Program;
use super::kind::Kind;
use super::values::Slot;
use super::{Plan, names};

/// How long an expression may be, in bytes.
pub(super) const LONGEST: usize = 4096;

/// Room for the parser, which recurses as deep as the text says. It would run out of a thread's
/// usual stack, and take the process along, well within [`LONGEST`] bytes.
const STACK: usize = 32 << 20;

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub(super) fn parse(source: &str) -> Result<(Plan, Kind), String> {
    if source.len() > LONGEST {
        return Err(format!(
            "expected an expression of at most {LONGEST} bytes, found {}",
            source.len()
        ));
    }
    if source.trim().is_empty() {
        return Err("expected an expression, found nothing".into());
    }
    if let Some(path) = plain_name(source) {
        let fact = names::resolve(&path)?;
        let kind = fact.kind();
        return Ok((Plan::Fact(fact), kind));
    }
    // A panic of the parser ends with its thread.
    thread::scope(|scope| {
        thread::Builder::new()
            .name("expression".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || compile(source))
            .map_err(|error| format!("cannot start a thread for the parser: {error}"))?
            .join()
            .unwrap_or_else(|_| {
                Err("expected an expression, found what the parser gave up on".into())
            })
    })
}

fn compile(source: &str) -> Result<(Plan, Kind), String> {
    let depth = u16::try_from(DEEPEST).expect("a small number");
    let mut root = Parser::new()
        .max_recursion_depth(depth)
        .parse(source)
        .map_err(|errors| syntax_error(&errors))?;
    let mut checker = Checker::default();
    let kind = (checker.visit(&mut root)).map_err(|why| match dashed(source) {
        Some(written) => format!("{why}; a name with `-` in it is written {written}"),
        None => why,
    })?;
    Ok((plan(root, checker.slots), kind))
}

fn plan(root: IdedExpr, mut slots: Vec<Slot>) -> Plan {
    match &root.expr {
        Expr::Literal(LiteralValue::String(text)) => Plan::Literal(text.inner().into()),
        Expr::Ident(name) if slot_at(name).is_some() && matches!(slots[..], [Slot::Fact(_)]) => {
            match slots.pop() {
                Some(Slot::Fact(fact)) => Plan::Fact(fact),
                _ => unreachable!("just seen"),
            }
        }
        _ => Plan::Program(Program::new(root, slots)),
    }
}

/// The parts of a name such as `request.headers["x"]` that is all there is. Most expressions are
/// nothing else, and the parser takes some thousand times longer.
fn plain_name(source: &str) -> Option<Vec<&str>> {
    let (first, mut rest) = identifier(source.trim())?;
    if !names::is_root(first) {
        return None;
    }
    let mut parts = vec![first];
    while !rest.is_empty() {
        let part;
        (part, rest) = match rest.strip_prefix('.') {
            Some(rest) => identifier(rest)?,
            None => key(rest.strip_prefix('[')?)?,
        };
        parts.push(part);
    }
    Some(parts)
}

fn identifier(text: &str) -> Option<(&str, &str)> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !inner(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let starts = word.starts_with(|c: char| !c.is_ascii_digit());
    starts.then_some((word, rest))
}

/// `"name"]`, without escapes.
fn key(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (name, rest) = text[1..].split_once(quote)?;
    let plain = !name.is_empty() && !name.contains(['\\', '\n', '\r']);
    plain.then_some((name, rest.strip_prefix(']')?))
}

/// How the first name is written that has a `-` in it and is taken for a difference: `request.headers.x-a`.
fn dashed(source: &str) -> Option<String> {
    for map in [
        "request.headers",
        "response.headers",
        "request.query",
        "request.cookies",
        "params",
    ] {
        let mut rest = source;
        while let Some((_, after)) = rest.split_once(map) {
            rest = after;
            let word = after.strip_prefix('.').unwrap_or_default();
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let name = &word[..word.find(|c| !inner(c)).unwrap_or(word.len())];
            if name.trim_end_matches('-').contains('-') {
                return Some(format!("`{map}['{name}']`"));
            }
        }
    }
    None
}

/// The first of the parser's complaints, in our words.
fn syntax_error(errors: &ParseErrors) -> String {
    let Some(error) = errors.errors.first() else {
        return "expected an expression".into();
    };
    if error.msg.contains("Recursion limit") {
        return format!("expected at most {DEEPEST} levels of nesting, found more");
    }
    let reason = error
        .msg
        .strip_prefix("Syntax error: ")
        .unwrap_or(&error.msg);
    let reason: Cow<'_, str> = match reason.split_once(" expecting ") {
        Some((reason, _)) => reason.replace("'<EOF>'", "the end").into(),
        None => reason.into(),
    };
    let found = [
        "mismatched input ",
        "extraneous input ",
        "no viable alternative at input ",
    ];
    let found = found.iter().find_map(|words| reason.strip_prefix(words));
    let reason = found.map_or(reason.clone(), |found| format!("found {found}").into());
    format!(
        "expected an expression, at column {}: {reason}",
        error.pos.1
    )
}
