//! The JSON Schema of a configuration file, with every filter's options.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use wiregate_sdk::Registry;

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
        let options = entry.schema(&mut generator);
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
