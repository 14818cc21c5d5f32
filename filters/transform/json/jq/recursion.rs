//! Recursion that no meter can follow.
//!
//! A definition that takes a filter and calls itself with another one ties each filter to the one
//! before it, without end and without a step on the stack until they are all let go at once.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{Def, Pattern, Term};
use jaq_core::path::Part;

/// A definition in this program that takes a filter and may call itself. It can do so within its
/// own body only.
pub(super) fn of_filters<'s>(program: &Term<&'s str>) -> Option<&'s str> {
    let mut found = None;
    walk(program, &mut |term| {
        if let Term::Def(defs, _) = term {
            found = found.or_else(|| defs.iter().find(|def| is_recursive(def)).map(|d| d.name));
        }
    });
    found
}

fn is_recursive(def: &Def<&str>) -> bool {
    let mut calls_itself = false;
    if def.args.iter().any(|arg| !arg.starts_with('$')) {
        walk(&def.body, &mut |term| {
            calls_itself |= matches!(term, Term::Call(name, args)
                if *name == def.name && args.len() == def.args.len());
        });
    }
    calls_itself
}

/// Calls with a term and all that it is made of.
fn walk<'s>(term: &Term<&'s str>, seen: &mut impl FnMut(&Term<&'s str>)) {
    seen(term);
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => {}
        Term::Str(_, parts) => {
            for part in parts {
                if let StrPart::Term(inner) = part {
                    walk(inner, seen);
                }
            }
        }
        Term::Arr(inner) => inner.iter().for_each(|inner| walk(inner, seen)),
        Term::Obj(entries) => {
            for (key, value) in entries {
                walk(key, seen);
                value.iter().for_each(|value| walk(value, seen));
            }
        }
        Term::Neg(inner) | Term::Label(_, inner) => walk(inner, seen),
        Term::BinOp(left, op, right) => {
            walk(left, seen);
            if let jaq_core::load::parse::BinaryOp::Pipe(Some(bound)) = op {
                walk_pattern(bound, seen);
            }
            walk(right, seen);
        }
        Term::Fold(_, over, bound, parts) => {
            walk(over, seen);
            walk_pattern(bound, seen);
            parts.iter().for_each(|part| walk(part, seen));
        }
        Term::TryCatch(tried, caught) => {
            walk(tried, seen);
            caught.iter().for_each(|caught| walk(caught, seen));
        }
        Term::IfThenElse(cases, other) => {
            for (when, then) in cases {
                walk(when, seen);
                walk(then, seen);
            }
            other.iter().for_each(|other| walk(other, seen));
        }
        Term::Def(defs, inner) => {
            defs.iter().for_each(|def| walk(&def.body, seen));
            walk(inner, seen);
        }
        Term::Call(_, args) => args.iter().for_each(|arg| walk(arg, seen)),
        Term::Path(from, path) => {
            walk(from, seen);
            for (part, _) in &path.0 {
                match part {
                    Part::Index(index) => walk(index, seen),
                    Part::Range(from, to) => {
                        from.iter().chain(to).for_each(|bound| walk(bound, seen));
                    }
                }
            }
        }
    }
}

fn walk_pattern<'s>(bound: &Pattern<&'s str>, seen: &mut impl FnMut(&Term<&'s str>)) {
    match bound {
        Pattern::Var(_) => {}
        Pattern::Arr(parts) => parts.iter().for_each(|part| walk_pattern(part, seen)),
        Pattern::Obj(parts) => {
            for (key, part) in parts {
                walk(key, seen);
                walk_pattern(part, seen);
            }
        }
    }
}
