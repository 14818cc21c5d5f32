//! Expressions over the facts of an exchange (CEL).

mod asked;
mod check;
mod claims;
mod condition;
mod constant;
mod evaluate;
mod fact;
mod functions;
mod kind;
mod moment;
mod names;
mod operators;
mod parse;
mod said;
mod values;

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error};

use crate::types::found;
use crate::{Exchange, RequestHead, ResponseHead, host_of};
pub(crate) use asked::asked;
pub use condition::Condition;
use evaluate::Program;
use fact::Fact;
use kind::Kind;
pub use said::Said;
use values::Slot;

/// What expressions and templates may ask about.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The request head, as the chain has left it so far.
    pub request: &'a RequestHead,
    /// What is known of the exchange.
    pub exchange: &'a Exchange,
    /// The response head, once there is one.
    pub response: Option<&'a ResponseHead>,
}

impl<'a> Facts<'a> {
    /// The host that the request asks for; see [`host_of`].
    pub fn host(&self) -> Cow<'a, str> {
        host_of(self.request)
    }

    /// The status of the response, once there is one.
    pub fn status(&self) -> Option<StatusCode> {
        self.response.map(|head| head.status)
    }
}

/// An expression in CEL, the Common Expression Language, over the facts of an exchange. Names,
/// functions and types are checked at load. So is the value where it names no fact, by whoever says
/// what it is for ([`Expression::check_text`] and its like).
///
/// | name | is |
/// |---|---|
/// | `request.method`, `.scheme`, `.id` | text |
/// | `request.host` | text: lower case, without port |
/// | `request.path` | text: normalised, percent-encoded, as the chain has left it; in a condition, its key ([`path_key`](crate::path_key)) |
/// | `request.target` | text: path and query as received |
/// | `request.query["name"]` | text: the first value, decoded, with `+` for a space |
/// | `request.headers["name"]` | text: the first value; the name in any case |
/// | `request.cookies["name"]` | text: the first value, as sent |
/// | `request.time` | the time of arrival |
/// | `client.address`, `client.peer` | text: an IP address |
/// | `client.port` | a number |
/// | `client.certificate.subject`, `.sha256` | text: of the certificate that the client has shown |
/// | `client.certificate.names` | a list of texts: the other names of that subject |
/// | `route`, `params["name"]` | text: the route's name, a path parameter (decoded) |
/// | `identity.name`, `identity.by` | text: who is calling, and which filter says so |
/// | `identity.groups`, `identity.scopes` | a list of texts |
/// | `identity.claims["name"]` | what a token says: text, number, boolean, list or map; what is inside of a map follows, as in `identity.claims.address.country` |
/// | `identity.plan` | text: the plan of the configured consumer |
/// | `consumer` | text: the name of the consumer, or of the caller in a filter's own list; nothing for all others, such as those whom an issuer alone knows |
/// | `response.status` | a number; 0 as long as there is no response |
/// | `response.headers["name"]` | text: the first value |
///
/// A name that is an identifier can follow a dot: `params.id`. The name in brackets must be
/// written out. What an exchange does not have reads as `""`; `has(params.id)` and
/// `"x-id" in request.headers` tell it from what is there and empty. Bytes that are no UTF-8 read
/// as U+FFFD.
///
/// Besides CEL's operators, macros and conversions there are `size`, `contains`, `startsWith`,
/// `endsWith`, `matches`, `lowerAscii`, `upperAscii`, `trim`, `substring`, `charAt`, `indexOf`,
/// `lastIndexOf`; `in_cidr(client.address, "10.0.0.0/8")`, with a list for several networks; and
/// `timestamp("2027-01-01T00:00:00Z")`, with `getFullYear`, `getMonth` (from 0), `getDate`,
/// `getDayOfWeek` (Sunday is 0), `getHours`, `getMinutes`, `getSeconds` of a time, in UTC. Patterns
/// and networks are literals, compiled at load.
///
/// The work of one evaluation is bounded by the expression and the request: a loop runs over a
/// written list or one of the identity's, not over what another loop made, and at most two loops
/// stand inside each other.
///
/// ```
/// use wiregate_sdk::Expression;
///
/// assert!(Expression::parse(r#"request.method == "GET" && "admin" in identity.groups"#).is_ok());
/// assert_eq!(
///     Expression::parse("clint.address").unwrap_err(),
///     "unknown name `clint.address`, did you mean `client.address`?",
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Expression(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Box<str>,
    plan: Plan,
    kind: Kind,
}

/// How a value comes about, the cheapest first.
#[derive(Debug)]
enum Plan {
    Literal(Box<str>),
    Fact(Fact),
    Program(Program),
}

impl Plan {
    /// Takes paths in the form that is compared.
    fn compare_keys(&mut self) {
        let Self::Program(program) = self else {
            return; // a path alone is no condition
        };
        for slot in program.slots_mut() {
            if let Slot::Fact(fact @ Fact::Path) = slot {
                *fact = Fact::PathKey;
            }
        }
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence: its syntax, a name or a function that does not
    /// exist, operands that do not go together, or that it is longer than 4 KiB or nested deeper
    /// than 40 levels.
    pub fn parse(source: &str) -> Result<Self, String> {
        let (plan, kind) = parse::parse(source)?;
        Ok(Self::new(source, plan, kind))
    }

    fn new(source: &str, plan: Plan, kind: Kind) -> Self {
        let expression = Self(Arc::new(Inner {
            source: source.into(),
            plan,
            kind,
        }));
        asked::note(&expression);
        expression
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        let (one, slots) = match &self.0.plan {
            Plan::Literal(_) => (None, &[][..]),
            Plan::Fact(fact) => (Some(fact), &[][..]),
            Plan::Program(program) => (None, program.slots()),
        };
        let facts = slots.iter().filter_map(|slot| match slot {
            Slot::Fact(fact) => Some(fact),
            _ => None,
        });
        one.into_iter().chain(facts)
    }

    /// Whether it can be asked before there is a response.
    ///
    /// # Errors
    /// It goes by the response, which would always be nothing there.
    pub fn check_early(&self) -> Result<(), String> {
        match self.facts().find_map(Fact::needs_response) {
            Some(name) => Err(format!(
                "`{name}` is not known here: there is no response yet"
            )),
            None => Ok(()),
        }
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The text, where it is the same for every exchange.
    pub fn constant(&self) -> Option<&str> {
        match &self.0.plan {
            Plan::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it can be used as a condition.
    ///
    /// # Errors
    /// What it is instead, or why it has no value for any exchange.
    pub fn check_condition(&self) -> Result<(), String> {
        match self.0.kind {
            Kind::Bool | Kind::Any => self.check_constant(evaluate::truth_of),
            _ => Err(self.no_condition()),
        }
    }

    fn no_condition(&self) -> String {
        format!(
            "expected a condition such as `request.method == \"GET\"`, found {}: {}",
            self.0.kind,
            found(self.source())
        )
    }

    /// Whether it can be used as text.
    ///
    /// # Errors
    /// What it is instead, or why it has no value for any exchange.
    pub fn check_text(&self) -> Result<(), String> {
        match self.0.kind {
            kind @ (Kind::Bytes | Kind::Map | Kind::Type) => Err(format!(
                "expected something with a text, found {kind}: {}",
                found(self.source())
            )),
            _ => self.check_constant(evaluate::text_of),
        }
    }

    /// Whether it can be used as a whole number.
    ///
    /// # Errors
    /// What it is instead, or why it has no value for any exchange.
    pub fn check_number(&self) -> Result<(), String> {
        match self.0.kind {
            Kind::Int | Kind::Uint | Kind::Any => self.check_constant(evaluate::number_of),
            kind => Err(format!(
                "expected a whole number, found {kind}: {}",
                found(self.source())
            )),
        }
    }

    /// The value as a whole number.
    ///
    /// # Errors
    /// Why it has no value, or that its value is no whole number.
    pub fn number(&self, facts: &Facts<'_>) -> Result<i64, String> {
        match &self.0.plan {
            Plan::Program(program) => program.number(facts),
            Plan::Fact(fact) => evaluate::number_of(fact.value(facts).as_ref()),
            Plan::Literal(_) => Err("expected a whole number, found text".to_owned()),
        }
    }

    /// The value as text. What is missing is empty; the elements of a list are joined by commas;
    /// a time is written as RFC 3339 has it, in UTC.
    ///
    /// # Errors
    /// Why it has no value, such as a division by zero. Never shows what is in the request.
    pub fn text<'a>(&'a self, facts: &Facts<'a>) -> Result<Cow<'a, str>, String> {
        match &self.0.plan {
            Plan::Literal(text) => Ok(Cow::Borrowed(text)),
            Plan::Fact(fact) => Ok(fact.text(facts)),
            Plan::Program(program) => program.text(facts).map(Cow::Owned),
        }
    }

    /// The value as a condition.
    ///
    /// # Errors
    /// Why it has no value, or that its value is no boolean. Whoever guards something with the
    /// condition must treat this as a refusal.
    pub fn test(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let truth = match &self.0.plan {
            Plan::Program(program) => return program.test(facts),
            Plan::Fact(fact) => fact.truth(facts),
            Plan::Literal(_) => None,
        };
        truth.ok_or_else(|| self.no_condition())
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::parse(&source).map_err(D::Error::custom)
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An expression in CEL over the facts of an exchange.",
            "maxLength": parse::LONGEST,
            "examples": [
                "client.address",
                "request.headers[\"x-tenant\"]",
                "request.method == \"GET\" && \"admin\" in identity.groups"
            ]
        })
    }
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
