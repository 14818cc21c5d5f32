//! What an expression reads of the heads of messages, where secrets may stand.

use http::HeaderName;

use super::fact::{Fact, Side};
use super::{Expression, Plan};

/// A part of a message that an expression reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A header field of the request or of the response.
    Field(&'a HeaderName),
    /// A cookie of the request.
    Cookie(&'a str),
    /// A parameter of the request's query.
    Query(&'a str),
    /// The request's target, query included.
    Target,
}

impl Expression {
    /// What it reads of the heads of messages. To ask whether something is there is not to read it.
    pub fn said(&self) -> impl Iterator<Item = Said<'_>> {
        self.facts().filter_map(|fact| match fact {
            Fact::Header(_, name) => Some(Said::Field(name)),
            Fact::Cookie(name) => Some(Said::Cookie(name)),
            Fact::Query(name) => Some(Said::Query(name)),
            Fact::Target => Some(Said::Target),
            _ => None,
        })
    }

    /// Whether its value is one fact as it is, and nothing that was made of it.
    pub fn is_fact(&self) -> bool {
        matches!(self.0.plan, Plan::Fact(_))
    }

    /// Whether it asks about fields of the response.
    pub fn asks_response(&self) -> bool {
        fn asks(fact: &Fact) -> bool {
            match fact {
                Fact::Header(Side::Response, _) => true,
                Fact::Has(fact) => asks(fact),
                _ => false,
            }
        }
        self.facts().any(asks)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Condition;
    use super::*;

    #[test]
    fn tells_what_is_read_and_not_what_is_only_asked_for() {
        let said = |source: &str| {
            let expression = Expression::parse(source).unwrap();
            let said = expression.said().map(|said| format!("{said:?}"));
            (said.collect::<Vec<_>>(), expression.is_fact())
        };
        let one = |text: &str| vec![text.to_owned()];
        assert_eq!(
            said("request.headers['X-A']"),
            (one("Field(\"x-a\")"), true)
        );
        assert_eq!(
            said("response.headers['x-a'] + '!'"),
            (one("Field(\"x-a\")"), false)
        );
        assert_eq!(said("request.cookies.sid"), (one("Cookie(\"sid\")"), true));
        assert_eq!(said("request.query['q']"), (one("Query(\"q\")"), true));
        assert_eq!(said("request.target"), (one("Target"), true));
        assert_eq!(said("'x-a' in request.headers").0, Vec::<String>::new());
        assert_eq!(said("client.address"), (vec![], true));
        assert_eq!(said("'text'"), (vec![], false));
    }

    #[test]
    fn fields_of_the_response_are_told_apart() {
        for (source, asks) in [
            ("response.headers['x'] == '1'", true),
            ("has(response.headers.x)", true),
            ("request.headers['x'] == '1'", false),
            ("response.status == 200", false),
        ] {
            let condition = Condition::parse(source).unwrap();
            assert_eq!(condition.asks_response(), asks, "{source}");
        }
    }
}
