//! One route as the `OpenAPI` document has it.

use std::collections::BTreeMap;

use apflow_api::{Body, Code, Entry, Extent, Input, Method, example};
use apflow_model::access::Permission;
use axum::http::StatusCode;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::http::problem::Problem;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// A route, and what there is to say of it.
pub(super) struct Described {
    pub(super) name: &'static str,
    /// Whether everybody may ask, without a token.
    pub(super) is_open: bool,
    /// What a caller must be allowed, if anything.
    pub(super) permission: Option<Permission>,
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// The schema of all that it takes, as one object with nothing outside it.
    pub(super) input: Value,
    pub(super) takes: Takes,
    pub(super) answers: Answers,
    pub(super) statuses: &'static [u16],
    pub(super) errors: Vec<Code>,
}

/// What a request carries.
pub(super) enum Takes {
    /// JSON, with these fields of the input.
    Json(Body),
    /// Bytes.
    Bytes,
    /// A form of this schema.
    Form(fn() -> Value),
}

/// What a good answer carries.
pub(super) enum Answers {
    /// JSON of this schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON, or server-sent events for whoever accepts them.
    JsonOrEvents(fn(&mut SchemaGenerator) -> Schema),
    /// Something else, of one of these media types.
    Other(&'static [&'static str]),
}

impl From<&Entry> for Described {
    fn from(entry: &Entry) -> Self {
        let shape = &entry.shape;
        Self {
            name: entry.name,
            is_open: false,
            permission: Some(entry.permission),
            method: entry.method,
            path: entry.path,
            input: (shape.input)().to_value(),
            takes: Takes::Json(shape.body),
            answers: Answers::Json(shape.output),
            statuses: shape.statuses,
            errors: shape.errors.to_vec(),
        }
    }
}

impl Described {
    /// What it is a route of: the first word of its name.
    pub(super) fn tag(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(tag, _)| tag)
    }

    /// The method as the document has it.
    pub(super) fn method_name(&self) -> String {
        self.method.name().to_ascii_lowercase()
    }

    /// The schema of its good answers; null for bytes.
    pub(super) fn schema(&self, generator: &mut SchemaGenerator) -> Value {
        match self.answers {
            Answers::Json(schema) | Answers::JsonOrEvents(schema) => schema(generator).to_value(),
            Answers::Other(_) => Value::Null,
        }
    }

    /// What the document says of it. `schema` is that of its answers.
    pub(super) fn describe(&self, schema: &Value, shared: &Map<String, Value>) -> Value {
        let about = self.input["description"].as_str().unwrap_or_default();
        let summary = about.split_inclusive(". ").next().unwrap_or(about).trim_end();
        let mut described = json!({
            "operationId": self.name,
            "tags": [self.tag()],
            "summary": summary.trim_end_matches('.'),
            "description": about,
            "parameters": self.parameters(),
            "responses": self.responses(schema, shared),
        });
        if let Some(permission) = self.permission {
            described["x-permission"] = permission.name().into();
        }
        if self.is_open {
            described["security"] = json!([]);
        }
        if let Some(body) = self.body() {
            described["requestBody"] = body;
        }
        described
    }

    fn is_needed(&self, name: &str) -> bool {
        self.input["required"].as_array().is_some_and(|needed| needed.iter().any(|n| n == name))
    }

    fn is_in_body(&self, name: &str) -> bool {
        matches!(self.takes, Takes::Json(body) if body.holds(name))
    }

    fn parameters(&self) -> Vec<Value> {
        let parameters = properties(&self.input).filter(|(name, _)| !self.is_in_body(name));
        parameters.map(|(name, schema)| self.parameter(name, schema)).collect()
    }

    fn parameter(&self, name: &str, schema: &Value) -> Value {
        let mut schema = without_null(schema);
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let place = if self.path.contains(&format!("{{{name}}}"))
            || self.path.contains(&format!("{{*{name}}}"))
        {
            "path"
        } else if Input::HEADERS.contains(&name) || name == "last-event-id" {
            "header"
        } else {
            "query"
        };
        // What every text of a request is held to, where it has no form of its own.
        let has_form = ["pattern", "format", "enum"].iter().any(|key| !schema[*key].is_null());
        if schema["type"] == "string" && !has_form {
            schema["pattern"] = r"^[^\x00]*$".into();
        }
        json!({
            "name": name,
            "in": place,
            "required": self.is_needed(name),
            "description": about,
            "schema": schema,
        })
    }

    fn body(&self) -> Option<Value> {
        let fields = match self.takes {
            Takes::Bytes => {
                // A file may be empty.
                return Some(json!({
                    "content": { "application/octet-stream": { "schema": {} } },
                }));
            }
            Takes::Form(schema) => {
                return Some(json!({
                    "required": true,
                    "content": { "multipart/form-data": { "schema": schema() } },
                }));
            }
            Takes::Json(Body::None) => return None,
            Takes::Json(Body::Whole(name)) => {
                let schema = &self.input["properties"][name];
                let example = example(schema, &Map::new(), Extent::Needed);
                return Some(json!({
                    "required": self.is_needed(name),
                    "content": { JSON: { "schema": schema, "example": example } },
                }));
            }
            Takes::Json(Body::Fields(fields)) => fields,
        };
        let properties: Map<String, Value> = properties(&self.input)
            .filter(|(name, _)| fields.contains(&name.as_str()))
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect();
        let needed: Vec<&&str> = fields.iter().filter(|name| self.is_needed(name)).collect();
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": needed,
            "additionalProperties": false,
        });
        let example = example(&schema, &Map::new(), Extent::All);
        Some(json!({
            "required": !needed.is_empty(),
            "content": { JSON: { "schema": schema, "example": example } },
        }))
    }

    fn responses(&self, schema: &Value, shared: &Map<String, Value>) -> Value {
        let mut responses = Map::new();
        for status in self.statuses {
            let mut content = Map::new();
            match self.answers {
                Answers::Json(_) | Answers::JsonOrEvents(_) => {
                    let example = example(schema, shared, Extent::All);
                    let json = json!({ "schema": schema, "example": example });
                    content.insert(JSON.to_owned(), json);
                }
                Answers::Other(kinds) => {
                    let kinds =
                        kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": {} })));
                    content.extend(kinds);
                }
            }
            if let Answers::JsonOrEvents(_) = self.answers {
                // A schema would be that of the whole stream, which has no end that is known.
                let events = json!({
                    "example": "event: end\ndata: {\"after\":3}\n\n",
                });
                content.insert("text/event-stream".to_owned(), events);
            }
            let response = json!({
                "description": meaning(*status),
                "headers": headers(*status),
                "content": content,
            });
            responses.insert(status.to_string(), response);
        }
        for (status, codes) in self.codes() {
            // The same wherever it stands.
            let shared = format!("#/components/responses/{}", name(&codes));
            responses.insert(status.to_string(), json!({ "$ref": shared }));
        }
        responses.into()
    }

    /// The codes that it may be refused with, by their status, each by its name.
    pub(super) fn codes(&self) -> BTreeMap<u16, Vec<Code>> {
        let mut codes = self.errors.clone();
        if !self.is_open {
            codes.extend(Code::OF_ALL);
        }
        if !matches!(self.takes, Takes::Json(Body::None)) {
            codes.extend([Code::PayloadTooLarge, Code::TooSlow]);
        }
        let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
        for code in codes {
            let same = by_status.entry(code.status()).or_default();
            if !same.contains(&code) {
                same.push(code);
            }
        }
        for codes in by_status.values_mut() {
            codes.sort_unstable_by_key(|code| code.name());
        }
        by_status
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// What a good status says.
fn meaning(status: u16) -> &'static str {
    match status {
        101 => "A WebSocket, whose messages are events.",
        201 => "It is made.",
        202 => "It is stored and goes on.",
        206 => "A part of it.",
        _ => "It is done.",
    }
}

/// The headers of an answer.
fn headers(status: u16) -> Value {
    let mut headers = json!({ "x-request-id": { "$ref": "#/components/headers/x-request-id" } });
    if matches!(status, 429 | 503) {
        headers["retry-after"] = json!({
            "description": "In how many seconds to try again.",
            "schema": { "type": "integer", "minimum": 0 },
        });
    }
    headers
}

/// The answers of these routes that say why not, by the names of their codes.
pub(super) fn refusals(routes: &[Described]) -> Map<String, Value> {
    let codes = routes.iter().flat_map(Described::codes);
    codes.map(|(status, codes)| (name(&codes), refusal(status, &codes))).collect()
}

/// What an answer with one of these codes is called.
fn name(codes: &[Code]) -> String {
    codes.iter().map(|code| code.name()).collect::<Vec<_>>().join(".")
}

/// An answer that says why not.
fn refusal(status: u16, codes: &[Code]) -> Value {
    let about = codes.iter().map(|code| format!("- `{}`:{}", code.name(), code.about()));
    let examples = codes.iter().map(|code| {
        let problem = Problem::new(*code, code.about().trim_start()).in_request("1f3a-2c".into());
        (code.name().to_owned(), json!({ "value": problem }))
    });
    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    json!({
        "description": format!(
            "{}\n\n{}",
            reason.unwrap_or_default(),
            about.collect::<Vec<_>>().join("\n")
        ),
        "headers": headers(status),
        "content": { PROBLEM: {
            "schema": {
                "allOf": [
                    { "$ref": "#/components/schemas/Problem" },
                    { "properties": { "code": { "enum": names } } },
                ],
            },
            "examples": examples.collect::<Map<_, _>>(),
        } },
    })
}

/// The same schema for a text that is there or not, and never null.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(object) = schema.as_object_mut() else { return schema };
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(choice)] = choices.as_slice() {
            let choice = choice.clone();
            object.remove("anyOf");
            for (key, value) in choice {
                object.entry(key).or_insert(value);
            }
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_never_null() {
        let schema = json!({ "type": ["string", "null"], "minLength": 1 });
        assert_eq!(without_null(&schema), json!({ "type": "string", "minLength": 1 }));
        let schema = json!({
            "description": "Where.",
            "anyOf": [{ "description": "A state.", "enum": ["open"] }, { "type": "null" }],
        });
        assert_eq!(without_null(&schema), json!({ "description": "Where.", "enum": ["open"] }));
    }
}
