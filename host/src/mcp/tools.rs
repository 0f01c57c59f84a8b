//! What a client can call: executors and tools by their names, and verbs of the table.
//!
//! The name of a verb has a capital inside, which no plugin's may have: so no two are the same.

use std::sync::Arc;

use apflow_api::{Entry, Method, TABLE};
use apflow_model::access::Permission;
use apflow_model::hops;
use apflow_model::plugin::Plugin;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

/// What verbs are about that are listed for everybody: what becomes of work. To run something, there is
/// a tool of its own for each executor.
const USUAL: [&str; 4] = ["jobs", "tasks", "files", "usage"];

/// The field that makes a verb one that is done once, however often it is asked for.
const KEY: &str = "idempotency-key";

/// An executor or a tool. None when its input is no object, which is all that a client can send.
pub(super) fn of_plugin(plugin: &Plugin) -> Option<Tool> {
    let descriptor = &plugin.descriptor;
    let input = object_schema(&descriptor.input_schema)?;
    let name = plugin.manifest.name.clone();
    let reaches_out = plugin.manifest.capabilities.reach_outside();
    let hints = ToolAnnotations::with_title(descriptor.name.clone()).open_world(reaches_out);
    let tool = Tool::new(name, descriptor.description.clone(), Arc::new(input));
    let tool = tool.with_annotations(hints);
    Some(
        match object_schema(&descriptor.output_schema)
            .filter(|_| says_object(&descriptor.output_schema))
        {
            Some(output) => tool.with_raw_output_schema(Arc::new(output)),
            None => tool,
        },
    )
}

/// A verb of the table.
pub(super) fn of_entry(entry: &Entry) -> Tool {
    let mut schema = (entry.shape.input)().to_value();
    let description = schema["description"].as_str().unwrap_or_default().to_owned();
    let fields = schema["properties"].as_object_mut().map(std::mem::take).unwrap_or_default();
    let fields: Map<_, _> = fields.into_iter().filter(|(name, _)| name != hops::HEADER).collect();
    let hints = ToolAnnotations::with_title(entry.name)
        .read_only(entry.method == Method::Get)
        .destructive(entry.method != Method::Get && !fields.contains_key(KEY))
        .idempotent(entry.method != Method::Post)
        .open_world(false);
    let needed = schema["required"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let input = Map::from_iter([
        ("type".to_owned(), "object".into()),
        ("properties".to_owned(), fields.into()),
        ("required".to_owned(), needed.into()),
        ("additionalProperties".to_owned(), false.into()),
    ]);
    Tool::new(name_of(entry), description, Arc::new(input)).with_annotations(hints)
}

/// The verb that a name means.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| name_of(entry) == name)
}

/// Whether a verb is listed for those who do not ask for all: it is about work, and the caller's own.
pub(super) fn is_usual(entry: &Entry) -> bool {
    let group = entry.name.split('.').next().unwrap_or_default();
    let is_own = matches!(entry.permission, Permission::JobsSubmit | Permission::JobsRead);
    USUAL.contains(&group) && is_own
}

/// Whether a verb takes a job in.
pub(super) fn submits(entry: &Entry) -> bool {
    (entry.shape.input)().to_value()["properties"].get(hops::HEADER).is_some()
}

/// What a verb is called here: `jobs.cancel_all` is `jobsCancelAll`.
fn name_of(entry: &Entry) -> String {
    let mut words = entry.name.split(['.', '_']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (capital, rest) = word.split_at(word.len().min(1));
        name + &capital.to_ascii_uppercase() + rest
    })
}

/// A schema of objects. None when it is one of something else.
fn object_schema(schema: &Value) -> Option<Map<String, Value>> {
    let anything = (schema == &Value::Bool(true)).then(Map::new);
    let mut object = schema.as_object().cloned().or(anything)?;
    let allows = match object.get("type") {
        None => true,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(kind) => kind == "object",
    };
    object.insert("type".to_owned(), json!("object"));
    allows.then_some(object)
}

/// Whether all that suits a schema is an object.
fn says_object(schema: &Value) -> bool {
    schema["type"] == "object"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_verb_has_the_name_of_another_or_of_a_plugin() {
        let names: BTreeSet<_> = TABLE.iter().map(name_of).collect();
        assert_eq!(names.len(), TABLE.len());
        for name in names {
            assert!(name.chars().any(|c| c.is_ascii_uppercase()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            assert!(find(&name).is_some_and(|entry| name_of(entry) == name));
        }
        assert!(find("jq").is_none());
    }

    #[test]
    fn every_verb_is_described() {
        for entry in TABLE {
            let tool = of_entry(entry);
            let schema = Value::Object(tool.input_schema.as_ref().clone());
            assert!(tool.description.is_some_and(|text| !text.is_empty()), "{}", entry.name);
            assert!(jsonschema::meta::is_valid(&schema), "{}", entry.name);
            assert!(schema["properties"].get(hops::HEADER).is_none(), "{}", entry.name);
        }
    }

    #[test]
    fn the_usual_verbs_are_about_work_of_the_caller() {
        let usual: Vec<_> = TABLE.iter().filter(|entry| is_usual(entry)).map(name_of).collect();
        let expected = [
            "jobsSubmit",
            "jobsList",
            "jobsFind",
            "jobsEvents",
            "jobsCancel",
            "jobsCancelAll",
            "jobsDelete",
            "jobsRetry",
            "tasksList",
            "tasksFind",
            "tasksCheckpoints",
            "tasksCancel",
            "tasksRetry",
            "filesList",
            "usageReport",
        ];
        assert_eq!(usual, expected);
    }

    #[test]
    fn hints_say_what_a_verb_does() {
        let hints = |name: &str| of_entry(find(name).unwrap()).annotations.unwrap();
        let list = hints("jobsList");
        assert_eq!((list.read_only_hint, list.destructive_hint), (Some(true), Some(false)));
        let submit = hints("jobsSubmit");
        assert_eq!((submit.read_only_hint, submit.destructive_hint), (Some(false), Some(false)));
        let delete = hints("jobsDelete");
        assert_eq!((delete.destructive_hint, delete.idempotent_hint), (Some(true), Some(true)));
        assert_eq!(hints("jobsCancel").destructive_hint, Some(true));
    }

    #[test]
    fn only_objects_are_taken() {
        let kind = |schema: Value| object_schema(&schema).map(|schema| schema["type"].clone());
        for schema in [json!(true), json!({}), json!({ "type": ["object", "null"] })] {
            assert_eq!(kind(schema), Some(json!("object")));
        }
        for schema in [json!(false), json!({ "type": "string" }), json!({ "type": ["null"] })] {
            assert_eq!(kind(schema), None);
        }
    }
}
