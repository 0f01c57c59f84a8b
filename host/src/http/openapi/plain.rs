//! The routes that are no verbs of the table: those that carry bytes, and those that are open.

use apflow_api::{Body, Code, Method, OpenFile, UploadFile, input};
use apflow_model::access::Permission;
use apflow_model::file::Upload;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::operation::{Answers, Described, Takes};
use super::{MAP_PATH, PATH, docs};

/// The forms of the page of metrics.
const METRICS: [&str; 2] = ["text/plain", "application/openmetrics-text"];

/// All of them.
pub(super) fn routes() -> Vec<Described> {
    vec![
        Described {
            name: "files.upload",
            is_open: false,
            permission: Some(Permission::JobsSubmit),
            method: Method::Post,
            path: UploadFile::PATH,
            input: input::<UploadFile>().to_value(),
            takes: Takes::Bytes,
            answers: Answers::Json(SchemaGenerator::subschema_for::<Upload>),
            statuses: &[201],
            errors: UploadFile::ERRORS.to_vec(),
        },
        Described {
            name: "files.open",
            is_open: false,
            permission: Some(Permission::JobsRead),
            path: OpenFile::PATH,
            input: input::<OpenFile>().to_value(),
            answers: Answers::Other(&["application/octet-stream"]),
            errors: OpenFile::ERRORS.to_vec(),
            ..open("", "", "", any)
        },
        open("host.health", "/health", "Says that the host is up.", health),
        Described {
            errors: vec![Code::DatabaseUnavailable, Code::NotReady, Code::Draining],
            ..open("host.ready", "/ready", "Says whether the host can take work in.", ready)
        },
        Described {
            is_open: false,
            answers: Answers::Other(&METRICS),
            errors: vec![Code::UnknownRoute],
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
