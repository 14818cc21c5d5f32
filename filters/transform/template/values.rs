//! What templates find.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, Serde};
use wiregate_sdk::{Exchange, Expression, Facts, HeaderMap, cookies, form};

/// Which values a template asks for: the others are not made.
pub(super) struct Roots {
    pub(super) body: bool,
    others: Vec<&'static str>,
    /// The facts of a request that are texts, as expressions have them.
    texts: Vec<(&'static str, Expression)>,
}

const NAMES: [&str; 7] = [
    "body", "client", "identity", "params", "request", "response", "route",
];
const TEXTS: [&str; 7] = ["method", "scheme", "host", "path", "target", "id", "time"];

/// Values by name.
pub(super) type Values = Vec<(&'static str, Value)>;

impl Roots {
    /// # Errors
    /// That there is no such name.
    pub(super) fn new(names: &[String]) -> Result<Self, String> {
        let mut roots = Self {
            body: false,
            others: Vec::new(),
            texts: Vec::new(),
        };
        for name in names {
            match NAMES.into_iter().find(|known| known == name) {
                Some("body") => roots.body = true,
                Some(known) => roots.others.push(known),
                None => {
                    let known = NAMES.map(|name| format!("`{name}`")).join(", ");
                    return Err(format!("unknown name `{name}`, expected one of {known}"));
                }
            }
        }
        for name in TEXTS {
            let expression = Expression::parse(&format!("request.{name}"))?;
            roots.texts.push((name, expression));
        }
        Ok(roots)
    }

    /// The values of this exchange, without its body.
    ///
    /// # Errors
    /// Why one of them cannot be told.
    pub(super) fn values(&self, facts: &Facts<'_>) -> Result<Values, String> {
        let mut values = Vec::with_capacity(self.others.len() + 1);
        for name in &self.others {
            let value = match *name {
                "request" => self.request(facts)?,
                "response" => response(facts),
                "client" => client(facts.exchange),
                "identity" => identity(facts.exchange),
                "params" => params(facts.exchange),
                _ => Value::from(&*facts.exchange.route),
            };
            values.push((*name, value));
        }
        Ok(values)
    }

    fn request(&self, facts: &Facts<'_>) -> Result<Value, String> {
        let mut values = Vec::with_capacity(TEXTS.len() + 3);
        for (name, expression) in &self.texts {
            values.push((*name, Value::from(expression.text(facts)?.into_owned())));
        }
        let headers = &facts.request.headers;
        values.push(("headers", fields(headers)));
        values.push(("cookies", cookies_of(headers)));
        values.push(("query", parameters(facts.request.uri.query())));
        Ok(Value::from_pairs(values))
    }
}

fn response(facts: &Facts<'_>) -> Value {
    let Some(head) = facts.response else {
        return Value::UNDEFINED;
    };
    let status = Value::from(head.status.as_u16());
    let values = [("status", status), ("headers", fields(&head.headers))];
    Value::from_pairs(values)
}

fn client(exchange: &Exchange) -> Value {
    let client = &exchange.client;
    let values = [
        ("address", Value::from(client.address.to_string())),
        ("peer", Value::from(client.peer.to_string())),
        ("port", Value::from(client.port)),
    ];
    Value::from_pairs(values)
}

fn identity(exchange: &Exchange) -> Value {
    let Some(identity) = &exchange.identity else {
        return Value::UNDEFINED;
    };
    let list = |items: &[Box<str>]| Value::from_iter(items.iter().map(|item| &**item));
    let claims = identity.claims.as_deref();
    let values = [
        ("name", Value::from(&*identity.name)),
        ("by", Value::from(identity.by)),
        ("groups", list(&identity.groups)),
        ("scopes", list(&identity.scopes)),
        (
            "claims",
            claims.map_or(Value::UNDEFINED, |c| Value::from(Serde(c))),
        ),
    ];
    Value::from_pairs(values)
}

fn params(exchange: &Exchange) -> Value {
    let params = exchange.params.iter();
    Value::from_pairs(params.map(|(name, value)| (&**name, value.as_str())))
}

fn cookies_of(headers: &HeaderMap) -> Value {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut values = BTreeMap::new();
    for cookie in cookies::all(headers) {
        let value = || text(cookie.value);
        values.entry(text(cookie.name)).or_insert_with(value);
    }
    Value::from_pairs(values)
}

/// The parameters of a query, decoded; of several of one name the first.
fn parameters(query: Option<&str>) -> Value {
    let mut parameters = BTreeMap::new();
    for (name, value) in form::pairs(query.unwrap_or_default()) {
        let value = || form::text(value).into_owned();
        let name = form::text(name).into_owned();
        parameters.entry(name).or_insert_with(value);
    }
    Value::from_pairs(parameters)
}

fn fields(headers: &HeaderMap) -> Value {
    Value::from_object(Fields(headers.clone()))
}

/// Header fields by name, in any case; of several of one name the first.
#[derive(Debug)]
struct Fields(HeaderMap);

impl Object for Fields {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let value = self.0.get(name.as_str()?)?;
        Some(Value::from(String::from_utf8_lossy(value.as_bytes())))
    }
}
