//! The schemas of what requests carry, among those of what answers do.
//!
//! A type that is written as it is read has one schema. One that is not, since fields may be left out
//! when it is read, has another whose name ends with [`READ`].

use std::collections::BTreeSet;

use apflow_api::requests;
use serde_json::{Map, Value};

use super::operation::Described;
use super::{SCHEMAS, reference};

/// What the name of a schema ends with that is only read. No name of a type has a hyphen.
const READ: &str = "-Input";

/// The schemas of the input of these routes, as objects. What they refer to is put among `schemas`,
/// which has what answers refer to.
pub(super) fn describe(routes: &[Described], schemas: &mut Map<String, Value>) -> Vec<Value> {
    let mut generator = requests(SCHEMAS);
    let asked: Vec<Value> = routes.iter().map(|route| route.asked(&mut generator)).collect();
    let mut read = generator.take_definitions(true);
    let mut asked: Vec<Value> = asked
        .into_iter()
        .map(|schema| match reference(&schema).and_then(|name| read.remove(name)) {
            Some(whole) => whole,
            None => schema,
        })
        .collect();
    let own = names_of_their_own(&read, schemas);
    asked.iter_mut().chain(read.values_mut()).for_each(|schema| rename(schema, &own));
    for (name, schema) in read {
        let name = if own.contains(&name) { name + READ } else { name };
        schemas.entry(name).or_insert(schema);
    }
    asked
}

/// The names of what is read that stand for something else among what is written, or that refer to
/// such a name.
fn names_of_their_own(read: &Map<String, Value>, written: &Map<String, Value>) -> BTreeSet<String> {
    let both = || read.iter().filter_map(|(name, schema)| Some((name, schema, written.get(name)?)));
    let differ = both().filter(|(_, schema, known)| schema != known);
    let mut own: BTreeSet<String> = differ.map(|(name, ..)| name.clone()).collect();
    loop {
        let refers = |(name, schema, _): &(&String, &Value, &Value)| {
            !own.contains(*name) && refers_to(schema, &own)
        };
        let more: Vec<String> = both().filter(refers).map(|(name, ..)| name.clone()).collect();
        if more.is_empty() {
            return own;
        }
        own.extend(more);
    }
}

fn refers_to(schema: &Value, names: &BTreeSet<String>) -> bool {
    let refers = |schema| refers_to(schema, names);
    match schema {
        Value::Object(object) => {
            reference(schema).is_some_and(|name| names.contains(name))
                || object.values().any(refers)
        }
        Value::Array(list) => list.iter().any(refers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn rename(schema: &mut Value, names: &BTreeSet<String>) {
    if let Some(name) = reference(schema).filter(|name| names.contains(*name)) {
        schema["$ref"] = format!("#{SCHEMAS}/{name}{READ}").into();
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(|inner| rename(inner, names)),
        Value::Array(list) => list.iter_mut().for_each(|inner| rename(inner, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(schemas: Value) -> Map<String, Value> {
        schemas.as_object().cloned().unwrap_or_default()
    }

    fn to(name: &str) -> Value {
        json!({ "$ref": format!("#{SCHEMAS}/{name}") })
    }

    #[test]
    fn what_refers_to_another_schema_is_another_itself() {
        let list = |name| json!({ "items": to(name) });
        let read = map(json!({
            "Same": { "type": "string" },
            "Differs": { "type": "object" },
            "Above": list("Differs"),
            "AboveThat": list("Above"),
            "AboveSame": list("Same"),
            "OnlyRead": list("Differs"),
        }));
        let written = map(json!({
            "Same": { "type": "string" },
            "Differs": { "type": "object", "required": ["a"] },
            "Above": list("Differs"),
            "AboveThat": list("Above"),
            "AboveSame": list("Same"),
        }));
        let own = names_of_their_own(&read, &written);
        assert_eq!(own.iter().collect::<Vec<_>>(), ["Above", "AboveThat", "Differs"]);
        let mut schema = json!({ "anyOf": [to("Above"), to("Same")] });
        rename(&mut schema, &own);
        assert_eq!(schema, json!({ "anyOf": [to("Above-Input"), to("Same")] }));
    }
}
