//! Tasks as they are written, unchecked.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::concurrency::ConcurrencyKey;
use crate::retry::Backoff;

/// The longest timeout that a caller may set, in seconds: a day.
pub(crate) const TIMEOUT_SECONDS_MAX: f64 = 86_400.0;

/// The most attempts that a caller may ask for.
pub(crate) const ATTEMPTS_MAX: u32 = 100;

/// The lowest priority. The most urgent one is 0.
pub(crate) const PRIORITY_LOWEST: u8 = 3;

/// The most grants that a task may keep.
pub(crate) const ALLOW_MAX: usize = 256;

/// The longest name, id or model, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// A task as it is written, unchecked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of a task")]
#[schemars(rename = "NewTask", extend("examples" = [{
    "executor": "rest_executor", "inputs": { "url": "https://example.com" },
}]))]
pub(crate) struct RawTask {
    /// The caller's reference to it, unique in the job; `task-1`, `task-2` … if not said.
    #[schemars(length(min = 1, max = NAME_BYTES_MAX))]
    pub(crate) id: Option<String>,
    /// The caller's name for it.
    #[schemars(length(max = NAME_BYTES_MAX))]
    pub(crate) name: Option<String>,
    /// The plugin that runs it. A task has an executor or a tool, not both.
    pub(crate) executor: Option<String>,
    /// The tool that runs it.
    pub(crate) tool: Option<String>,
    /// Its input, perhaps with `{"$from": TASK}` and `{"$file": FILE}` in it.
    #[serde(default = "empty_object")]
    #[schemars(with = "Map<String, Value>")]
    pub(crate) inputs: Value,
    /// The `id` of the task that it is shown under.
    pub(crate) parent_id: Option<String>,
    /// The tasks that it waits for.
    #[serde(default)]
    pub(crate) dependencies: Vec<RawDependency>,
    /// From 0 (urgent) to 3 (low).
    #[serde(default = "normal_priority")]
    #[schemars(range(max = PRIORITY_LOWEST))]
    pub(crate) priority: u8,
    /// The longest one attempt may run, in seconds. The plugin's own limit counts as well.
    #[schemars(range(max = TIMEOUT_SECONDS_MAX), extend("exclusiveMinimum" = 0))]
    pub(crate) timeout_seconds: Option<f64>,
    /// Not before this moment.
    pub(crate) run_at: Option<Timestamp>,
    /// It fails unless it has ended before this moment.
    pub(crate) deadline: Option<Timestamp>,
    /// How many tasks of its key may run at once.
    pub(crate) concurrency: Option<ConcurrencyKey>,
    /// How often it is tried at most.
    #[serde(default = "usual_attempts")]
    #[schemars(range(min = 1, max = ATTEMPTS_MAX))]
    pub(crate) max_attempts: u32,
    /// How long to wait between attempts.
    #[serde(default)]
    pub(crate) backoff: Backoff,
    /// How many model tokens it may spend.
    pub(crate) token_budget: Option<u64>,
    /// The cost policy that says what happens on the way to its budget, and to its job's.
    #[schemars(length(max = NAME_BYTES_MAX))]
    pub(crate) cost_policy: Option<String>,
    /// The model that it asks for, as `PROVIDER/MODEL`.
    #[schemars(length(max = NAME_BYTES_MAX))]
    pub(crate) model: Option<String>,
    /// What it keeps of what the operator grants; all of it if not said.
    #[schemars(length(max = ALLOW_MAX))]
    pub(crate) allow: Option<Vec<String>>,
    /// Whether a kept result of its tool may be given again, and its own is kept.
    #[serde(default = "yes")]
    pub(crate) cache: bool,
}

/// A dependency: `"fetch"`, or `{"id": "fetch", "required": false}`.
#[derive(Debug, Clone)]
pub(crate) struct RawDependency {
    pub(crate) id: String,
    pub(crate) required: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// The `id` of the task that is waited for.
    id: String,
    /// Whether it must complete.
    #[serde(default = "yes")]
    required: bool,
}

impl JsonSchema for RawDependency {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NewDependency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, Long::json_schema(generator)] })
    }
}

impl<'de> Deserialize<'de> for RawDependency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(id) => Ok(Self { id, required: true }),
            long @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => serde_json::from_value(long)
                .map(|Long { id, required }| Self { id, required })
                .map_err(serde::de::Error::custom),
        }
    }
}

fn yes() -> bool {
    true
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn normal_priority() -> u8 {
    2
}

fn usual_attempts() -> u32 {
    3
}
