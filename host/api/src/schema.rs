//! What verbs take and answer, as JSON Schema (2020-12).
//!
//! Every schema is derived from the type that is read or written: nothing is described twice.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::body::Body;
use crate::code::Code;
use crate::remote::Remote;

/// What a verb takes and answers, for doors that describe it.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The schema of all that it takes, wherever it stands, as one object. What stands in it several
    /// times is written out.
    pub input: fn() -> Schema,
    /// What of its input stands in the body.
    pub body: Body,
    /// The schema of what it answers. What stands in several places is kept in the generator, which
    /// [`answers`] makes.
    pub output: fn(&mut SchemaGenerator) -> Schema,
    /// The statuses that a good answer has.
    pub statuses: &'static [u16],
    /// The codes that it is refused with, beside those that every verb may be ([`Code::OF_ALL`]).
    pub errors: &'static [Code],
}

impl Shape {
    /// What a verb of the table takes and answers.
    pub(crate) const fn of<R: Remote>() -> Self {
        Self {
            input: input::<R>,
            body: R::BODY,
            output: SchemaGenerator::subschema_for::<R::Output>,
            statuses: R::STATUSES,
            errors: R::ERRORS,
        }
    }
}

/// The schema of a type that is read, with nothing outside it.
pub fn input<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft2020_12().for_deserialize();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let settings = settings.with_transform(RecursiveTransform(plain)).with_transform(Bounds);
    settings.into_generator().into_root_schema_for::<T>()
}

/// Makes schemas of types that are written. What stands in several of them is found at `place`, a
/// JSON pointer.
pub fn answers(place: &'static str) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = place.into();
    settings.with_transform(RecursiveTransform(plain)).into_generator()
}

/// Makes a description of what was written for readers of the code: no links to items, and lines as
/// long as they come.
fn plain(schema: &mut Schema) {
    let Some(Value::String(text)) = schema.get_mut("description") else { return };
    let lines = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    *text = without_links(&lines.collect::<Vec<_>>().join("\n\n"));
}

/// ``[`name`](Item)`` and ``[`name`]`` are `` `name` ``.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        plain.extend([before, "`", name, "`"]);
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain + rest
}

/// Says of every whole number how large it may be.
#[derive(Debug, Clone)]
struct Bounds;

impl Transform for Bounds {
    fn transform(&mut self, schema: &mut Schema) {
        schemars::transform::transform_subschemas(self, schema);
        let maximum = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => u32::MAX.into(),
            Some("uint64") => u64::MAX,
            Some("int64") => i64::MAX.unsigned_abs(),
            _ => return,
        };
        if !schema.as_object().is_some_and(|object| object.contains_key("maximum")) {
            schema.insert("maximum".to_owned(), maximum.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_code_are_no_links_for_callers() {
        let text = "At most [`MAX`], see [`read`](Self::read) and `[0]`.";
        assert_eq!(without_links(text), "At most `MAX`, see `read` and `[0]`.");
        assert_eq!(without_links("a [`b"), "a [`b");
    }
}
