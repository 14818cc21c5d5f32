//! Evaluates a checked expression.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, Value};

use super::check::slot_at;
use super::moment::Moment;
use super::values::{Slot, flag};
use super::{Facts, functions};

/// A checked expression, with what its names stand for.
#[derive(Debug)]
pub(super) struct Program {
    root: IdedExpr,
    slots: Vec<Slot>,
}

impl Program {
    pub(super) fn new(root: IdedExpr, slots: Vec<Slot>) -> Self {
        Self { root, slots }
    }

    /// What its names stand for.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The same, to be exchanged.
    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The value as text.
    ///
    /// # Errors
    /// Why it has none.
    pub(super) fn text(&self, facts: &Facts<'_>) -> Result<String, String> {
        self.evaluate(Some(facts), text_of)
    }

    /// The value as a condition.
    ///
    /// # Errors
    /// Why it has none, or is no condition.
    pub(super) fn test(&self, facts: &Facts<'_>) -> Result<bool, String> {
        self.evaluate(Some(facts), truth_of)
    }

    /// The value as a whole number.
    ///
    /// # Errors
    /// Why it has none, or is no whole number.
    pub(super) fn number(&self, facts: &Facts<'_>) -> Result<i64, String> {
        self.evaluate(Some(facts), number_of)
    }

    /// The value, read like this, where it names no fact and so is the same for every exchange.
    pub(super) fn constant<T>(
        &self,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let is_fact = |slot: &Slot| matches!(slot, Slot::Fact(_));
        if self.slots.iter().any(is_fact) {
            return None;
        }
        // Nobody guards whoever loads a configuration.
        let evaluated = catch_unwind(AssertUnwindSafe(|| self.evaluate(None, read)));
        Some(evaluated.unwrap_or_else(|_| Err("expected a value, found a panic".into())))
    }

    /// Without facts for what names none.
    fn evaluate<T>(
        &self,
        facts: Option<&Facts<'_>>,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        let names = Names {
            facts: facts.copied(),
            slots: &self.slots,
        };
        let mut context = Context::with_env(functions::env());
        context.set_variable_resolver(&names);
        // A panic is for whoever guards the filter, or the choice of a route: a 500, and counted.
        // Nothing that is seen again after it can have been left half done: all of it is made for
        // this evaluation, or only read.
        match Value::resolve_val(&self.root, &context) {
            Ok(value) => read(value.as_ref()),
            Err(error) => Err(reason(&error)),
        }
    }
}

/// Reads a fact when, and only when, the evaluation comes across its name.
struct Names<'a> {
    facts: Option<Facts<'a>>,
    slots: &'a [Slot],
}

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        Some(match self.slots.get(slot_at(name)?)? {
            Slot::Fact(fact) => fact.value(self.facts.as_ref()?),
            Slot::Pattern(pattern) => CowVal::Borrowed(pattern),
            Slot::Networks(networks) => CowVal::Borrowed(networks),
            Slot::Moment(moment) => CowVal::Borrowed(moment),
        })
    }
}

/// A value as a condition.
///
/// # Errors
/// What it is instead.
pub(super) fn truth_of(value: &dyn Val) -> Result<bool, String> {
    let truth = value.downcast_ref::<CelBool>();
    truth
        .map(|truth| *truth.inner())
        .ok_or_else(|| format!("expected a condition, found {}", value.get_type().name()))
}

/// A value as a whole number.
///
/// # Errors
/// What it is instead.
pub(super) fn number_of(value: &dyn Val) -> Result<i64, String> {
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Ok(*number.inner());
    }
    let number = value.downcast_ref::<CelUInt>();
    let number = number.and_then(|number| i64::try_from(*number.inner()).ok());
    number.ok_or_else(|| {
        let found = value.get_type().name();
        format!("expected a whole number, found {found}")
    })
}

/// A value as text.
///
/// # Errors
/// What it is instead.
pub(super) fn text_of(value: &dyn Val) -> Result<String, String> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(text.inner().to_owned());
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let texts: Result<Vec<_>, _> = list.inner().iter().map(|v| text_of(v.as_ref())).collect();
        return Ok(texts?.join(","));
    }
    let scalar = None
        .or_else(|| {
            value
                .downcast_ref::<CelInt>()
                .map(|v| v.inner().to_string())
        })
        .or_else(|| {
            value
                .downcast_ref::<CelUInt>()
                .map(|v| v.inner().to_string())
        })
        .or_else(|| {
            value
                .downcast_ref::<CelDouble>()
                .map(|v| v.inner().to_string())
        })
        .or_else(|| {
            value
                .downcast_ref::<CelBool>()
                .map(|v| flag(*v.inner()).to_owned())
        })
        .or_else(|| value.downcast_ref::<Moment>().map(Moment::to_string))
        .or_else(|| value.downcast_ref::<CelNull>().map(|_| String::new()));
    scalar.ok_or_else(|| format!("expected a text, found {}", value.get_type().name()))
}

/// Why an evaluation failed. The values themselves may be secret, and stay out of it.
fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(overload) => format!(
            "`{}` does not go with {}",
            overload.function().trim_matches('_'),
            overload.argument_types().join(" and ")
        ),
        ExecutionError::NoSuchKey(_) => "there is no such key".into(),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".into(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".into()
        }
        ExecutionError::Overflow(..) => "a number is out of range".into(),
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` cannot take this value")
        }
        ExecutionError::UnexpectedType { got, want } => format!("expected {want}, found {got}"),
        _ => "the operands do not go together".into(),
    }
}
