//! `plugin.yaml`: what a plugin is, what it asks for, and its limits.
//!
//! Every key that is accepted here is enforced by the sandbox. A key of the format that this
//! version cannot enforce is refused, never ignored.

use serde::{Deserialize, Serialize};

use crate::capability::{Capabilities, HttpPattern};
use crate::limit::{Bytes, Limits, Span};
use crate::reader::{FileFault, Reader, Section};
use crate::yaml::{Kind, Node};

/// The longest name of a plugin.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// A `plugin.yaml` that holds no fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The id that tasks name.
    pub name: String,
    /// The plugin's version.
    pub version: semver::Version,
    /// What it does.
    pub description: String,
    /// The file of the component, beside the manifest.
    pub component: String,
    /// The SPDX expression of its licence, if it says one.
    pub license: Option<String>,
    /// What it asks for.
    pub capabilities: Capabilities,
    /// What one attempt may use.
    pub limits: Limits,
}

impl Manifest {
    const KEYS: [&str; 7] =
        ["name", "version", "description", "component", "license", "capabilities", "limits"];

    /// Reads the text of a `plugin.yaml`.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order.
    pub fn parse(text: &str) -> Result<Self, Vec<FileFault>> {
        let mut reader = Reader::default();
        let manifest = match Node::parse(text) {
            Ok(node) => read(&mut reader, &node),
            Err((place, message)) => {
                reader.fault(place, "", "invalid-yaml", message, "correct the YAML");
                None
            }
        };
        let faults = reader.into_faults();
        match manifest {
            Some(manifest) if faults.is_empty() => Ok(manifest),
            _ => Err(faults),
        }
    }
}

/// Checks the name of a plugin: lower case, digits, `_` and `-`, beginning with a letter.
///
/// # Errors
///
/// A sentence that says what is accepted.
pub fn check_name(name: &str) -> Result<String, String> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.len() <= NAME_CHARACTERS_MAX && name.chars().all(is_name_character) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "`{name}` is not a name: expected a letter, then lower case letters, digits, `_` or `-`, \
         at most {NAME_CHARACTERS_MAX} characters"
    ))
}

/// Whether a name may hold this character after its first.
pub fn is_name_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-')
}

fn read(reader: &mut Reader, node: &Node) -> Option<Manifest> {
    let top = reader.section(node, "", &Manifest::KEYS)?;
    let name = reader.required_text(&top, "name").map(str::to_owned);
    reader.parsed(&top, "name", check_name);
    let version = reader.required_text(&top, "version").is_some();
    let version = version.then(|| reader.parsed(&top, "version", parse_version)).flatten();
    let description = reader.required_text(&top, "description").map(str::to_owned);
    let component = reader.required_text(&top, "component").is_some();
    let component = component.then(|| reader.parsed(&top, "component", check_file)).flatten();
    let license = reader.parsed(&top, "license", |text| Ok(text.to_owned()));
    let capabilities = top.get("capabilities").map(|node| read_capabilities(reader, node));
    let limits = top.get("limits").map(|node| read_limits(reader, node));
    Some(Manifest {
        name: name?,
        version: version?,
        description: description?,
        component: component?,
        license,
        capabilities: capabilities.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
    })
}

fn parse_version(text: &str) -> Result<semver::Version, String> {
    text.parse().map_err(|error| {
        format!("is `{text}`, which is not a semantic version like `1.0.0`: {error}")
    })
}

fn check_file(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '\\']) || text == ".." {
        return Err(format!("is `{text}`, but must be the name of a file beside the manifest"));
    }
    Ok(text.to_owned())
}

fn read_capabilities(reader: &mut Reader, node: &Node) -> Capabilities {
    const KEYS: [&str; 7] = ["http", "tcp", "fs", "env", "secrets", "clocks", "random"];
    let Some(section) = reader.section(node, "capabilities", &KEYS) else {
        return Capabilities::default();
    };
    refuse_asked_list(reader, &section, "tcp");
    refuse_asked_list(reader, &section, "secrets");
    let mut http = Vec::new();
    for (item, text) in reader.texts(&section, "http") {
        match text.parse::<HttpPattern>() {
            Ok(pattern) => http.push(pattern),
            Err(expected) => reader.invalid(item, &section.path("http"), expected),
        }
    }
    let env = reader.texts(&section, "env").into_iter().map(|(_, name)| name.to_owned()).collect();
    Capabilities {
        http,
        fs_in: section.get("fs").is_some_and(|node| read_fs(reader, node)),
        env,
        clocks: reader.flag(&section, "clocks"),
        random: reader.flag(&section, "random"),
    }
}

/// An empty list asks for nothing, so it is fine even where asking is not.
fn refuse_asked_list(reader: &mut Reader, section: &Section<'_>, key: &str) {
    if let Some(node) = section.get(key)
        && !matches!(node.kind(), Kind::List(items) if items.is_empty())
    {
        reader.unenforced(node, &section.path(key));
    }
}

fn read_fs(reader: &mut Reader, node: &Node) -> bool {
    let Some(section) = reader.section(node, "capabilities.fs", &["in", "out", "scratch"]) else {
        return false;
    };
    for key in ["out", "scratch"] {
        if let Some(node) = section.get(key) {
            reader.unenforced(node, &section.path(key));
        }
    }
    reader
        .parsed(&section, "in", |mode| match mode {
            "read" => Ok(()),
            _ => Err(format!(
                "is `{mode}`, but must be `read`: what is mounted at /in is never written"
            )),
        })
        .is_some()
}

fn read_limits(reader: &mut Reader, node: &Node) -> Limits {
    const KEYS: [&str; 7] =
        ["memory", "timeout", "fuel", "output", "log", "http_requests", "http_body"];
    let default = Limits::default();
    let Some(section) = reader.section(node, "limits", &KEYS) else { return default };
    let mut bytes = |key: &str, preset: u64, range: std::ops::RangeInclusive<u64>| {
        reader
            .parsed(&section, key, |text| {
                let size = Bytes::parse(text)?;
                if range.contains(&size.0) {
                    return Ok(size.0);
                }
                let (least, most) = (Bytes(*range.start()), Bytes(*range.end()));
                Err(format!("is {size}, but must be from {least} to {most}"))
            })
            .unwrap_or(preset)
    };
    Limits {
        memory_bytes: bytes("memory", default.memory_bytes, 64 << 10..=Limits::MEMORY_BYTES_MAX),
        output_bytes: bytes("output", default.output_bytes, 0..=64 << 20),
        log_bytes: bytes("log", default.log_bytes, 0..=64 << 20),
        http_body_bytes: bytes("http_body", default.http_body_bytes, 0..=1 << 30),
        timeout: reader
            .parsed(&section, "timeout", |text| match Span::parse(text)? {
                span if span.0.is_zero() || span.0 > Limits::TIMEOUT_MAX => {
                    Err(format!("is {text}, but must be from 1ms to 24h"))
                }
                span => Ok(span.0),
            })
            .unwrap_or(default.timeout),
        fuel: read_fuel(reader, &section),
        http_requests: reader.number(&section, "http_requests").unwrap_or(default.http_requests),
    }
}

fn read_fuel(reader: &mut Reader, section: &Section<'_>) -> Option<u64> {
    match section.get("fuel")?.kind() {
        Kind::Text(text) if text == "none" => None,
        Kind::Null
        | Kind::Bool(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => reader.number(section, "fuel"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GOOD: &str = "\
name: rest_executor
version: 1.0.0
description: Calls HTTP APIs.
component: rest.wasm
capabilities:
  http: [\"https://*\"]
  tcp: []
  fs: { in: read }
  env: [LANG]
  clocks: true
limits: { memory: 32MiB, timeout: 5s, fuel: none, http_requests: 3 }
";

    fn faults(text: &str) -> Vec<FileFault> {
        Manifest::parse(text).unwrap_err()
    }

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.name, "rest_executor");
        assert!(manifest.capabilities.fs_in && manifest.capabilities.clocks);
        assert_eq!(manifest.capabilities.http[0].to_string(), "https://*");
        assert_eq!(manifest.limits.memory_bytes, 32 << 20);
        assert_eq!(manifest.limits.timeout, Duration::from_secs(5));
        assert_eq!(manifest.limits.http_requests, 3);
        assert_eq!(manifest.limits.output_bytes, Limits::default().output_bytes);
    }

    #[test]
    fn all_faults_of_a_file_are_reported_at_once_with_their_places() {
        let text = "name: Rest\nversion: 1\nlimits: { memroy: 1MiB, timeout: 5 }\n";
        let found: Vec<_> =
            faults(text).into_iter().map(|fault| (fault.line, fault.column, fault.path)).collect();
        let at = |line, column, path: &str| (line, column, path.to_owned());
        assert!(found.contains(&at(1, 7, "name")), "{found:?}");
        assert!(found.contains(&at(2, 10, "version")), "{found:?}");
        assert!(found.contains(&at(3, 11, "limits.memroy")), "{found:?}");
        assert!(found.iter().any(|(_, _, path)| path == "limits.timeout"), "{found:?}");
        assert!(found.iter().any(|(_, _, path)| path == "description"), "{found:?}");
        assert!(found.iter().any(|(_, _, path)| path == "component"), "{found:?}");
    }

    #[test]
    fn an_unknown_field_names_its_nearest_neighbour() {
        let fault = &faults(&GOOD.replace("capabilities:", "capabilites:"))[0];
        assert_eq!(
            (fault.code, fault.fix.as_str()),
            ("unknown-field", "did you mean `capabilities`?")
        );
    }

    #[test]
    fn a_key_that_is_not_enforced_is_refused() {
        for (from, to, path) in [
            ("tcp: []", "tcp: [\"a.example:25\"]", "capabilities.tcp"),
            ("in: read", "in: read, scratch: 1MiB", "capabilities.fs.scratch"),
            ("env: [LANG]", "secrets: [key]", "capabilities.secrets"),
        ] {
            let found = faults(&GOOD.replace(from, to));
            assert_eq!((found[0].code, found[0].path.as_str()), ("not-enforced", path));
        }
    }

    #[test]
    fn a_limit_out_of_range_is_refused_with_the_range() {
        let fault = &faults(&GOOD.replace("32MiB", "32GiB"))[0];
        assert!(fault.message.contains("from 64 KiB to 1 GiB"), "{fault}");
    }

    #[test]
    fn a_component_outside_the_folder_is_refused() {
        assert_eq!(faults(&GOOD.replace("rest.wasm", "../rest.wasm"))[0].path, "component");
    }

    #[test]
    fn text_that_is_not_yaml_is_one_fault_with_its_place() {
        let found = faults("name: [unclosed\n");
        assert_eq!((found.len(), found[0].code), (1, "invalid-yaml"));
    }
}
