//! The operators of an expression, and what they go with.

use cel::common::ast::operators as op;

use super::kind::Kind;

/// The sort of value that an operator gives.
///
/// # Errors
/// That it does not go with these operands.
pub(super) fn result_of(name: &str, operands: &[Kind]) -> Result<Kind, String> {
    let sign = sign_of(name);
    match (name, operands) {
        (op::CONDITIONAL, [condition, yes, no]) => {
            condition_of(sign, &[*condition])?;
            Ok(if yes == no { *yes } else { Kind::Any })
        }
        (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, _) => condition_of(sign, operands),
        (op::NOT_STRICTLY_FALSE, _) => Ok(Kind::Bool),
        (op::EQUALS | op::NOT_EQUALS, [a, b]) if a.compares(*b) => Ok(Kind::Bool),
        (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [a, b])
            if a.compares(*b) && is_ordered(*a) && is_ordered(*b) =>
        {
            Ok(Kind::Bool)
        }
        (op::IN, [_, Kind::List | Kind::Map | Kind::Any]) => Ok(Kind::Bool),
        (op::INDEX, [Kind::Map | Kind::Any, _]) => Ok(Kind::Any),
        (op::INDEX, [Kind::List, at]) if at.is_number() || *at == Kind::Any => Ok(Kind::Any),
        (op::ADD, [a, b]) if a.fits(*b) && adds(*a) && adds(*b) => Ok(known(*a, *b)),
        (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [a, b])
            if a.fits(*b) && [a, b].iter().all(|k| k.is_number() || **k == Kind::Any) =>
        {
            Ok(known(*a, *b))
        }
        (op::NEGATE, [kind @ (Kind::Int | Kind::Double | Kind::Any)]) => Ok(*kind),
        _ => Err(mismatch(sign, operands)),
    }
}

/// How an operator is written: CEL names it `_==_`.
fn sign_of(name: &str) -> &str {
    match name {
        op::IN => "in",
        op::CONDITIONAL => "?",
        op::INDEX => "[]",
        name => name.trim_matches('_'),
    }
}

fn condition_of(sign: &str, operands: &[Kind]) -> Result<Kind, String> {
    match operands.iter().find(|kind| !kind.fits(Kind::Bool)) {
        None => Ok(Kind::Bool),
        Some(kind) => Err(format!("`{sign}` expects a condition, found {kind}")),
    }
}

fn is_ordered(kind: Kind) -> bool {
    !matches!(kind, Kind::List | Kind::Map | Kind::Null | Kind::Type)
}

fn adds(kind: Kind) -> bool {
    kind.is_number() || matches!(kind, Kind::Text | Kind::Bytes | Kind::List | Kind::Any)
}

fn known(a: Kind, b: Kind) -> Kind {
    if a == Kind::Any { b } else { a }
}

fn mismatch(sign: &str, operands: &[Kind]) -> String {
    let found: Vec<String> = operands.iter().map(Kind::to_string).collect();
    let hint = match operands {
        [Kind::Text, other] | [other, Kind::Text] if other.is_number() => {
            ", write `string(…)` or `int(…)` to convert"
        }
        _ => "",
    };
    format!("`{sign}` does not go with {}{hint}", found.join(" and "))
}
