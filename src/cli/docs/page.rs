//! A filter's reference page, out of the JSON Schema of its options.

use std::fmt::Write;

use serde_json::Value;

/// A page about one filter.
pub(in crate::cli) struct Page<'a> {
    schema: &'a Value,
    definitions: &'a Value,
    /// The objects and enumerations that options name, each of which gets a section.
    sections: Vec<&'a str>,
    /// The kinds of values that options name, which a table explains at the end.
    values: Vec<&'a str>,
}

impl<'a> Page<'a> {
    /// A page about options with this schema, which may refer to these definitions.
    pub(in crate::cli) fn new(schema: &'a Value, definitions: &'a Value) -> Self {
        Self {
            schema: resolve(schema, definitions),
            definitions,
            sections: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The first sentence or two of the page, on one line.
    pub(in crate::cli) fn summary(&self) -> String {
        let first = description(self.schema).split("\n\n").next();
        first.unwrap_or("").replace('\n', " ")
    }

    /// The page of the filter that goes by this name.
    pub(in crate::cli) fn write(mut self, name: &str) -> String {
        let mut page = format!("# `{name}`\n\n{}\n", description(self.schema));
        self.options(&mut page, self.schema);
        let mut written = 0;
        // A section may name further ones.
        while let Some(&name) = self.sections.get(written) {
            written += 1;
            let definition = &self.definitions[name];
            let _ = write!(page, "\n## {}\n", heading(name));
            if !description(definition).is_empty() {
                let _ = write!(page, "\n{}\n", description(definition));
            }
            self.words(&mut page, definition);
            self.options(&mut page, definition);
        }
        self.explain_values(&mut page);
        page.push_str("\nThis page is generated from the filter's code by `wiregate docs`.\n");
        page
    }

    /// The options of an object; or of several, where an option's value is one of them.
    fn options(&mut self, page: &mut String, schema: &'a Value) {
        let definitions = self.definitions;
        let objects = alternatives(schema).map(|object| resolve(object, definitions));
        let objects: Vec<_> = objects
            .filter_map(|object| Some((object, object.get("properties")?.as_object()?)))
            .collect();
        if objects.is_empty() {
            return;
        }
        if objects.len() > 1 {
            page.push_str("\nOne of these:\n");
        }
        page.push_str("\n| option | takes | default | meaning |\n|---|---|---|---|\n");
        for (object, properties) in objects {
            let required = object.get("required").and_then(Value::as_array);
            let required = |option: &str| {
                let mut names = required.into_iter().flatten();
                properties.len() > 1 && names.any(|name| name == option)
            };
            for (option, schema) in properties {
                let default = match schema.get("default") {
                    Some(default) if !default.is_null() => format!("`{default}`"),
                    _ if required(option) => "required".to_owned(),
                    _ => String::new(),
                };
                let kind = self.kind(schema);
                // Of an object with a single option, what there is to say may be said above it.
                let meaning = match description(schema) {
                    "" => description(object),
                    meaning => meaning,
                };
                let meaning = cell(meaning);
                let _ = writeln!(page, "| `{option}` | {kind} | {default} | {meaning} |");
            }
        }
    }

    /// The words of an enumeration.
    fn words(&self, page: &mut String, schema: &Value) {
        let words = alternatives(schema).filter_map(|choice| {
            let word = choice.get("const")?.as_str()?;
            Some((word, description(choice)))
        });
        for (number, (word, meaning)) in words.enumerate() {
            if number == 0 {
                page.push('\n');
            }
            let _ = writeln!(page, "- `{word}`: {}", cell(meaning));
        }
    }

    /// What an option takes, in a few words.
    fn kind(&mut self, schema: &'a Value) -> String {
        if let Some(name) = reference(schema) {
            return self.named(name);
        }
        if let Some(any) = any_of(schema) {
            let kinds = any
                .iter()
                .filter(|kind| kind.get("type").is_none_or(|kind| kind != "null"))
                .map(|kind| self.kind(kind));
            let mut kinds: Vec<_> = kinds.collect();
            kinds.dedup();
            return match &kinds[..] {
                [one, many] if *many == format!("list of {one}") => format!("{one}, or a list"),
                _ => kinds.join(" or "),
            };
        }
        match schema.get("type") {
            Some(Value::String(kind)) => self.plain(schema, kind),
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                let kinds = kinds.filter(|kind| *kind != "null");
                let kinds: Vec<_> = kinds.map(|kind| self.plain(schema, kind)).collect();
                kinds.join(" or ")
            }
            _ => "anything".to_owned(),
        }
    }

    fn plain(&mut self, schema: &'a Value, kind: &str) -> String {
        let mut inner = |key| match schema.get(key) {
            Some(inner) if inner.is_object() => self.kind(inner),
            _ => "anything".to_owned(),
        };
        match kind {
            "array" => format!("list of {}", inner("items")),
            "object" => format!("map to {}", inner("additionalProperties")),
            "string" => "text".to_owned(),
            "integer" => "whole number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            other => other.to_owned(),
        }
    }

    fn named(&mut self, name: &'a str) -> String {
        let definition = &self.definitions[name];
        let section = alternatives(definition)
            .any(|part| part.get("properties").is_some() || part.get("const").is_some());
        let names = if section {
            &mut self.sections
        } else {
            &mut self.values
        };
        if !names.contains(&name) {
            names.push(name);
        }
        let words = heading(name).to_lowercase();
        match section {
            true => format!("[{words}](#{})", words.replace(' ', "-")),
            false => format!("[{words}](#values)"),
        }
    }

    fn explain_values(&self, page: &mut String) {
        if self.values.is_empty() {
            return;
        }
        page.push_str("\n## Values\n\n| value | is | for example |\n|---|---|---|\n");
        let mut values = self.values.clone();
        values.sort_unstable();
        for name in values {
            let definition = &self.definitions[name];
            let examples = definition
                .get("examples")
                .or_else(|| definition.get("enum"));
            let examples = examples.and_then(Value::as_array).into_iter().flatten();
            let examples = examples.map(|example| match example.as_str() {
                Some(text) => format!("`{}`", cell(text)),
                None => format!("`{example}`"),
            });
            let examples: Vec<_> = examples.collect();
            let (words, meaning) = (heading(name).to_lowercase(), cell(description(definition)));
            let _ = writeln!(page, "| {words} | {meaning} | {} |", examples.join(", "));
        }
    }
}

/// The parts of which a value is one, and what holds for all of them.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(schema).chain(any_of(schema).into_iter().flatten())
}

fn any_of(schema: &Value) -> Option<&Vec<Value>> {
    let any = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    any.and_then(Value::as_array)
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn resolve<'a>(schema: &'a Value, definitions: &'a Value) -> &'a Value {
    reference(schema).map_or(schema, |name| &definitions[name])
}

fn description(schema: &Value) -> &str {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or("")
}

/// A type's name in words: `HeaderEdits` is `Header edits`.
fn heading(name: &str) -> String {
    let mut words = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

/// Text that fits into a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace("\n\n", "<br>")
        .replace('\n', " ")
}
