//! Tasks as they are written, unchecked.

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::concurrency::ConcurrencyKey;
use crate::retry::Backoff;

/// A task as it is written, unchecked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of a task")]
pub(crate) struct RawTask {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) executor: Option<String>,
    pub(crate) tool: Option<String>,
    #[serde(default = "empty_object")]
    pub(crate) inputs: Value,
    pub(crate) parent_id: Option<String>,
    #[serde(default)]
    pub(crate) dependencies: Vec<RawDependency>,
    #[serde(default = "normal_priority")]
    pub(crate) priority: u8,
    pub(crate) timeout_seconds: Option<f64>,
    pub(crate) run_at: Option<Timestamp>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) concurrency: Option<ConcurrencyKey>,
    #[serde(default = "usual_attempts")]
    pub(crate) max_attempts: u32,
    #[serde(default)]
    pub(crate) backoff: Backoff,
    pub(crate) token_budget: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) allow: Option<Vec<String>>,
    #[serde(default = "yes")]
    pub(crate) cache: bool,
}

/// `"fetch"`, or `{"id": "fetch", "required": false}`.
#[derive(Debug, Clone)]
pub(crate) struct RawDependency {
    pub(crate) id: String,
    pub(crate) required: bool,
}

impl<'de> Deserialize<'de> for RawDependency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            id: String,
            #[serde(default = "yes")]
            required: bool,
        }
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
    Value::Object(serde_json::Map::new())
}

fn normal_priority() -> u8 {
    2
}

fn usual_attempts() -> u32 {
    3
}
