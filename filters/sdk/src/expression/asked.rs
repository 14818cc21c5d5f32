//! Which path parameters the expressions of a filter ask for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Expression;
use super::fact::Fact;

thread_local! {
    // Expressions are compiled deep inside of what decodes and builds a filter, which has no way
    // to hand anything on. It is nothing outside of `params_asked`.
    static ASKED: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// The names, each with whether it may be missing: where it is asked for with `has` as well.
type Asked = BTreeMap<Box<str>, bool>;

/// What `make` makes, and the names of the path parameters without which the expressions that it
/// compiles have nothing to go by.
pub(crate) fn params_asked<T>(make: impl FnOnce() -> T) -> (T, Vec<Box<str>>) {
    let outer = ASKED.replace(Some(Asked::new()));
    let made = make();
    let asked = ASKED.replace(outer).unwrap_or_default();
    let names = asked.into_iter().filter(|(_, optional)| !optional);
    (made, names.map(|(name, _)| name).collect())
}

/// Notes what an expression asks for.
pub(super) fn note(expression: &Expression) {
    ASKED.with_borrow_mut(|asked| {
        let Some(asked) = asked else {
            return;
        };
        for (name, optional) in params(expression) {
            *asked.entry(name.into()).or_default() |= optional;
        }
    });
}

/// The parameters that an expression names, each with whether that is in `has`.
pub(super) fn params(expression: &Expression) -> impl Iterator<Item = (&str, bool)> {
    expression.facts().filter_map(|fact| match fact {
        Fact::Param(name) => Some((&**name, false)),
        Fact::Has(fact) => match &**fact {
            Fact::Param(name) => Some((&**name, true)),
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_may_not_be_missing() {
        let (made, names) = params_asked(|| {
            Expression::parse("params.a + params['b-c']").unwrap();
            Expression::parse("has(params.d) ? params.d : request.path").unwrap();
            crate::Template::parse("${params.e} and ${'params.f'}").unwrap();
            assert!(Expression::parse("params.g +").is_err());
            7
        });
        let names: Vec<_> = names.iter().map(|name| &**name).collect();
        assert_eq!((made, &names[..]), (7, &["a", "b-c", "e"][..]));
        assert_eq!(params_asked(|| ()).1.len(), 0);
    }
}
