//! The keys of our files as tables: what each may hold, and what it is for.
//!
//! A table has two readers: [`crate::reader`] knows the keys of a section by it, and it becomes the
//! JSON Schema that editors and CI use. What only shows when values are compared, and the grammar of
//! some texts, is left to the reader of the file.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::limit::{Bytes, Span};

/// A size, as [`Bytes`] reads it.
const SIZE: &str = "^[0-9]+ *(B|KiB|MiB|GiB)$";
/// A span of time, as [`Span`] reads it.
const SPAN: &str = "^[0-9]+(ms|s|m|h)$";

/// One key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// What it is for, as a sentence.
    pub(crate) about: &'static str,
    pub(crate) is_needed: bool,
    /// What holds when it is left out.
    pub(crate) default: Option<fn() -> Value>,
    /// The same in words, where no value says it.
    pub(crate) otherwise: Option<&'static str>,
    /// Whether its value is shown to nobody.
    pub(crate) is_secret: bool,
    /// The variable of the environment that says it, where that is not named after the key.
    pub(crate) variable: Option<&'static str>,
    example: Option<fn() -> Value>,
}

/// What a key may hold.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// A text of a form: a regular expression that a browser reads as well.
    Form(&'static str),
    /// One of some words.
    Word(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Flag,
    /// A number from 0 to 1.
    Share,
    /// A whole number, from and to.
    Count(u64, u64),
    /// A number of bytes with its unit, from and to.
    Size(u64, u64),
    /// A span of time with its unit, from and to.
    Span(Duration, Duration),
    /// A list. Nothing at all is an empty one.
    List(&'static Shape),
    /// A list of things that are all different.
    Set(&'static Shape),
    /// A list of things that are all different, with at least one.
    Filled(&'static Shape),
    /// Names that are free, each with something. Nothing at all is without names.
    Named(&'static Shape),
    /// A section with these keys.
    Section(&'static [Key]),
    /// A section that stands in several places, or in itself, by the name that it has in the schema.
    Shared(&'static str, &'static [Key]),
    /// What another table makes.
    Made(fn() -> Value),
    /// One of these.
    Either(&'static [Shape]),
    /// `null`.
    Nothing,
    /// Any value.
    Any,
}

impl Key {
    /// A key that may be left out.
    pub(crate) const fn new(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self {
            name,
            shape,
            about,
            is_needed: false,
            default: None,
            otherwise: None,
            is_secret: false,
            variable: None,
            example: None,
        }
    }

    /// The same key, which may not be left out.
    pub(crate) const fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }

    /// The same key, with what holds when it is left out.
    pub(crate) const fn or(self, default: fn() -> Value) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same key, with words for what holds when it is left out.
    pub(crate) const fn otherwise(self, words: &'static str) -> Self {
        Self { otherwise: Some(words), ..self }
    }

    /// The same key, whose value is shown to nobody.
    pub(crate) const fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }

    /// The same key, with the variable of the environment that says it.
    pub(crate) const fn variable(self, name: &'static str) -> Self {
        Self { variable: Some(name), ..self }
    }

    /// The same key, with something that it may hold.
    pub(crate) const fn like(self, example: fn() -> Value) -> Self {
        Self { example: Some(example), ..self }
    }

    fn schema(&self, shared: &mut Map<String, Value>) -> Value {
        let mut schema = self.shape.schema(shared);
        // A schema has no words for the bounds of a text with a unit.
        let about = if let Shape::Size(from, to) = self.shape {
            format!("{} From {} to {}.", self.about, Bytes(from), Bytes(to))
        } else if let Shape::Span(from, to) = self.shape {
            format!("{} From {} to {}.", self.about, Span(from), Span(to))
        } else {
            self.about.to_owned()
        };
        schema["description"] = about.into();
        if let Some(default) = self.default {
            schema["default"] = default();
        }
        if let Some(example) = self.example {
            schema["examples"] = json!([example()]);
        }
        schema
    }
}

impl Shape {
    fn schema(&self, shared: &mut Map<String, Value>) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Form(pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Size(..) => json!({ "type": "string", "pattern": SIZE }),
            Self::Span(..) => json!({ "type": "string", "pattern": SPAN }),
            Self::Word(words) => json!({ "enum": words() }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            Self::Count(from, u64::MAX) => json!({ "type": "integer", "minimum": from }),
            Self::Count(from, to) => {
                json!({ "type": "integer", "minimum": from, "maximum": to })
            }
            Self::List(item) => json!({ "type": ["array", "null"], "items": item.schema(shared) }),
            Self::Set(item) => json!({
                "type": ["array", "null"], "items": item.schema(shared), "uniqueItems": true,
            }),
            Self::Filled(item) => json!({
                "type": "array", "items": item.schema(shared), "uniqueItems": true, "minItems": 1,
            }),
            Self::Named(value) => json!({
                "type": ["object", "null"], "additionalProperties": value.schema(shared),
            }),
            Self::Section(keys) => section(keys, shared),
            Self::Made(make) => make(),
            Self::Shared(name, keys) => {
                if !shared.contains_key(*name) {
                    // Noted first: the section may stand in itself.
                    shared.insert((*name).to_owned(), Value::Null);
                    let schema = section(keys, shared);
                    shared.insert((*name).to_owned(), schema);
                }
                json!({ "$ref": format!("#/$defs/{name}") })
            }
            Self::Either(shapes) => {
                let shapes: Vec<Value> = shapes.iter().map(|shape| shape.schema(shared)).collect();
                json!({ "anyOf": shapes })
            }
            Self::Nothing => json!({ "type": "null" }),
            Self::Any => json!({}),
        }
    }
}

/// The schema of a section. What stands in several places of it is put beside.
pub(crate) fn section(keys: &[Key], shared: &mut Map<String, Value>) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), key.schema(shared))).collect();
    let needed: Vec<&str> = keys.iter().filter(|key| key.is_needed).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    });
    if !needed.is_empty() {
        schema["required"] = json!(needed);
    }
    schema
}

/// The JSON Schema (2020-12) of the file of this name, whose sections begin with these keys.
pub(crate) fn of_file(name: &str, about: &str, keys: &[Key]) -> Value {
    let mut shared = Map::new();
    let mut schema = section(keys, &mut shared);
    let repository = env!("CARGO_PKG_REPOSITORY");
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["$id"] = format!("{repository}/raw/main/docs/schema/{name}.json").into();
    schema["title"] = format!("{name}.yaml of apflow-host").into();
    schema["description"] = about.into();
    if !shared.is_empty() {
        schema["$defs"] = shared.into();
    }
    schema
}

/// The words of a table of words and what they mean.
pub(crate) fn words<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
    all.iter().map(|(word, _)| *word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static SHELF: [Key; 2] = [
        Key::new("size", Shape::Size(1, 1024), "How large.").needed().or(|| json!("1B")),
        Key::new("inner", Shape::Shared("shelf", &SHELF), "What it holds."),
    ];

    #[test]
    fn a_table_becomes_a_schema() {
        let schema = of_file("shelf", "A shelf.", &SHELF);
        assert_eq!(schema["required"], json!(["size"]));
        let size = json!({
            "type": "string", "pattern": SIZE, "default": "1B",
            "description": "How large. From 1 B to 1 KiB.",
        });
        assert_eq!(schema["properties"]["size"], size);
        assert_eq!(schema["properties"]["inner"]["$ref"], "#/$defs/shelf");
        let within = &schema["$defs"]["shelf"]["properties"]["inner"];
        assert_eq!(within["$ref"], "#/$defs/shelf", "a section may stand in itself");
    }
}
