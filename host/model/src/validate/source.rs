//! What is checked: the bytes of a file, and what is known of the component that it names.

use serde::Serialize;

use super::Kind;
use crate::capability::Capabilities;
use crate::import::Import;
use crate::limit::{Bytes, Limits};
use crate::manifest::Manifest;
use crate::plugin::World;
use crate::policies::Policies;
use crate::price::Prices;
use crate::reader::FileFault;
use crate::tool::{Run, Tool};

/// A file to be checked: a manifest, or a component by itself.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is, with `/` between folders: the last name says what it is.
    pub path: String,
    /// What is in it. Of a component, nothing: its [`component`](Self::component) says all.
    pub bytes: Vec<u8>,
    /// The component that it names, or is.
    pub component: Beside,
}

/// What is known of the component beside a manifest.
#[derive(Debug, Clone)]
pub enum Beside {
    /// Nobody looked.
    Unknown,
    /// There is no such file.
    Missing,
    /// It is none that this host runs, for this reason.
    Refused(String),
    /// This is what it is.
    Found(Inspected),
}

/// What a component is, by its type: nothing of it was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// Its size, in bytes.
    pub bytes: u64,
    /// Which kind of program it is.
    pub world: World,
    /// The interfaces that it imports functions of.
    pub imports: Vec<Import>,
}

/// A file without fault.
pub(super) enum Parsed {
    Plugin(Box<Manifest>),
    Tool(Box<Tool>),
    Policies,
    Prices,
}

/// The largest manifest, in bytes: 1 MiB.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

impl Source {
    /// A manifest of which nobody knows the component.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into(), component: Beside::Unknown }
    }

    /// Whether it is a component by itself.
    pub fn is_component(&self) -> bool {
        is_component(&self.path)
    }

    /// The file beside it that it names as its component. None when it has faults, or names none.
    pub fn component_file(&self) -> Option<String> {
        Some(self.parse().ok()?.component()?.1.to_owned())
    }

    /// Its text.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Reads it. A file that is no `plugin.yaml` by its name is read as a tool.
    pub(super) fn parse(&self) -> Result<Parsed, Vec<FileFault>> {
        if self.bytes.len() as u64 > MANIFEST_BYTES_MAX {
            let message =
                format!("has more than {}, so it is no manifest", Bytes(MANIFEST_BYTES_MAX));
            return Err(vec![fault((1, 1), "too-large", message, "name another file")]);
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&self.bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() as u64 + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
            let message = "is not UTF-8 from here on".to_owned();
            vec![fault((line, column), "invalid-utf8", message, "save it as UTF-8")]
        })?;
        match Kind::of(&self.path) {
            Some(Kind::Plugin) => Manifest::parse(text).map(|it| Parsed::Plugin(Box::new(it))),
            Some(Kind::Policies) => Policies::parse(text).map(|_| Parsed::Policies),
            Some(Kind::Prices) => Prices::parse(text).map(|_| Parsed::Prices),
            Some(Kind::Tool) | None => {
                Tool::parse(text, folder(&self.path)).map(|it| Parsed::Tool(Box::new(it)))
            }
        }
    }
}

fn fault(place: (u64, u64), code: &'static str, message: String, fix: &str) -> FileFault {
    let ((line, column), path) = (place, String::new());
    FileFault { line, column, path, code, message, fix: fix.to_owned() }
}

/// Whether a file is a component by its name.
pub fn is_component(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending == "wasm")
}

/// The folder of a tool, when its file has the usual name: it names the tool.
pub(super) fn folder(path: &str) -> Option<&str> {
    Kind::of(path)?;
    path.rsplit('/').nth(1).filter(|name| !name.is_empty() && *name != "." && *name != "..")
}

impl Parsed {
    /// The key that names its component, and the file.
    pub(super) fn component(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Plugin(manifest) => Some(("component", &manifest.component)),
            Self::Tool(tool) => match tool.run.as_ref()? {
                Run::Command { component, .. } => Some(("run.command", component)),
                Run::Request { .. } => None,
            },
            Self::Policies | Self::Prices => None,
        }
    }

    /// The name by which tasks call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Plugin(manifest) => &manifest.name,
            Self::Tool(tool) => &tool.name,
            Self::Policies => "policies",
            Self::Prices => "prices",
        }
    }

    /// What it asks for, and its limits.
    pub(super) fn asks(&self) -> (Capabilities, Limits) {
        match self {
            Self::Plugin(manifest) => (manifest.capabilities.clone(), manifest.limits),
            Self::Tool(tool) => (tool.capabilities.clone(), tool.limits),
            Self::Policies | Self::Prices => Default::default(),
        }
    }

    /// Whether it says how it runs here: a tool without `run` is a description alone.
    pub(super) fn is_runnable(&self) -> bool {
        match self {
            Self::Plugin(_) | Self::Policies | Self::Prices => true,
            Self::Tool(tool) => tool.run.is_some(),
        }
    }
}
