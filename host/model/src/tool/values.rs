//! The values of a tool's arguments and flags.

use serde_json::{Map, Value};

/// The values that were given, by name.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) given: Option<&'a Map<String, Value>>,
}

impl<'a> Values<'a> {
    /// The value of an argument or a flag. None when it is not given.
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.given?.get(name)
    }

    /// The value as text: JSON for what is no text itself.
    pub(super) fn text(self, name: &str) -> Option<String> {
        self.get(name).map(text)
    }
}

/// A value as text: JSON for what is no text itself.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}
