//! Puts the meter into programs: whatever can go on for long takes steps, and what makes values or
//! texts has them measured.
//!
//! A program loops by calling itself, by `reduce` and `foreach`, and over what `.[]`, `..` and
//! `range` give. There is no other way.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Opt, Part, Path};

use super::natives::{APART, INDEX, KEY, MADE, OVER, SORTED, STEP, TEXT, TIMES, WHOLE};

type T<'s> = Term<&'s str>;

/// What carries the right side of `*=`, `/=` and `-=` into the left; no program can name it.
const OPERAND: &str = "$an operand";

/// What looks at the input of a filter of jaq's before that begins, and at what its arguments give.
fn guards(name: &str, args: usize) -> (Option<&'static str>, Option<&'static str>) {
    match (name, args) {
        ("sort", 0) | ("sort_by" | "group_by" | "min_by_or_empty" | "max_by_or_empty", 1) => {
            (Some(SORTED), Some(KEY))
        }
        ("bsearch", 1) => (None, Some(SORTED)),
        (
            "explode" | "implode" | "reverse" | "keys_unsorted" | "key_values" | "encode_uri"
            | "decode_uri" | "encode_base64" | "decode_base64" | "escape_html" | "unescape_html"
            | "escape_sh",
            0,
        ) => (Some(APART), None),
        ("tobytes", 0) => (Some(WHOLE), None),
        ("has", 1) => (None, Some(INDEX)),
        ("ascii_downcase" | "ascii_upcase" | "length" | "trim" | "ltrim" | "rtrim", 0)
        | ("startswith" | "endswith" | "ltrimstr" | "rtrimstr", 1) => (Some(STEP), Some(STEP)),
        _ => (None, None),
    }
}

/// A definition that counts.
pub(super) fn definition(def: Def<&str>) -> Def<&str> {
    Def {
        body: pipe(call(STEP), term(def.body)),
        ..def
    }
}

/// A term that counts.
pub(super) fn term(written: T<'_>) -> T<'_> {
    match written {
        Term::Recurse => pipe(Term::Recurse, call(STEP)),
        Term::Str(format, parts) => {
            let is_plain = format.is_none();
            let part = |part| match part {
                StrPart::Term(value) if is_plain => StrPart::Term(pipe(term(value), call(TEXT))),
                StrPart::Term(value) => StrPart::Term(term(value)),
                other => other,
            };
            let parts = parts.into_iter().map(part).collect();
            pipe(Term::Str(format, parts), call(MADE))
        }
        Term::Arr(inner) => pipe(Term::Arr(inner.map(|inner| boxed(*inner))), call(MADE)),
        Term::Obj(entries) => {
            let entries = entries.into_iter().map(|(key, value)| match value {
                Some(value) => (looked_at(key, WHOLE), Some(term(value))),
                // `{a}` and `{$a}` must keep their form; `{"\\(f)"}` is `{(f): .[f]}`.
                None if matches!(key, Term::Str(..)) && !is_simple(&key) => {
                    let index = (Part::Index(key.clone()), Opt::Essential);
                    (looked_at(key, WHOLE), Some(path(Term::Id, vec![index])))
                }
                None => (key, None),
            });
            pipe(Term::Obj(entries.collect()), call(MADE))
        }
        Term::Neg(inner) => Term::Neg(boxed(*inner)),
        Term::BinOp(left, op, right) => operation(term(*left), op, term(*right)),
        Term::Label(name, inner) => Term::Label(name, boxed(*inner)),
        Term::Fold(word, over, pattern, parts) => {
            let mut parts: Vec<_> = parts.into_iter().map(term).collect();
            if let Some(update) = parts.get_mut(1) {
                *update = pipe(call(STEP), std::mem::take(update));
            }
            Term::Fold(word, boxed(*over), self::pattern(pattern), parts)
        }
        Term::TryCatch(tried, caught) => {
            Term::TryCatch(boxed(*tried), caught.map(|caught| boxed(*caught)))
        }
        Term::IfThenElse(cases, other) => {
            let cases = cases
                .into_iter()
                .map(|(when, then)| (term(when), term(then)));
            Term::IfThenElse(cases.collect(), other.map(|other| boxed(*other)))
        }
        Term::Def(defs, inner) => {
            let defs = defs.into_iter().map(definition);
            Term::Def(defs.collect(), boxed(*inner))
        }
        Term::Call(name, args) => {
            let is_range = name == "range" && args.len() == 3;
            let (input, argument) = guards(name, args.len());
            let args = args.into_iter().map(|arg| match argument {
                Some(argument) => looked_at(arg, argument),
                None => term(arg),
            });
            let called = Term::Call(name, args.collect());
            match input {
                _ if is_range => pipe(called, call(STEP)),
                Some(input) => pipe(call(input), called),
                None => called,
            }
        }
        Term::Path(from, Path(parts)) => path(*from, parts),
        Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) => written,
    }
}

/// A path counts for each of the values that it gives, and for what it cuts texts and arrays from.
fn path<'s>(from: T<'s>, parts: Vec<(Part<T<'s>>, Opt)>) -> T<'s> {
    let is_many = |part: &Part<_>| matches!(part, Part::Range(None, None));
    let several = parts.iter().any(|(part, _)| is_many(part));
    let mut from = term(from);
    let mut before = Vec::new();
    for (part, opt) in parts {
        if matches!(part, Part::Range(..)) && !is_many(&part) {
            if !before.is_empty() {
                from = Term::Path(from.into(), Path(std::mem::take(&mut before)));
            }
            from = pipe(from, call(STEP));
        }
        before.push((path_part(part), opt));
    }
    let path = Term::Path(from.into(), Path(before));
    match several {
        true => pipe(path, call(STEP)),
        false => path,
    }
}

/// An operation on two terms that count already.
fn operation<'s>(left: T<'s>, op: BinaryOp<&'s str>, right: T<'s>) -> T<'s> {
    let is_simple = is_simple(&left) || is_simple(&right);
    match op {
        BinaryOp::Math(Math::Mul) => Term::Call(TIMES, vec![left, right]),
        BinaryOp::Math(Math::Div) => Term::Call(OVER, vec![left, right]),
        BinaryOp::Math(Math::Sub) if !is_simple => {
            let (left, right) = (pipe(left, call(SORTED)), pipe(right, call(SORTED)));
            Term::BinOp(left.into(), op, right.into())
        }
        BinaryOp::Cmp(_) if !is_simple => {
            let (left, right) = (pipe(left, call(WHOLE)), pipe(right, call(WHOLE)));
            Term::BinOp(left.into(), op, right.into())
        }
        BinaryOp::UpdateMath(math @ (Math::Mul | Math::Div | Math::Sub)) => {
            let done = operation(Term::Id, BinaryOp::Math(math), Term::Var(OPERAND));
            let update = Term::BinOp(left.into(), BinaryOp::Update, done.into());
            let bind = BinaryOp::Pipe(Some(Pattern::Var(OPERAND)));
            pipe(Term::BinOp(right.into(), bind, update.into()), call(MADE))
        }
        BinaryOp::Pipe(pattern) => {
            let op = BinaryOp::Pipe(pattern.map(self::pattern));
            Term::BinOp(left.into(), op, right.into())
        }
        BinaryOp::Assign
        | BinaryOp::Update
        | BinaryOp::UpdateMath(_)
        | BinaryOp::UpdateAlt
        | BinaryOp::Math(Math::Add) => pipe(Term::BinOp(left.into(), op, right.into()), call(MADE)),
        op => Term::BinOp(left.into(), op, right.into()),
    }
}

/// Whether it takes no time to compare anything with what this gives.
fn is_simple(written: &T<'_>) -> bool {
    match written {
        Term::Num(_) | Term::Arr(None) => true,
        Term::Obj(entries) => entries.is_empty(),
        Term::Str(None, parts) => !parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        Term::Call(name, args) => args.is_empty() && ["null", "true", "false"].contains(name),
        // As they are after they count.
        Term::BinOp(made, BinaryOp::Pipe(None), _) => {
            matches!(**made, Term::Str(..) | Term::Arr(None) | Term::Obj(_)) && is_simple(made)
        }
        _ => false,
    }
}

fn pattern(written: Pattern<&str>) -> Pattern<&str> {
    match written {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => Pattern::Arr(parts.into_iter().map(pattern).collect()),
        Pattern::Obj(parts) => {
            let parts = parts
                .into_iter()
                .map(|(key, part)| (looked_at(key, INDEX), pattern(part)));
            Pattern::Obj(parts.collect())
        }
    }
}

fn path_part(part: Part<T<'_>>) -> Part<T<'_>> {
    match part {
        Part::Index(index) => Part::Index(looked_at(index, INDEX)),
        Part::Range(from, to) => Part::Range(from.map(term), to.map(term)),
    }
}

/// A term that counts, and whose values this looks at; what is written out needs neither.
fn looked_at<'s>(written: T<'s>, by: &'static str) -> T<'s> {
    match written {
        written @ (Term::Num(_) | Term::Str(None, _)) if is_simple(&written) => written,
        written => pipe(term(written), call(by)),
    }
}

fn boxed(written: T<'_>) -> Box<T<'_>> {
    Box::new(term(written))
}

fn call<'s>(name: &'static str) -> T<'s> {
    Term::Call(name, Vec::new())
}

fn pipe<'s>(left: T<'s>, right: T<'s>) -> T<'s> {
    Term::BinOp(left.into(), BinaryOp::Pipe(None), right.into())
}
