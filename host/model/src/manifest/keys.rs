//! The keys of `plugin.yaml`, and those that a tool has as well.

use serde_json::json;

use super::limits;
use crate::limit::Limits;
use crate::schema::{Key, Shape};

/// A name, as [`check_name`](super::check_name) has it.
pub(crate) const NAME: &str = "^[a-z][a-z0-9_-]{0,63}$";
/// A semantic version: the expression of <https://semver.org>.
pub(crate) const VERSION: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$";
/// The name of a file without a folder.
pub(crate) const FILE: &str = r"^[^/\\]+$";
const SECRET: Shape = Shape::Form(r"^([A-Za-z][A-Za-z0-9_]{0,63}|\*)$");
const HTTP: Shape = Shape::Form(r"^([A-Z,-]+ )?https?(\+insecure)?://[^/?#@ ]+(/[^ ?#]*)?$");
/// A destination and its port.
const PORT: Shape = Shape::Form("^[^ ]+:[^ ]+$");

/// The keys of a `plugin.yaml`.
pub(super) static TOP: [Key; 7] = [
    Key::new("name", Shape::Form(NAME), "The name by which tasks call the plugin.").needed(),
    Key::new("version", Shape::Form(VERSION), "Its semantic version.")
        .needed()
        .like(|| json!("1.0.0")),
    Key::new("description", Shape::Text, "What it does, for people.").needed(),
    Key::new("component", Shape::Form(FILE), "The file of the component, beside the manifest.")
        .needed()
        .like(|| json!("own.wasm")),
    Key::new("license", Shape::Text, "The SPDX expression of its licence.")
        .like(|| json!("Apache-2.0")),
    CAPABILITIES_KEY,
    LIMITS_KEY,
];

/// The key of what is asked for.
pub(crate) const CAPABILITIES_KEY: Key = Key::new(
    "capabilities",
    Shape::Section(&CAPABILITIES),
    "What it asks for. Asking alone allows nothing that reaches outside the task: the operator grants.",
);

/// The key of the limits.
pub(crate) const LIMITS_KEY: Key =
    Key::new("limits", Shape::Made(limits::schema), "What one attempt may use at most.");

/// What may be asked for.
pub(super) static CAPABILITIES: [Key; 9] = [
    Key::new("http", Shape::List(&HTTP), "HTTP requests: `[METHODS ]SCHEME://HOST[:PORT][/PATH]`.")
        .or(|| json!([]))
        .like(|| json!(["GET https://*.example.com/v1"])),
    Key::new("tcp", Shape::List(&PORT), "TCP connections by name, made by the host: `HOST:PORT`.")
        .or(|| json!([]))
        .like(|| json!(["smtp.example.com:587"])),
    Key::new("sockets", Shape::List(&PORT), "Raw sockets by address: `RANGE:PORT`.")
        .or(|| json!([]))
        .like(|| json!(["10.0.0.0/8:5432"])),
    Key::new("fs", Shape::Section(&FOLDERS), "The folders that it works in."),
    Key::new("env", Shape::List(&Shape::Text), "Variables of the host's environment.")
        .or(|| json!([]))
        .like(|| json!(["LANG"])),
    Key::new("secrets", Shape::List(&SECRET), "Secrets that the host fills in on the way out.")
        .or(|| json!([]))
        .like(|| json!(["api_key"])),
    Key::new(
        "secret_values",
        Shape::List(&SECRET),
        "Secrets whose value comes into the plugin's memory.",
    )
    .or(|| json!([])),
    Key::new("clocks", Shape::Flag, "The time of day and a steady clock.").or(|| json!(false)),
    Key::new("random", Shape::Flag, "Random numbers.").or(|| json!(false)),
];

/// The folders.
pub(super) static FOLDERS: [Key; 3] = [
    Key::new("in", Shape::Word(|| vec!["read"]), "Reading the files at `/in`."),
    Key::new("out", Shape::Word(|| vec!["write"]), "Leaving files in `/out`."),
    Key::new(
        "scratch",
        Shape::Size(1, Limits::SCRATCH_BYTES_MAX),
        "Files in `/scratch` for the time of an attempt.",
    )
    .like(|| json!("64MiB")),
];
