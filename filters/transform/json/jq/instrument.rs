//! Puts the meter into programs: whatever can go on for long takes steps, and what makes values or
//! texts has them measured.
//!
//! A program loops by calling itself, by `reduce` and `foreach`, and over what `.[]`, `..` and
//! `range` give. There is no other way.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use super::natives::{MADE, STEP, TEXT, TIMES};

type T<'s> = Term<&'s str>;

/// What carries the right side of `*=` into its left; no program can name it.
const FACTOR: &str = "$a factor";

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
                Some(value) => (term(key), Some(term(value))),
                // `{a}` and `{$a}` must keep their form.
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
            let called = Term::Call(name, args.into_iter().map(term).collect());
            match is_range {
                true => pipe(called, call(STEP)),
                false => called,
            }
        }
        Term::Path(from, Path(parts)) => {
            let is_many = |part: &Part<_>| matches!(part, Part::Range(None, None));
            let several = parts.iter().any(|(part, _)| is_many(part));
            let parts = parts.into_iter().map(|(part, opt)| (path_part(part), opt));
            let path = Term::Path(boxed(*from), Path(parts.collect()));
            match several {
                true => pipe(path, call(STEP)),
                false => path,
            }
        }
        Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) => written,
    }
}

fn operation<'s>(left: T<'s>, op: BinaryOp<&'s str>, right: T<'s>) -> T<'s> {
    match op {
        BinaryOp::Math(Math::Mul) => Term::Call(TIMES, vec![left, right]),
        BinaryOp::UpdateMath(Math::Mul) => {
            let times = Term::Call(TIMES, vec![Term::Id, Term::Var(FACTOR)]);
            let update = Term::BinOp(left.into(), BinaryOp::Update, times.into());
            let bind = BinaryOp::Pipe(Some(Pattern::Var(FACTOR)));
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

fn pattern(written: Pattern<&str>) -> Pattern<&str> {
    match written {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => Pattern::Arr(parts.into_iter().map(pattern).collect()),
        Pattern::Obj(parts) => {
            let parts = parts.into_iter().map(|(key, part)| (key, pattern(part)));
            Pattern::Obj(parts.collect())
        }
    }
}

fn path_part(part: Part<T<'_>>) -> Part<T<'_>> {
    match part {
        Part::Index(index) => Part::Index(term(index)),
        Part::Range(from, to) => Part::Range(from.map(term), to.map(term)),
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
