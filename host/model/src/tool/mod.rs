//! `tool.yaml`: a name with typed arguments, bound to a command or to a request.
//!
//! It runs nothing: it says what a component is called with, and what its answer means. Faults of
//! one file are [`FileFault`]s; what only shows among several tools, a circle of fallbacks or one
//! that is nowhere, is found by [`fallback::check`].

mod command_line;
pub mod fallback;
pub mod health;
mod input;
mod keys;
pub mod metrics;
mod output;
mod read;
mod read_run;
mod request;
mod schema;
mod template;
mod values;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::breaker::BreakerRule;
use crate::capability::Capabilities;
use crate::limit::Limits;
use crate::manifest::Manifest;
use crate::reader::{self, FileFault};
use crate::schema::of_file;
pub use template::Template;

/// The executor whose component makes the requests of tools.
pub const REQUEST_EXECUTOR: &str = "rest_executor";

/// A `tool.yaml` that holds no fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// The name that callers use: that of its folder.
    #[schemars(example = &"minify")]
    pub name: String,
    /// The tool's version.
    #[schemars(with = "String", example = &"1.0.0")]
    pub version: semver::Version,
    /// What it does.
    #[schemars(example = &"Writes JSON without white space.")]
    pub description: String,
    /// What it is for, at least one.
    pub categories: Vec<Category>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Programs that the tool it was taken from needs. A component needs none.
    pub system_dependencies: Vec<String>,
    /// Whether it reaches out.
    pub requires_internet: bool,
    /// The services that it calls.
    pub apis: Vec<ServiceApi>,
    /// What it takes, in the order of the command line.
    pub arguments: Vec<Argument>,
    /// The switches that it takes.
    pub flags: Vec<Flag>,
    /// What it returns.
    pub output: OutputSchema,
    /// The tool that is tried when this one fails.
    pub fallback: Option<Fallback>,
    /// How it runs. None: it is described, and cannot run here.
    pub run: Option<Run>,
    /// How long a result may be given again for the same arguments. None: never.
    pub cache_ttl: Option<Duration>,
    /// When it is left alone since it keeps failing, if it says so itself.
    #[serde(default)]
    pub circuit_breaker: Option<BreakerRule>,
    /// Whether somebody must approve each task that runs it.
    pub requires_approval: bool,
    /// What it asks for. A request whose address is fixed asks for that origin, if it says nothing.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// What one attempt may use.
    #[serde(default)]
    pub limits: Limits,
}

/// What a tool is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Category {
    Security,
    Networking,
    Data,
    Media,
    Utility,
    Finance,
    Science,
    Productivity,
}

impl Category {
    /// Every category, with its word.
    pub const ALL: [(&'static str, Self); 8] = [
        ("security", Self::Security),
        ("networking", Self::Networking),
        ("data", Self::Data),
        ("media", Self::Media),
        ("utility", Self::Utility),
        ("finance", Self::Finance),
        ("science", Self::Science),
        ("productivity", Self::Productivity),
    ];
}

/// A service that a tool calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceApi {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub base_url: Option<String>,
    /// What to ask to see whether it is there.
    pub health_endpoint: Option<String>,
    /// Whether it takes credentials.
    pub auth_required: bool,
    /// Which kind of credentials.
    pub auth_type: Option<String>,
}

/// The type of an argument or of a field: one of JSON Schema, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    String,
    Number,
    Integer,
    Boolean,
    Array,
    Object,
    Any,
}

impl ValueType {
    /// Every type, with its word.
    pub const ALL: [(&'static str, Self); 7] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
        ("any", Self::Any),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, known)| *known == self);
        found.map_or("", |(name, _)| name)
    }

    /// Whether a value is of this type.
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Any => true,
        }
    }
}

/// Something that a tool takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Argument {
    /// What it is called.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// Whether it must be given.
    pub required: bool,
    /// What it is for.
    pub description: Option<String>,
    /// What it is when it is not given.
    pub default: Option<Value>,
    /// All that it may be. Empty for anything of its type.
    #[serde(rename = "enum")]
    pub allowed: Vec<Value>,
}

/// A switch that a tool takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flag {
    /// As it is written on a command line: `-v`, `--verbose`, or a word without dashes.
    pub flag: String,
    /// What it does.
    pub description: Option<String>,
    /// Whether a value follows it.
    pub has_argument: bool,
}

impl Flag {
    /// Its name among the inputs of a task: `--dry-run` is `dry_run`.
    pub fn key(&self) -> String {
        self.flag.trim_start_matches('-').replace('-', "_")
    }
}

/// What a tool returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputSchema {
    /// What its text says.
    pub text: Option<String>,
    /// The fields of its JSON. Empty when it returns text alone.
    pub json_fields: Vec<Field>,
}

/// A field of what a tool returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// Its name. None for the items of an array.
    pub name: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// What its items are, when it is an array.
    pub items: Option<Box<Field>>,
}

/// The tool that is tried when another fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fallback {
    /// Its name.
    pub tool: String,
    /// The line in the file, from 1.
    pub line: u64,
    /// The column in the file, from 1.
    pub column: u64,
}

/// How a tool runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// A component of the world `wasi:cli/command`.
    Command {
        /// The file of the component, beside the manifest.
        component: String,
        /// What it is called with, without a shell.
        argv: Vec<Template>,
        /// What it reads.
        stdin: Option<Template>,
    },
    /// A request, which `rest_executor` makes.
    Request {
        /// Such as `GET`.
        method: String,
        /// Where to.
        url: Template,
        /// What is added to the URL.
        query: BTreeMap<String, Template>,
        /// What is said beside the body.
        headers: BTreeMap<String, Template>,
        /// What is sent.
        body: Option<Template>,
    },
}

impl Tool {
    /// Reads the text of a `tool.yaml`. `folder` is the name of the folder that it stands in, which
    /// must be the tool's; None where there is no folder to compare with.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order.
    pub fn parse(text: &str, folder: Option<&str>) -> Result<Self, Vec<FileFault>> {
        reader::parse(text, |reader, node| read::read(reader, node, folder))
    }

    /// The JSON Schema (2020-12) of a `tool.yaml`. What it accepts may still be refused by
    /// [`parse`](Self::parse), for what a schema cannot say; what it refuses always is.
    pub fn schema() -> Value {
        let about = "A name with typed arguments, bound to a command or to a request.";
        of_file("tool", about, &keys::TOP)
    }

    /// The tool as a plugin's manifest. None when it does not say how it runs.
    ///
    /// The component of a request is named as a file too, though it is not beside the manifest.
    pub fn manifest(&self) -> Option<Manifest> {
        let component = match self.run.as_ref()? {
            Run::Command { component, .. } => component.clone(),
            Run::Request { .. } => format!("{REQUEST_EXECUTOR}.wasm"),
        };
        Some(Manifest {
            name: self.name.clone(),
            version: self.version.clone(),
            description: self.description.clone(),
            component,
            license: None,
            capabilities: self.capabilities.clone(),
            limits: self.limits,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = "\
name: jq
version: \"1.7.1\"
description: Filters JSON.
category: [data, utility]
tags: [json]
input_schema:
  arguments:
    - { name: filter, type: string, required: true }
    - { name: input, type: object, default: {} }
  flags:
    - { flag: --raw-output, description: Writes texts without quotes. }
output_schema: { json_fields: [{ name: rows, type: array, items: { type: number } }] }
fallback_tool: null
run: { command: jq.wasm, argv: [\"-c\", \"{filter}\", \"{a: .b}\"], stdin: \"{input}\" }
cache: { ttl: 300s }
circuit_breaker: { failures: 3, recovery: 90s }
limits: { concurrency: 4 }
";

    fn faults(text: &str) -> Vec<(u64, u64, &'static str)> {
        let faults = Tool::parse(text, None).unwrap_err();
        faults.into_iter().map(|fault| (fault.line, fault.column, fault.code)).collect()
    }

    #[test]
    fn a_tool_is_read_whole() {
        let tool = Tool::parse(GOOD, Some("jq")).unwrap();
        assert_eq!(tool.categories, [Category::Data, Category::Utility]);
        assert_eq!(tool.arguments[1].default, Some(json!({})));
        assert_eq!(tool.cache_ttl, Some(Duration::from_mins(5)));
        let breaker = tool.circuit_breaker.unwrap();
        assert_eq!((breaker.failures, breaker.open_seconds, breaker.probes), (3, 90, 1));
        assert_eq!(tool.limits.running_max, Some(4));
        assert_eq!(
            tool.output.json_fields[0].items.as_ref().unwrap().value_type,
            ValueType::Number
        );
        let Some(Run::Command { argv, .. }) = tool.run else { panic!("it is a command") };
        assert_eq!(argv[1].arguments().collect::<Vec<_>>(), ["filter"]);
    }

    #[test]
    fn a_name_is_that_of_its_folder() {
        let faults = Tool::parse(GOOD, Some("yq")).unwrap_err();
        assert_eq!((faults.len(), faults[0].line, faults[0].column), (1, 1, 7));
        assert!(faults[0].message.contains("must be `yq`"), "{}", faults[0]);
    }

    #[test]
    fn a_place_for_what_the_tool_does_not_take_is_a_fault_at_its_line() {
        let text = GOOD.replace("stdin: \"{input}\"", "stdin: \"{inptu}\"");
        assert_eq!(faults(&text), [(14, 70, "undeclared-argument")]);
        let text = GOOD.replace("{input}", "{raw_output}");
        assert!(Tool::parse(&text, None).is_ok(), "a flag is named without its dashes");
    }

    #[test]
    fn a_breaker_or_limit_out_of_range_is_a_fault_at_its_line() {
        let of = |from: &str, to: &str| faults(&GOOD.replace(from, to));
        assert_eq!(of("failures: 3", "failures: 0"), [(16, 30, "invalid-value")]);
        assert_eq!(of("recovery: 90s", "recovery: 2d"), [(16, 43, "invalid-value")]);
        assert_eq!(of("recovery: 90s", "reset: 90s"), [(16, 33, "unknown-field")]);
        assert_eq!(of("concurrency: 4", "concurrency: 0"), [(17, 24, "invalid-value")]);
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let text = "\
name: Jukebox
version: three
description: 3
category: musik
aps: []
apis:
  - name: a
    health_endpoint: null
input_schema:
  arguments:
    - { name: a, type: strng }
    - { name: b, type: integer, default: x, enum: [1, 2] }
    - { name: b, type: string }
  flags: [{ flag: ---v }]
fallback_tool: Jukebox
run: { request: { method: FETCH, url: ftp://x }, argv: [] }
";
        let found = faults(text);
        let codes: Vec<_> = found.iter().map(|(line, _, code)| (*line, *code)).collect();
        let expected = [
            (1, "invalid-value"),
            (2, "invalid-value"),
            (3, "wrong-type"),
            (4, "invalid-value"),
            (5, "unknown-field"),
            (8, "wrong-type"),
            (11, "duplicate-name"),
            (11, "invalid-value"),
            (12, "invalid-value"),
            (12, "invalid-value"),
            (14, "invalid-value"),
            (15, "invalid-value"),
            (16, "invalid-value"),
            (16, "invalid-value"),
            (16, "invalid-value"),
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn the_tool_itself_is_no_fallback() {
        let text = GOOD.replace("fallback_tool: null", "fallback_tool: jq");
        assert_eq!(faults(&text), [(13, 16, "invalid-value")]);
    }
}
