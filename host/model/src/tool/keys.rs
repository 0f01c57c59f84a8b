//! The keys of `tool.yaml`.

use std::time::Duration;

use serde_json::json;

use super::{Category, ValueType};
use crate::breaker::BreakerRule;
use crate::manifest::keys::{CAPABILITIES_KEY, FILE, LIMITS_KEY, NAME, VERSION};
use crate::schema::{Key, Shape, words};

/// The methods of a request.
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// How services take credentials.
pub(super) const AUTH_TYPES: [&str; 5] = ["none", "api_key", "bearer", "basic", "oauth2"];
/// The shortest that a result may be given again.
pub(super) const CACHE_TTL_MIN: Duration = Duration::from_millis(1);
/// The longest that a result may be given again: 30 days.
pub(super) const CACHE_TTL_MAX: Duration = Duration::from_hours(24 * 30);

const CATEGORY: Shape = Shape::Word(|| words(&Category::ALL));
const TYPE: Shape = Shape::Word(|| words(&ValueType::ALL));
/// A name that is not empty.
const WORD: Shape = Shape::Form(".");
const TEMPLATES: Shape = Shape::Named(&Shape::Text);

/// The keys of a `tool.yaml`.
pub(super) static TOP: [Key; 17] = [
    Key::new("name", Shape::Form(NAME), "Its name: that of its folder.").needed(),
    Key::new("version", Shape::Form(VERSION), "Its semantic version.")
        .needed()
        .like(|| json!("1.0.0")),
    Key::new("description", Shape::Text, "What it does, for people.").needed(),
    Key::new(
        "category",
        Shape::Either(&[CATEGORY, Shape::Filled(&CATEGORY)]),
        "What it is for: one word, or several.",
    )
    .needed()
    .like(|| json!("data")),
    Key::new("tags", Shape::Set(&WORD), "Words to find it by.").or(|| json!([])),
    Key::new("dependencies", Shape::Section(&DEPENDENCIES), "What it needs elsewhere."),
    Key::new("requires_internet", Shape::Flag, "Whether it reaches out.").or(|| json!(false)),
    Key::new("apis", Shape::List(&Shape::Section(&API)), "The services that it calls.")
        .or(|| json!([])),
    Key::new("input_schema", Shape::Section(&INPUT), "What it takes."),
    Key::new("output_schema", Shape::Section(&OUTPUT), "What it returns."),
    Key::new(
        "fallback_tool",
        Shape::Either(&[Shape::Nothing, Shape::Form(NAME)]),
        "The tool that is tried when this one fails, if any.",
    ),
    Key::new(
        "run",
        Shape::Either(&[Shape::Section(&COMMAND), Shape::Section(&REQUESTED)]),
        "How it runs. Without it the tool is a description alone.",
    ),
    Key::new("cache", Shape::Section(&CACHE), "Whether a result may be given again."),
    Key::new(
        "circuit_breaker",
        Shape::Section(&BREAKER),
        "When it is left alone since it keeps failing: otherwise as `breakers` in config.yaml says.",
    ),
    Key::new(
        "requires_approval",
        Shape::Flag,
        "Whether somebody must approve each task that runs it.",
    )
    .or(|| json!(false)),
    CAPABILITIES_KEY,
    LIMITS_KEY,
];

pub(super) static DEPENDENCIES: [Key; 1] =
    [Key::new("system", Shape::Set(&WORD), "Programs. A component needs none.")];

pub(super) static API: [Key; 5] = [
    Key::new("name", Shape::Text, "What it is called.").needed(),
    Key::new("base_url", Shape::Text, "Where it is.").like(|| json!("https://api.example.com")),
    Key::new("health_endpoint", Shape::Text, "What to ask to see whether it is there."),
    Key::new("auth_required", Shape::Flag, "Whether it takes credentials.").or(|| json!(false)),
    Key::new("auth_type", Shape::Word(|| AUTH_TYPES.to_vec()), "Which kind of credentials."),
];

pub(super) static INPUT: [Key; 2] = [
    Key::new(
        "arguments",
        Shape::List(&Shape::Section(&ARGUMENT)),
        "Its arguments, in the order of the command line.",
    ),
    Key::new("flags", Shape::List(&Shape::Section(&FLAG)), "Its switches."),
];

pub(super) static ARGUMENT: [Key; 6] = [
    Key::new("name", Shape::Text, "Its name.").needed(),
    Key::new("type", TYPE, "Its type.").needed(),
    Key::new("required", Shape::Flag, "Whether it must be given.").or(|| json!(false)),
    Key::new("description", Shape::Text, "What it is for."),
    Key::new("default", Shape::Any, "What it is when it is not given."),
    Key::new("enum", Shape::List(&Shape::Any), "All that it may be."),
];

pub(super) static FLAG: [Key; 3] = [
    Key::new(
        "flag",
        Shape::Form("^-{0,2}[A-Za-z0-9_][A-Za-z0-9_-]*$"),
        "As it is written: `-v`, `--verbose` or `verbose`.",
    )
    .needed(),
    Key::new("description", Shape::Text, "What it does."),
    Key::new("has_argument", Shape::Flag, "Whether a value follows it.").or(|| json!(false)),
];

pub(super) static OUTPUT: [Key; 2] = [
    Key::new("text", Shape::Text, "What its text says."),
    Key::new("json_fields", Shape::List(&Shape::Section(&FIELD)), "The fields of its JSON."),
];

pub(super) static FIELD: [Key; 4] = [
    Key::new("name", Shape::Text, "Its name.").needed(),
    Key::new("type", TYPE, "Its type.").needed(),
    Key::new("items", Shape::Shared("items", &ITEMS), "What its items are, of an array."),
    Key::new("description", Shape::Text, "What it says."),
];

/// A field without a name of its own.
pub(super) static ITEMS: [Key; 4] = [
    Key::new("name", Shape::Text, "A name for people."),
    Key::new("type", TYPE, "Their type.").needed(),
    Key::new("items", Shape::Shared("items", &ITEMS), "What their items are, of an array."),
    Key::new("description", Shape::Text, "What they say."),
];

pub(super) static CACHE: [Key; 1] = [Key::new(
    "ttl",
    Shape::Span(CACHE_TTL_MIN, CACHE_TTL_MAX),
    "How long a result may be given again for the same arguments.",
)
.needed()
.like(|| json!("300s"))];

pub(super) static BREAKER: [Key; 2] = [
    Key::new(
        "failures",
        Shape::Count(1, BreakerRule::FAILURES_MAX as u64),
        "How many failures in a row open it.",
    ),
    Key::new(
        "recovery",
        Shape::Span(Duration::from_secs(1), Duration::from_secs(BreakerRule::SECONDS_MAX as u64)),
        "How long it is left alone then.",
    )
    .like(|| json!("60s")),
];

/// The keys of `run` for a command.
static COMMAND: [Key; 3] = [
    Key::new(
        "command",
        Shape::Form(FILE),
        "A component of `wasi:cli/command`, beside the manifest.",
    )
    .needed()
    .like(|| json!("jq.wasm")),
    Key::new("argv", Shape::List(&Shape::Text), "What it is called with, without a shell.")
        .like(|| json!(["-c", "{filter}"])),
    Key::new("stdin", Shape::Text, "What it reads.").like(|| json!("{input}")),
];

/// The keys of `run` for a request.
static REQUESTED: [Key; 1] =
    [Key::new("request", Shape::Section(&REQUEST), "What `rest_executor` sends.").needed()];

pub(super) static REQUEST: [Key; 5] = [
    Key::new("method", Shape::Word(|| METHODS.to_vec()), "Its method.").or(|| json!("GET")),
    Key::new("url", Shape::Form(r"^(https?://|\{)"), "Where to.")
        .needed()
        .like(|| json!("https://api.example.com/v1/{city}")),
    Key::new("query", TEMPLATES, "What is added to the URL."),
    Key::new("headers", TEMPLATES, "What is said beside the body."),
    Key::new("body", Shape::Text, "What is sent."),
];
