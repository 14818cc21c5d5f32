//! The attributes of a span.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// The attributes of a span, as they come.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// A text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.add(name, Value::StringValue(value.to_owned()));
    }

    /// A text, where there is one.
    pub(super) fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, value: impl Into<i64>) {
        self.add(name, Value::IntValue(value.into()));
    }

    /// A yes.
    pub(super) fn yes(&mut self, name: &str) {
        self.add(name, Value::BoolValue(true));
    }

    fn add(&mut self, name: &str, value: Value) {
        self.0.push(KeyValue {
            key: name.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    /// All of them.
    pub(super) fn done(self) -> Vec<KeyValue> {
        self.0
    }
}
