//! Queries, taken as names and values (the form that HTML forms send).

use std::borrow::Cow;

use wiregate_sdk::types::{OneOrMany, Pairs};
use wiregate_sdk::{Deserialize, Facts, Invalid, JsonSchema, Template, form};

use super::super::headers::check_renames;
use super::super::sides::check_values;
use super::super::url::{component, query as encoded};

/// Changes to the parameters of the query, in the order in which they are done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", default, deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "QueryEdits")]
pub(super) struct Config {
    /// Parameters to remove.
    remove: Option<OneOrMany<String>>,
    /// Parameters to rename: old name, new name.
    rename: Pairs<String, String>,
    /// Parameters to set, each in place of all values that it has.
    set: Pairs<String, Template>,
    /// Values to add, each behind those that its parameter has.
    add: Pairs<String, OneOrMany<Template>>,
}

/// What becomes of a query.
pub(super) struct Query {
    remove: Vec<String>,
    rename: Vec<Rename>,
    set: Vec<String>,
    /// What is put behind the rest: `name=` encoded, and the value.
    write: Vec<(String, Template)>,
}

struct Rename {
    from: String,
    to: String,
    /// The new name, encoded.
    written: String,
}

impl Query {
    /// Settles the options.
    ///
    /// # Errors
    /// What of them cannot work.
    pub(super) fn build(config: Config) -> Result<Self, Invalid> {
        check_renames(&config.rename, "query.rename")?;
        check_values("query", &config.set, &config.add, Template::check_early)?;
        let set = config.set.iter().map(|(name, _)| name.clone()).collect();
        let add = config.add.into_iter();
        let added = add
            .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
        let query = Self {
            remove: config.remove.into_iter().flatten().collect(),
            rename: config.rename.into_iter().map(Rename::new).collect(),
            set,
            write: (config.set.into_iter().chain(added))
                .map(|(name, value)| (component(&name).chain(["="]).collect(), value))
                .collect(),
        };
        if query.remove.is_empty() && query.rename.is_empty() && query.write.is_empty() {
            let message = "expected at least one of `remove`, `rename`, `set` and `add`";
            return Err(Invalid::at("query", message));
        }
        Ok(query)
    }

    /// The query that this one becomes. Parameters that nothing is done to stay as they are
    /// written.
    pub(super) fn rewrite(&self, query: &str, facts: &Facts<'_>) -> String {
        let mut out = String::with_capacity(query.len() + 32 * self.write.len());
        let mut put = |parts: [&str; 2]| {
            if !out.is_empty() {
                out.push('&');
            }
            out.extend(parts);
        };
        for pair in form::pairs(query) {
            let name = form::decoded(pair.name);
            let is = |other: &str| *name == *other.as_bytes();
            if self.remove.iter().any(|gone| is(gone)) {
                continue;
            }
            match self.rename.iter().find(|rename| is(&rename.from)) {
                Some(rename) if self.set.contains(&rename.to) => {}
                Some(rename) => put([&rename.written, &pair.whole[pair.name.len()..]]),
                None if self.set.iter().any(|set| is(set)) => {}
                None => put([pair.whole, ""]),
            }
        }
        for (name, template) in &self.write {
            if let Some(value) = render(template, facts) {
                put([name, &component(&value).collect::<Cow<'_, str>>()]);
            }
        }
        encoded(&out).into_owned()
    }
}

impl Rename {
    fn new((from, to): (String, String)) -> Self {
        let written = component(&to).collect();
        Self { from, to, written }
    }
}

/// The value of a template; `None` where it has none, as in header fields.
fn render<'a>(template: &'a Template, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
    let value = template.render(facts).ok()?;
    (!value.is_empty() || template.constant().is_some()).then_some(value)
}
