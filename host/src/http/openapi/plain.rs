//! The routes that are no verbs of the table: those that carry bytes, and those that are open.

use apflow_api::{
    Body, Code, LoadPlugin, LoadedPlugin, Method, OpenFile, OpenUpload, Operation, UploadFile,
    UploadPlugin, Uploaded, WatchJob, input,
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::operation::{Answers, Described, Takes};
use super::{MAP_PATH, PATH, docs};

/// The form of a name that a file of a task may have.
const NAME: &str = r"^(?!\.\.?$)[^/\\\x00-\x1f\x7f-\x9f]+$";

/// The form of what an operator allows.
const CONSENT: &str = r"^(none$|(http|tcp|sockets|net|env|secret|secret-value|fs\.in(?==/))=.)";

/// The forms of the page of metrics.
const METRICS: [&str; 2] = ["text/plain", "application/openmetrics-text"];

/// All of them.
pub(super) fn routes() -> Vec<Described> {
    vec![
        Described {
            name: UploadFile::NAME,
            is_open: false,
            permission: Some(UploadFile::PERMISSION),
            method: Method::Post,
            path: UploadFile::PATH,
            input: upload(),
            takes: Takes::Bytes,
            answers: Answers::Json(SchemaGenerator::subschema_for::<Uploaded>),
            statuses: &[201],
            errors: UploadFile::ERRORS.to_vec(),
        },
        Described {
            input: input::<OpenUpload>().to_value(),
            errors: OpenUpload::ERRORS.to_vec(),
            ..download::<OpenUpload>(OpenUpload::PATH)
        },
        Described {
            input: file_of_task(),
            errors: OpenFile::ERRORS.to_vec(),
            ..download::<OpenFile>(OpenFile::PATH)
        },
        Described {
            name: "files.open_only",
            input: only_file(),
            errors: OpenFile::ERRORS.to_vec(),
            ..download::<OpenFile>(OpenFile::PATH_OF_ONLY)
        },
        Described {
            is_open: false,
            permission: Some(WatchJob::PERMISSION),
            input: input::<WatchJob>().to_value(),
            answers: Answers::Other(&[]),
            statuses: &[101],
            errors: WatchJob::ERRORS.to_vec(),
            ..open(WatchJob::NAME, WatchJob::PATH, "", any)
        },
        Described {
            is_open: false,
            permission: Some(LoadPlugin::PERMISSION),
            method: Method::Post,
            takes: Takes::Form(plugin),
            answers: Answers::Json(SchemaGenerator::subschema_for::<LoadedPlugin>),
            statuses: &[201],
            errors: UploadPlugin::ERRORS.to_vec(),
            ..open(
                LoadPlugin::NAME,
                UploadPlugin::PATH,
                "Installs a plugin or a tool, or replaces the one of its name.",
                any,
            )
        },
        open("host.health", "/health", "Says that the host is up.", health),
        Described {
            errors: vec![Code::DatabaseUnavailable, Code::NotReady, Code::Draining],
            ..open("host.ready", "/ready", "Says whether the host can take work in.", ready)
        },
        Described {
            answers: Answers::Other(&METRICS),
            // An operator may ask for a token, or have no such page.
            errors: vec![Code::Unauthorized, Code::UnknownRoute],
            ..open("host.metrics", "/metrics", "Answers numbers for Prometheus.", any)
        },
        open("host.routes", MAP_PATH, "Lists the routes, and what each needs.", any),
        open("host.openapi", PATH, "Answers this document.", any),
        Described {
            answers: Answers::Other(&["text/html"]),
            ..open("host.docs", docs::PATH, "Shows this document to people.", any)
        },
    ]
}

/// A file that goes out, or a part of it.
fn download<O: Operation>(path: &'static str) -> Described {
    Described {
        is_open: false,
        permission: Some(O::PERMISSION),
        answers: Answers::Other(&["*/*"]),
        statuses: &[200, 206],
        ..open(O::NAME, path, "", any)
    }
}

/// What names a file by the task that left it.
fn file_of_task() -> Value {
    let mut input = input::<OpenFile>().to_value();
    input["properties"]["task"] = json!({
        "type": "string", "examples": ["fetch"],
        "description": "The caller's reference to the task.",
    });
    input["required"] = json!(["id", "task", "name"]);
    input
}

/// What names a file that a single task left.
fn only_file() -> Value {
    let mut input = input::<OpenFile>().to_value();
    if let Some(fields) = input["properties"].as_object_mut() {
        fields.remove("task");
    }
    input["description"] = "Opens a file in no folder that a single task of a job left.".into();
    input
}

/// What an upload takes beside its bytes.
fn upload() -> Value {
    json!({
        "description": "Takes a file in, for tasks to read. The body is the file; a form of the type \
            `multipart/form-data` brings several, and then there is no `name`.",
        "properties": {
            "name": {
                "type": "string", "maxLength": 255, "pattern": NAME, "examples": ["report.csv"],
                "description": "The name that a task finds it under.",
            },
        },
        "required": ["name"],
    })
}

/// The form that brings a plugin or a tool.
fn plugin() -> Value {
    json!({
        "type": "object",
        "properties": {
            "component": {
                "type": "string", "format": "binary",
                "description": "The component. A tool that is a request has none.",
            },
            "plugin.yaml": { "type": "string", "description": "The manifest of a plugin." },
            "tool.yaml": { "type": "string", "description": "The manifest of a tool." },
            "grant": {
                "type": "array",
                "items": { "type": "string", "pattern": CONSENT },
                "description": "What it is allowed, each `KIND=VALUE`, or `none`.",
            },
            "yes": {
                "enum": ["true", "false"],
                "description": "Whether all that it asks for is allowed, but what has a warning.",
            },
            "lock": {
                "type": "string",
                "description": "A lock that was reviewed, which says what is allowed instead.",
            },
            "typed": {
                "type": "string",
                "description": "What is typed to load it again, to be repeated in messages.",
            },
        },
        "additionalProperties": false,
    })
}

/// A route that everybody may get, and that takes nothing.
fn open(
    name: &'static str,
    path: &'static str,
    about: &str,
    schema: fn(&mut SchemaGenerator) -> Schema,
) -> Described {
    Described {
        name,
        is_open: true,
        permission: None,
        method: Method::Get,
        path,
        input: described(about),
        takes: Takes::Json(Body::None),
        answers: Answers::Json(schema),
        statuses: &[200],
        errors: Vec::new(),
    }
}

fn described(about: &str) -> Value {
    json!({ "description": about })
}

fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

fn health(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "status": { "const": "ok" },
            "version": { "type": "string", "examples": [env!("CARGO_PKG_VERSION")] },
        },
        "required": ["status", "version"],
    })
}

fn ready(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "status": { "const": "ready" },
            "parts": {
                "type": "object",
                "description": "How each part of the host is, by its name.",
                "additionalProperties": true,
            },
        },
        "required": ["status", "parts"],
    })
}
