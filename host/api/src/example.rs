//! Examples of what a schema describes, put together from the examples of its parts.

use serde_json::{Map, Value, json};

/// How much of an object an example shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Only what must be there, as a caller would write it.
    Needed,
    /// Every field, as an answer has it.
    All,
}

/// A value that a schema describes. `shared` has the schemas that it refers to, by name.
///
/// What a schema gives as an example comes first. A value that may be null is null otherwise.
pub fn example(schema: &Value, shared: &Map<String, Value>, extent: Extent) -> Value {
    let of = |schema| example(schema, shared, extent);
    if let Some(given) = given(schema) {
        return given.clone();
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return shared.get(name).map_or(Value::Null, of);
    }
    if let Some(choices) = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array()) {
        let is_null = |choice: &&Value| choice["type"] == "null";
        let chosen = choices.iter().find(is_null).or(choices.first()).map(of);
        // A choice may stand beside the fields that all choices share.
        return merged(fields(schema, shared, extent), chosen.unwrap_or_default());
    }
    let kind = &schema["type"];
    let kinds = kind.as_array().map_or(std::slice::from_ref(kind), Vec::as_slice);
    let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
    if kinds.contains(&"null") {
        return Value::Null;
    }
    match kinds.first() {
        Some(&"string") => "text".into(),
        Some(&"integer") => schema.get("minimum").cloned().unwrap_or(0.into()),
        Some(&"number") => schema.get("minimum").cloned().unwrap_or(0.0.into()),
        Some(&"boolean") => false.into(),
        Some(&"array") => json!([of(&schema["items"])]),
        _ => fields(schema, shared, extent),
    }
}

/// What a schema says itself.
fn given(schema: &Value) -> Option<&Value> {
    let first = |key: &str| schema[key].as_array().and_then(|values| values.first());
    first("examples").or(schema.get("const")).or(first("enum")).or(schema.get("default"))
}

fn fields(schema: &Value, shared: &Map<String, Value>, extent: Extent) -> Value {
    let needed = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_shown = |name: &str, field: &Value| match extent {
        Extent::All => true,
        Extent::Needed => {
            needed.iter().any(|needed| needed == name) || !field["examples"].is_null()
        }
    };
    let fields = schema["properties"].as_object().into_iter().flatten();
    let shown = fields.filter(|(name, field)| is_shown(name, field));
    let shown = shown.map(|(name, field)| (name.clone(), example(field, shared, extent)));
    Value::Object(shown.collect())
}

/// Two objects as one; the second alone when it is none.
fn merged(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (_, second) => second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_made_of_those_of_its_parts() {
        let schema = json!({
            "type": "object",
            "properties": {
                "id": { "$ref": "#/components/schemas/Id" },
                "count": { "type": "integer", "minimum": 1 },
                "state": { "oneOf": [{ "const": "open" }, { "const": "closed" }] },
                "until": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            },
            "required": ["id"],
        });
        let shared =
            Map::from_iter([("Id".to_owned(), json!({ "type": "string", "examples": ["i_1"] }))]);
        let all = json!({ "id": "i_1", "count": 1, "state": "open", "until": null });
        assert_eq!(example(&schema, &shared, Extent::All), all);
        assert_eq!(example(&schema, &shared, Extent::Needed), json!({ "id": "i_1" }));
    }
}
