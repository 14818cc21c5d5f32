//! The JSON Schema of a configuration file, with every filter's options.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use wiregate_sdk::mode::MODE;
use wiregate_sdk::registry::Entry;
use wiregate_sdk::{Mode, Registry};

use super::model::{Config, FilterUse};

/// The JSON Schema (2020-12) of a configuration file that may use these filters.
///
/// # Panics
/// Never: a schema of a type with fields is an object.
pub fn schema(registry: &Registry) -> Value {
    let mut generator = generator();
    let mut alternatives = vec![json!({
        "type": "string",
        "description": "The name of a filter that has no options, or of one under `filters:`.",
    })];
    for entry in registry.entries() {
        let options = options(entry, &mut generator);
        alternatives.push(json!({
            "type": "object",
            "properties": { entry.name: options },
            "required": [entry.name],
            "additionalProperties": false,
        }));
    }
    let mut root = generator.root_schema_for::<Config>().to_value();
    let filter =
        json!({ "description": "A filter: `name`, or `name: options`.", "anyOf": alternatives });
    let root = root.as_object_mut().expect("the schema of a struct");
    root.insert("title".to_owned(), "Wiregate configuration".into());
    root.entry("$defs")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .expect("definitions are an object")
        .insert(FilterUse::DEFINITION.to_owned(), filter);
    Value::Object(std::mem::take(root))
}

/// The schema of a filter's options: its own, and `mode` where they are written as a map.
pub fn options(entry: &Entry, generator: &mut SchemaGenerator) -> Value {
    let mut options = entry.schema(generator).to_value();
    if !entry.answers {
        let mode = generator.subschema_for::<Mode>().to_value();
        add_mode(&mut options, &mode, generator.definitions_mut());
    }
    options
}

fn add_mode(schema: &mut Value, mode: &Value, definitions: &mut Map<String, Value>) {
    let named = schema.get("$ref").and_then(Value::as_str);
    if let Some(name) = named.and_then(|name| name.strip_prefix("#/$defs/")) {
        // Taken out, so that it may itself refer to others.
        if let Some(mut named) = definitions.get_mut(name).map(Value::take) {
            add_mode(&mut named, mode, definitions);
            definitions[name] = named;
        }
        return;
    }
    if let Some(own) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let mut mode = mode.clone();
        mode["description"] = json!("Whether the filter acts, or is only looked at.");
        mode["default"] = json!(Mode::default());
        own.insert(MODE.to_owned(), mode);
    }
    for several in ["anyOf", "oneOf"] {
        let several = schema.get_mut(several).and_then(Value::as_array_mut);
        for one in several.into_iter().flatten() {
            add_mode(one, mode, definitions);
        }
    }
}

/// A generator of the dialect that editors know.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_and_time_shows_its_default() {
        let schema = schema(&Registry::new());
        for of in ["Limits", "Http2", "Retry"] {
            let options = schema["$defs"][of]["properties"].as_object().unwrap();
            for (name, option) in options {
                assert!(option.get("default").is_some(), "{of}.{name}");
            }
        }
        let default = |of: &str, name: &str| &schema["$defs"][of]["properties"][name]["default"];
        assert_eq!(default("Limits", "buffered_body"), "16MiB");
        assert_eq!(default("Retry", "backoff"), "25ms");
        assert_eq!(default("Health", "every"), "5s");
    }
}
