//! What is the same for every exchange is evaluated at load: one that has no value there would have none for anybody.

use cel::common::value::Val;

use super::evaluate::number_of;
use super::{Expression, Plan};
use crate::types::found;

impl Expression {
    /// The value, where it is a whole number and the same for every exchange.
    pub fn constant_number(&self) -> Option<i64> {
        self.constant_value(number_of)?.ok()
    }

    /// Whether a value that is the same for every exchange can be read like this; one that is not may be.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn check_constant<T>(
        &self,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<(), String> {
        match self.constant_value(read) {
            Some(Err(why)) => Err(format!("{why}: {}", found(self.source()))),
            _ => Ok(()),
        }
    }

    fn constant_value<T>(
        &self,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        match &self.0.plan {
            Plan::Program(program) => program.constant(read),
            _ => None, // text has a kind that says it all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Condition;
    use super::*;
    use crate::Template;

    #[test]
    fn what_no_exchange_has_a_value_for_is_refused_at_load() {
        for (source, why) in [
            ("1 / 0 == 1", "division by zero: `1 / 0 == 1`"),
            ("[1][0]", "expected a condition, found int: `[1][0]`"),
            ("[true][1]", "an index is out of bounds: `[true][1]`"),
        ] {
            assert_eq!(Condition::parse(source).unwrap_err(), why);
        }
        for (source, why) in [
            (
                "[1, 'x'][1]",
                "expected a whole number, found string: `[1, 'x'][1]`",
            ),
            ("int('x')", "`int` cannot take this value: `int('x')`"),
            (
                "9223372036854775807 + 1",
                "a number is out of range: `9223372036854775807 + 1`",
            ),
        ] {
            let refused = Expression::parse(source).unwrap().check_number();
            assert_eq!(refused.unwrap_err(), why);
        }
        for (source, why) in [
            (
                "dyn({'a': 1})",
                "expected a text, found map: `dyn({'a': 1})`",
            ),
            ("[1, {}]", "expected a text, found map: `[1, {}]`"),
        ] {
            let refused = Expression::parse(source).unwrap().check_text();
            assert_eq!(refused.unwrap_err(), why);
        }
        assert_eq!(
            Template::parse("a ${1 / 0}").unwrap_err(),
            "in `${1 / 0}`: division by zero: `1 / 0`"
        );
    }

    #[test]
    fn what_has_a_value_or_may_have_one_is_let_be() {
        for source in [
            "true || 1 / 0 == 1",
            "[true][0]",
            "'a'.matches('b') || in_cidr('10.0.0.1', '10.0.0.0/8')",
            "timestamp('2027-01-01T00:00:00Z').getFullYear() == 2027",
            "1 / client.port == 1",
            "request.path == '/' ? 1 / 0 == 1 : false",
        ] {
            assert!(Condition::parse(source).is_ok(), "{source}");
        }
        let number = |source: &str| Expression::parse(source).unwrap().constant_number();
        for (source, value) in [
            ("-1", Some(-1)),
            ("2 * 3", Some(6)),
            ("uint(7)", Some(7)),
            ("client.port", None),
            ("client.port * 0", None),
            ("'1'", None),
            ("1 / 0", None),
        ] {
            assert_eq!(number(source), value, "{source}");
        }
    }
}
