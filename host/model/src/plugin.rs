//! Plugins: what is installed, and what it says of itself.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::capability::{Capabilities, Grant};
use crate::clock::Timestamp;
use crate::manifest::Manifest;
use crate::reader::FileFault;
use crate::tool::{Run, Tool};

/// The sha256 of some bytes. That of a component is what a plugin *is*, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("pattern" = "^[0-9a-f]{64}$", "examples" = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]))]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a sha256: expected 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, index) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[index..index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which kind of program a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// `apflow:plugin/executor`: JSON in, JSON out.
    Executor,
    /// `wasi:cli/command`: arguments in; stdout, stderr and an exit code out.
    Command,
}

impl World {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Command => "command",
        }
    }
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Descriptor {
    /// The id that tasks name.
    #[schemars(example = &"rest_executor")]
    pub id: String,
    /// The name for people.
    #[schemars(example = &"REST")]
    pub name: String,
    /// What it does.
    #[schemars(example = &"Sends HTTP requests.")]
    pub description: String,
    /// Its version, semver.
    #[schemars(example = &"1.0.0")]
    pub version: String,
    /// JSON Schema of the input.
    pub input_schema: Value,
    /// JSON Schema of the output.
    pub output_schema: Value,
    /// Words to find it by.
    #[schemars(extend("examples" = [["http"]]))]
    pub tags: Vec<String>,
}

impl Descriptor {
    /// What a tool says of itself in its `tool.yaml`: its component is not asked.
    pub fn of_tool(tool: &Tool) -> Self {
        Self {
            id: tool.name.clone(),
            name: tool.name.clone(),
            description: tool.description.clone(),
            version: tool.version.to_string(),
            input_schema: tool.input_schema(),
            output_schema: tool.output_schema(),
            tags: tool.tags.clone(),
        }
    }
}

/// What the file beside a component says: a `plugin.yaml`, or a `tool.yaml` that can run.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The plugin.
    pub manifest: Manifest,
    /// The tool that it is, if it is one.
    pub tool: Option<Tool>,
}

/// The text of that file, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionText {
    /// Of a `plugin.yaml`.
    Plugin(String),
    /// Of a `tool.yaml`.
    Tool {
        /// The text.
        text: String,
        /// The name of the folder that it stands in, which is the tool's. None when it is in none.
        folder: Option<String>,
    },
}

impl DefinitionText {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order. A tool that does not say how it runs has a
    /// fault here, since it cannot be installed.
    pub fn read(&self) -> Result<Definition, Vec<FileFault>> {
        let (text, folder) = match self {
            Self::Plugin(text) => {
                return Ok(Definition { manifest: Manifest::parse(text)?, tool: None });
            }
            Self::Tool { text, folder } => (text, folder.as_deref()),
        };
        let tool = Tool::parse(text, folder)?;
        let manifest = tool.manifest().ok_or_else(|| {
            vec![FileFault {
                line: 1,
                column: 1,
                path: "run".to_owned(),
                code: "missing-field",
                message: "is missing, so the tool cannot run here".to_owned(),
                fix: "add `run: { command: … }` or `run: { request: … }`".to_owned(),
            }]
        })?;
        Ok(Definition { manifest, tool: Some(tool) })
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        match self {
            Self::Plugin(text) | Self::Tool { text, .. } => text,
        }
    }

    /// The usual name of the file.
    pub const fn file(&self) -> &'static str {
        match self {
            Self::Plugin(_) => "plugin.yaml",
            Self::Tool { .. } => "tool.yaml",
        }
    }
}

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plugin {
    /// The sha256 of the component.
    pub digest: Digest,
    /// What grants are bound to: the sha256 of the component, or for a tool that of the component's
    /// and its `tool.yaml` together.
    pub bound_to: Digest,
    /// Which kind of program it is.
    pub world: World,
    /// What its manifest says.
    pub manifest: Manifest,
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// The tool that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    /// Whether it came with the host.
    pub builtin: bool,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// Since when its component is not run, because hosts ended while it ran. None as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_at: Option<Timestamp>,
}

impl Plugin {
    /// The word for what it is: the kind of a tool, or the world of its component.
    pub fn kind(&self) -> &'static str {
        match self.tool.as_ref().and_then(|tool| tool.run.as_ref()) {
            Some(Run::Command { .. }) => "command tool",
            Some(Run::Request { .. }) => "request tool",
            None => self.world.name(),
        }
    }
}

/// An installed plugin, and what the operator allows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Installed {
    /// The plugin.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// What it is granted.
    pub grants: Vec<Grant>,
    /// What it asks for, each with what of it is granted.
    pub asks: Vec<Asked>,
}

/// One thing that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// What it is, as words.
    #[schemars(example = &"http GET https://api.example.com/v1")]
    pub what: String,
    /// Whether asking alone allows nothing.
    pub needs_grant: bool,
    /// The grants that allow it, or a part of it.
    pub grants: Vec<Grant>,
    /// Why the operator should think twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<Cow<'static, str>>,
}

impl Installed {
    /// Lays what a plugin asks for beside what it is granted.
    pub fn new(plugin: Plugin, grants: Vec<Grant>) -> Self {
        let asks = plugin.manifest.capabilities.each();
        let asks = asks.iter().map(|one| Asked::new(one, &grants)).collect();
        Self { plugin, grants, asks }
    }
}

impl Asked {
    fn new(one: &Capabilities, granted: &[Grant]) -> Self {
        // A range of addresses opens no destination by itself.
        let allows = |grant: &&Grant| grant.is_asked(one) && !matches!(grant, Grant::Net(_));
        Self {
            what: one.lines().concat(),
            needs_grant: one.needs_grants(),
            grants: granted.iter().filter(allows).cloned().collect(),
            warning: Grant::all_of(one).iter().find_map(Grant::warning).map(Cow::Borrowed),
        }
    }
}
