//! What a tool takes and returns, as JSON Schema.

use serde_json::{Map, Value, json};

use super::{Argument, Field, Flag, Run, Tool, ValueType};

impl Tool {
    /// The JSON Schema of its inputs: an object of its arguments and flags by name.
    pub fn input_schema(&self) -> Value {
        let arguments = self.arguments.iter().map(|one| (one.name.clone(), argument(one)));
        let flags = self.flags.iter().map(|one| (one.key(), flag(one)));
        let properties: Map<String, Value> = arguments.chain(flags).collect();
        let required = self.arguments.iter().filter(|one| one.required).map(|one| &one.name);
        json!({
            "type": "object",
            "properties": properties,
            "required": required.collect::<Vec<_>>(),
            "additionalProperties": false,
        })
    }

    /// The JSON Schema of its output.
    pub fn output_schema(&self) -> Value {
        let fields = &self.output.json_fields;
        let named = fields.iter().filter_map(|one| Some((one.name.clone()?, field(one))));
        let named: Map<String, Value> = named.collect();
        let json = json!({ "type": "object", "properties": named });
        if let Some(Run::Request { .. }) = self.run {
            let properties = if fields.is_empty() { json!({}) } else { json!({ "json": json }) };
            return json!({ "type": "object", "properties": properties });
        }
        let text = self.output.text.as_deref().unwrap_or("What it wrote to standard output.");
        let (key, value) = if fields.is_empty() {
            ("text", json!({ "type": "string", "description": text }))
        } else {
            ("json", json)
        };
        json!({
            "type": "object",
            "required": [key, "stderr", "exit_code"],
            "properties": {
                key: value,
                "stderr": { "type": "string" },
                "exit_code": { "type": "integer" },
            },
        })
    }
}

fn argument(argument: &Argument) -> Value {
    let mut schema = of_type(argument.value_type);
    if let Some(description) = &argument.description {
        schema["description"] = description.as_str().into();
    }
    if let Some(default) = &argument.default {
        schema["default"] = default.clone();
    }
    if !argument.allowed.is_empty() {
        schema["enum"] = argument.allowed.clone().into();
    }
    schema
}

fn flag(flag: &Flag) -> Value {
    let mut schema = json!({ "type": if flag.has_argument { "string" } else { "boolean" } });
    if let Some(description) = &flag.description {
        schema["description"] = description.as_str().into();
    }
    schema
}

/// A field may be null: then it is as if it were not there.
fn field(field: &Field) -> Value {
    json!({ "anyOf": [item(field), { "type": "null" }] })
}

fn item(field: &Field) -> Value {
    let mut schema = of_type(field.value_type);
    if let Some(items) = &field.items {
        schema["items"] = item(items);
    }
    schema
}

fn of_type(value_type: ValueType) -> Value {
    match value_type {
        ValueType::Any => json!({}),
        ValueType::String
        | ValueType::Number
        | ValueType::Integer
        | ValueType::Boolean
        | ValueType::Array
        | ValueType::Object => json!({ "type": value_type.name() }),
    }
}
