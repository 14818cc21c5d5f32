//! Which path parameters and which fields of requests the expressions of a filter ask for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use super::Expression;
use super::fact::{Fact, Side};

thread_local! {
    // Expressions are compiled deep inside of what decodes and builds a filter, which has no way
    // to hand anything on. It is nothing outside of `asked`.
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Noted {
    /// The names, each with whether it may be missing: where it is asked for with `has` as well.
    params: BTreeMap<Box<str>, bool>,
    fields: BTreeSet<Box<str>>,
}

/// What the expressions of a filter ask for.
#[derive(Default)]
pub(crate) struct Asked {
    /// The path parameters without which they have nothing to go by.
    pub(crate) params: Vec<Box<str>>,
    /// The fields of requests.
    pub(crate) fields: Vec<HeaderName>,
}

/// What `make` makes, and what the expressions that it compiles ask for.
pub(crate) fn asked<T>(make: impl FnOnce() -> T) -> (T, Asked) {
    let outer = NOTED.replace(Some(Noted::default()));
    let made = make();
    let noted = NOTED.replace(outer).unwrap_or_default();
    let params = noted.params.into_iter().filter(|(_, optional)| !optional);
    let fields = noted.fields.iter();
    let asked = Asked {
        params: params.map(|(name, _)| name).collect(),
        fields: fields.filter_map(|name| name.parse().ok()).collect(),
    };
    (made, asked)
}

/// Notes what an expression asks for.
pub(super) fn note(expression: &Expression) {
    NOTED.with_borrow_mut(|noted| {
        let Some(noted) = noted else {
            return;
        };
        for (name, optional) in params(expression) {
            *noted.params.entry(name.into()).or_default() |= optional;
        }
        let fields = expression.facts().filter_map(field);
        noted.fields.extend(fields.map(|name| name.as_str().into()));
    });
}

fn field(fact: &Fact) -> Option<&HeaderName> {
    match fact {
        Fact::Header(Side::Request, name) => Some(name),
        Fact::Has(fact) => field(fact),
        _ => None,
    }
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
        let (made, asked) = asked(|| {
            Expression::parse("params.a + params['b-c']").unwrap();
            Expression::parse("has(params.d) ? params.d : request.path").unwrap();
            crate::Template::parse("${params.e} and ${'params.f'}").unwrap();
            assert!(Expression::parse("params.g +").is_err());
            7
        });
        let names: Vec<_> = asked.params.iter().map(|name| &**name).collect();
        assert_eq!((made, &names[..]), (7, &["a", "b-c", "e"][..]));
        assert_eq!(super::asked(|| ()).1.params.len(), 0);
    }

    #[test]
    fn names_fields_of_requests() {
        let (_, asked) = asked(|| {
            Expression::parse("request.headers.b + request.headers['A_c']").unwrap();
            Expression::parse("has(request.headers.x) ? '' : request.path").unwrap();
            crate::Template::parse("${response.headers.d}${request.headers.b}").unwrap();
        });
        assert_eq!(asked.fields, ["a_c", "b", "x"]);
    }
}
