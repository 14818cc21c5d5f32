//! `headers`: changes the header fields of requests and responses.

use wiregate_sdk::types::{FieldName, OneOrMany, Pairs};
use wiregate_sdk::{
    Build, Deserialize, Facts, Filter, Flow, HeaderName, HeaderValue, Invalid, JsonSchema, Request,
    Response,
};

use super::field::{FieldPattern, FieldTemplate};
use super::sides;

/// Changes the header fields of requests, of responses, or of both.
///
/// Whatever the order in which they are written, `remove` is done first, then `rename`, `set` and
/// `add`. Values are templates; all of them see the message as it came to this filter, so a value
/// may hold that of a field which is removed. Values for responses can also ask for
/// `${response.status}` and `${response.headers["…"]}`. Responses that the gateway makes itself
/// are changed like those from upstream.
///
/// A template without a value (nothing is there, or it cannot stand in a header because of a
/// control character in it) makes no field: `add` adds none, and `set` takes away the one that is
/// there, so that nothing a client sent passes for what the gateway would have set.
///
/// The fields that frame a message, such as `content-length` and `connection`, are the gateway's
/// own, and `host` is changed with `rewrite`. After all filters the gateway adds the
/// `x-forwarded-*` fields to the request, and `x-request-id` to the response.
///
/// ```yaml
/// - headers:
///     request:
///       remove: [cookie, x-internal-*]
///       rename: { x-old-tenant: x-tenant }
///       set: { x-client: "${client.address}", x-user: "${identity.name}" }
///     response:
///       remove: server
///       set: { cache-control: no-store }
///       add: { vary: [accept, accept-language] }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// Changes to the request, as later filters and the upstream see it.
    #[serde(default)]
    request: Option<EditsConfig>,
    /// Changes to the response, as earlier filters and the client see it.
    #[serde(default)]
    response: Option<EditsConfig>,
}

/// Changes to header fields, in the order in which they are done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", default, deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "HeaderEdits")]
struct EditsConfig {
    /// Fields to remove: names, or the beginning of names and a `*`.
    remove: Option<OneOrMany<FieldPattern>>,
    /// Fields to rename: old name, new name. The values go behind those that the new name has.
    rename: Pairs<FieldName, FieldName>,
    /// Fields to set, each in place of all values that it has.
    set: Pairs<FieldName, FieldTemplate>,
    /// Values to add, each behind those that its field has.
    add: Pairs<FieldName, OneOrMany<FieldTemplate>>,
}

/// The running form of `headers`.
pub struct Headers {
    request: Option<Edits>,
    response: Option<Edits>,
}

#[derive(Default)]
struct Edits {
    remove: Vec<FieldPattern>,
    rename: Vec<(HeaderName, HeaderName)>,
    set: Vec<(HeaderName, Value)>,
    add: Vec<(HeaderName, Value)>,
    /// The templates with expressions.
    varying: Vec<FieldTemplate>,
}

/// The value that a field gets.
enum Value {
    /// Always the same.
    Always(HeaderValue),
    /// What the template at this place makes, which may be nothing.
    Varies(usize),
}

/// What the templates have made.
type Rendered = Vec<Option<HeaderValue>>;

impl Filter for Headers {
    const NAME: &'static str = "headers";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        if config.request.is_none() && config.response.is_none() {
            return Err(Invalid::new("expected `request`, `response` or both"));
        }
        let mut invalid = Invalid::default();
        let mut edits = |side: &str, config: Option<EditsConfig>| {
            let built = config.map(|config| Edits::build(config, side));
            built.and_then(|built| built.map_err(|problems| invalid.and(problems)).ok())
        };
        let filter = Self {
            request: edits("request", config.request),
            response: edits("response", config.response),
        };
        invalid.into_result()?;
        if let Some(edits) = &filter.request {
            edits.rename.iter().for_each(|(from, _)| cx.reads(from));
            edits.given().for_each(|name| cx.sets(name));
        }
        if let Some(edits) = &filter.response {
            cx.adds_fields(edits.set.len() + edits.add.len());
        }
        Ok(filter)
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        if let Some(edits) = &self.request {
            let rendered = edits.render(&req.facts());
            edits.apply(&mut req.headers_mut(), rendered);
        }
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        if let Some(edits) = &self.response {
            let rendered = edits.render(&res.facts());
            edits.apply(&mut res.headers_mut(), rendered);
        }
    }
}

impl Edits {
    fn build(config: EditsConfig, side: &str) -> Result<Self, Invalid> {
        check_renames(&config.rename, &format!("{side}.rename"))?;
        let early = |value: &FieldTemplate| value.check(sides::check_template(side));
        sides::check_values(side, &config.set, &config.add, early)?;
        let mut varying = Vec::new();
        let mut value = |template: FieldTemplate| {
            if let Some(constant) = template.constant() {
                return Value::Always(constant.clone());
            }
            varying.push(template);
            Value::Varies(varying.len() - 1)
        };
        let set = config.set.into_iter();
        let set = set.map(|(name, template)| (name.into(), value(template)));
        let set = set.collect();
        let mut add = Vec::new();
        for (name, templates) in config.add {
            let name = HeaderName::from(name);
            add.extend((templates.into_iter()).map(|template| (name.clone(), value(template))));
        }
        let edits = Self {
            remove: config.remove.into_iter().flatten().collect(),
            rename: (config.rename.into_iter())
                .map(|(from, to)| (from.into(), to.into()))
                .collect(),
            set,
            add,
            varying,
        };
        if edits.remove.is_empty()
            && edits.rename.is_empty()
            && edits.set.is_empty()
            && edits.add.is_empty()
        {
            let message = "expected at least one of `remove`, `rename`, `set` and `add`";
            return Err(Invalid::at(side, message));
        }
        Ok(edits)
    }

    /// The fields that a message may have of it.
    fn given(&self) -> impl Iterator<Item = &HeaderName> {
        let made = self.set.iter().chain(&self.add).map(|(name, _)| name);
        self.rename.iter().map(|(_, to)| to).chain(made)
    }

    fn render(&self, facts: &Facts<'_>) -> Rendered {
        let rendered = self.varying.iter().map(|template| template.render(facts));
        rendered.collect()
    }

    fn apply(&self, fields: &mut wiregate_sdk::Headers<'_>, mut rendered: Rendered) {
        for pattern in &self.remove {
            match pattern {
                FieldPattern::One(name) => drop(fields.remove(name)),
                FieldPattern::Prefix(prefix) => {
                    for name in FieldPattern::matching(prefix, fields.map()) {
                        fields.remove(&name);
                    }
                }
            }
        }
        for (from, to) in &self.rename {
            fields.rename(from, to);
        }
        for (name, value) in &self.set {
            match value.take(&mut rendered) {
                Some(value) => fields.set(name, value),
                None => drop(fields.remove(name)),
            }
        }
        for (name, value) in &self.add {
            if let Some(value) = value.take(&mut rendered) {
                fields.add(name, value);
            }
        }
    }
}

impl Value {
    /// What it is this time.
    fn take(&self, rendered: &mut Rendered) -> Option<HeaderValue> {
        match self {
            Self::Always(value) => Some(value.clone()),
            Self::Varies(place) => rendered[*place].take(),
        }
    }
}

/// Refuses renames whose outcome would hang on which of them is done first.
pub(super) fn check_renames<K>(renames: &[(K, K)], path: &str) -> Result<(), Invalid>
where
    K: PartialEq + std::fmt::Display,
{
    let mut invalid = Invalid::default();
    for (from, to) in renames {
        if renames.iter().any(|(other, _)| other == to) {
            let what = if from == to {
                "another name"
            } else {
                "a name that is not renamed itself"
            };
            let place = format!("{path}.{from}");
            invalid.and(Invalid::at(place, format!("expected {what}, found `{to}`")));
        }
    }
    invalid.into_result()
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
