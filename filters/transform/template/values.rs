//! What templates find.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The parts of a request that are maps.
    maps: Vec<&'static str>,
    /// Whether it asks for the header fields of a response.
    response_headers: bool,
}

const NAMES: [&str; 7] = [
    "body", "client", "identity", "params", "request", "response", "route",
];
const TEXTS: [&str; 7] = ["method", "scheme", "host", "path", "target", "id", "time"];
const MAPS: [&str; 3] = ["headers", "cookies", "query"];

/// What there is of one of them; nothing where that is not known beforehand.
fn parts_of(root: &str) -> &'static [&'static str] {
    match root {
        "request" => &[
            "method", "scheme", "host", "path", "target", "id", "time", "headers", "cookies",
            "query",
        ],
        "client" => &["address", "peer", "port"],
        "identity" => &["name", "by", "plan", "groups", "scopes", "claims"],
        "response" => &["status", "headers"],
        _ => &[],
    }
}

/// Values by name.
pub(super) type Values = Vec<(&'static str, Value)>;

impl Roots {
    /// Those behind these names, with what follows their first dot where that is known.
    ///
    /// # Errors
    /// That there is no such name.
    pub(super) fn new(names: &[String]) -> Result<Self, String> {
        let root_of = |name: &String| -> String { name.split('.').next().unwrap_or("").into() };
        let roots: BTreeSet<String> = names.iter().map(root_of).collect();
        if let Some(name) = roots.iter().find(|name| !NAMES.contains(&name.as_str())) {
            let known = NAMES.map(|name| format!("`{name}`")).join(", ");
            return Err(format!("unknown name `{name}`, expected one of {known}"));
        }
        for name in names {
            let (root, rest) = name.split_once('.').unwrap_or((name, ""));
            let part = rest.split('.').next().filter(|part| !part.is_empty());
            let known = parts_of(root);
            if let Some(part) = part.filter(|part| !known.is_empty() && !known.contains(part)) {
                let known = known.join("`, `");
                return Err(format!(
                    "unknown name `{root}.{part}`, expected one of `{known}` of `{root}`"
                ));
            }
        }
        let asks = |root: &str, part: &str| {
            names.iter().any(|name| {
                let mut parts = name.split('.');
                parts.next() == Some(root) && parts.next().is_none_or(|own| own == part)
            })
        };
        let others = NAMES.into_iter().filter(|name| *name != "body");
        let texts = TEXTS.into_iter().filter(|name| asks("request", name));
        let texts = texts.map(|name| Ok((name, Expression::parse(&format!("request.{name}"))?)));
        Ok(Self {
            body: roots.contains("body"),
            others: others.filter(|name| roots.contains(*name)).collect(),
            texts: texts.collect::<Result<_, String>>()?,
            maps: (MAPS.into_iter())
                .filter(|name| asks("request", name))
                .collect(),
            response_headers: asks("response", "headers"),
        })
    }

    /// Whether it asks for nothing.
    pub(super) fn are_none(&self) -> bool {
        !self.body && self.others.is_empty()
    }

    /// Whether it asks for the response.
    pub(super) fn ask_for_response(&self) -> bool {
        self.others.contains(&"response")
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
                "response" => self.response(facts),
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
        let mut values = Vec::with_capacity(self.texts.len() + self.maps.len());
        for (name, expression) in &self.texts {
            values.push((*name, Value::from(expression.text(facts)?.into_owned())));
        }
        let headers = &facts.request.headers;
        for name in &self.maps {
            let value = match *name {
                "headers" => fields(headers),
                "cookies" => cookies_of(headers),
                _ => parameters(facts.request.uri.query()),
            };
            values.push((*name, value));
        }
        Ok(Value::from_pairs(values))
    }

    fn response(&self, facts: &Facts<'_>) -> Value {
        let Some(head) = facts.response else {
            return Value::UNDEFINED;
        };
        let mut values = vec![("status", Value::from(head.status.as_u16()))];
        if self.response_headers {
            values.push(("headers", fields(&head.headers)));
        }
        Value::from_pairs(values)
    }
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
    let plan = identity.consumer.as_ref().and_then(|it| it.plan.as_deref());
    let values = [
        ("name", Value::from(&*identity.name)),
        ("by", Value::from(identity.by)),
        ("plan", plan.map_or(Value::UNDEFINED, Value::from)),
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
    for pair in form::pairs(query.unwrap_or_default()) {
        let value = || form::text(pair.value).into_owned();
        let name = form::text(pair.name).into_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(names: &[&str]) -> Roots {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Roots::new(&names).unwrap()
    }

    #[test]
    fn what_is_not_asked_for_is_not_made() {
        let some = roots(&[
            "request.path",
            "request.query.q",
            "response.status",
            "body.a",
        ]);
        let texts: Vec<_> = some.texts.iter().map(|(name, _)| *name).collect();
        assert_eq!((texts, &some.maps[..]), (vec!["path"], &["query"][..]));
        assert_eq!(some.others, ["request", "response"]);
        assert!(some.body && !some.response_headers);
        let all = roots(&["request", "request.path", "response"]);
        assert_eq!((all.texts.len(), all.maps.len()), (TEXTS.len(), MAPS.len()));
        assert!(all.response_headers && !all.body);
    }
}
