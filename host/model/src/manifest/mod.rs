//! `plugin.yaml`: what a plugin is, what it asks for, and its limits.
//!
//! Every key that is accepted here is enforced by the sandbox; any other is refused, never ignored.

pub(crate) mod amount;
pub(crate) mod keys;
pub(crate) mod limits;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::{Capabilities, Folders, check_asked_secret, check_secret_name};
use crate::limit::Limits;
use crate::reader::{self, FileFault, Reader, Section};
use crate::schema;
use crate::yaml::Node;
use amount::read_size;

/// The longest name of a plugin.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// A `plugin.yaml` that holds no fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The id that tasks name.
    #[schemars(example = &"rest_executor")]
    pub name: String,
    /// The plugin's version.
    #[schemars(with = "String", example = &"1.0.0")]
    pub version: semver::Version,
    /// What it does.
    #[schemars(example = &"Sends HTTP requests.")]
    pub description: String,
    /// The file of the component, beside the manifest.
    #[schemars(example = &"rest_executor.wasm")]
    pub component: String,
    /// The SPDX expression of its licence, if it says one.
    pub license: Option<String>,
    /// What it asks for.
    pub capabilities: Capabilities,
    /// What one attempt may use.
    pub limits: Limits,
}

impl Manifest {
    /// Reads the text of a `plugin.yaml`.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order.
    pub fn parse(text: &str) -> Result<Self, Vec<FileFault>> {
        reader::parse(text, read)
    }

    /// The JSON Schema (2020-12) of a `plugin.yaml`. What it accepts may still be refused by
    /// [`parse`](Self::parse), for what a schema cannot say; what it refuses always is.
    pub fn schema() -> Value {
        schema::of_file("plugin", "What a plugin is, what it asks for, and its limits.", &keys::TOP)
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
    let top = reader.object(node, "", &keys::TOP)?;
    let text = |text: &str| Ok(text.to_owned());
    let name = reader.parsed(&top, "name", check_name);
    let version = reader.parsed(&top, "version", parse_version);
    let description = reader.parsed(&top, "description", text);
    let component = reader.parsed(&top, "component", check_file);
    let license = reader.parsed(&top, "license", text);
    let capabilities = top.get("capabilities").map(|node| read_capabilities(reader, node));
    let limits = top.get("limits").map(|node| limits::read(reader, node));
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

pub(crate) fn parse_version(text: &str) -> Result<semver::Version, String> {
    text.parse().map_err(|error| {
        format!("is `{text}`, which is not a semantic version like `1.0.0`: {error}")
    })
}

pub(crate) fn check_file(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '\\']) || text == ".." {
        return Err(format!("is `{text}`, but must be the name of a file beside the manifest"));
    }
    Ok(text.to_owned())
}

/// Reads what is asked for, of a plugin or a tool.
pub(crate) fn read_capabilities(reader: &mut Reader, node: &Node) -> Capabilities {
    let Some(section) = reader.object(node, "capabilities", &keys::CAPABILITIES) else {
        return Capabilities::default();
    };
    let name = |text: &str| Ok(text.to_owned());
    Capabilities {
        http: read_list(reader, &section, "http", str::parse),
        tcp: read_list(reader, &section, "tcp", str::parse),
        sockets: read_list(reader, &section, "sockets", str::parse),
        fs: section.get("fs").map(|node| read_folders(reader, node)).unwrap_or_default(),
        env: read_list(reader, &section, "env", name),
        secrets: read_list(reader, &section, "secrets", check_asked_secret),
        secret_values: read_list(reader, &section, "secret_values", check_secret_name),
        clocks: reader.flag(&section, "clocks"),
        random: reader.flag(&section, "random"),
    }
}

/// Reads a list of texts with `parse`, whose error says what is expected.
fn read_list<T>(
    reader: &mut Reader,
    section: &Section<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut values = Vec::new();
    for (item, text) in reader.texts(section, key) {
        match parse(text) {
            Ok(value) => values.push(value),
            Err(expected) => reader.invalid(item, &section.path(key), expected),
        }
    }
    values
}

fn read_folders(reader: &mut Reader, node: &Node) -> Folders {
    let Some(section) = reader.object(node, "capabilities.fs", &keys::FOLDERS) else {
        return Folders::default();
    };
    let mut mode = |key: &str, word: &str, why: &str| {
        let check = |mode: &str| {
            if mode == word {
                Ok(())
            } else {
                Err(format!("is `{mode}`, but must be `{word}`: {why}"))
            }
        };
        reader.parsed(&section, key, check).is_some()
    };
    Folders {
        is_in_read: mode("in", "read", "what is mounted at /in is never written"),
        is_out_written: mode("out", "write", "what is in /out is the task's own"),
        scratch_bytes: read_size(reader, &section, "scratch", 1..=Limits::SCRATCH_BYTES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::Breach;
    use limits::LIMITS;

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
        assert!(manifest.capabilities.fs.is_in_read && manifest.capabilities.clocks);
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
    fn every_kind_of_capability_is_read() {
        let text = GOOD
            .replace("tcp: []", "tcp: [\"smtp.example.com:587\"]\n  sockets: [\"10.0.0.0/8:5432\"]")
            .replace("in: read", "in: read, out: write, scratch: 64MiB")
            .replace("env: [LANG]", "env: [LANG]\n  secrets: [api_key]\n  secret_values: [pin]");
        let asked = Manifest::parse(&text).unwrap().capabilities;
        assert!(asked.tcp[0].matches("smtp.example.com", 587));
        assert!(asked.sockets[0].matches("10.0.0.1:5432".parse().unwrap()));
        assert!(asked.fs.is_out_written);
        assert_eq!(asked.fs.scratch_bytes, Some(64 << 20));
        assert_eq!(
            (asked.secrets, asked.secret_values),
            (vec!["api_key".into()], vec!["pin".into()])
        );
    }

    #[test]
    fn what_is_no_capability_is_refused_with_its_place() {
        for (from, to, path) in [
            ("tcp: []", "tcp: [a.example]", "capabilities.tcp"),
            ("tcp: []", "sockets: [\"a.example:25\"]", "capabilities.sockets"),
            ("in: read", "in: write", "capabilities.fs.in"),
            ("in: read", "out: read", "capabilities.fs.out"),
            ("in: read", "scratch: write", "capabilities.fs.scratch"),
            ("env: [LANG]", "secrets: [\"a b\"]", "capabilities.secrets"),
        ] {
            let found = faults(&GOOD.replace(from, to));
            assert_eq!((found[0].code, found[0].path.as_str()), ("invalid-value", path));
        }
    }

    #[test]
    fn every_limit_is_read() {
        let none = Manifest::parse(
            &GOOD.replace("memory: 32MiB, timeout: 5s, fuel: none, http_requests: 3", ""),
        );
        assert_eq!(none.unwrap().limits, Limits::default());
        let all = "memory: 1MiB, tables: 1, handles: 8, timeout: 1s, fuel: 5, output: 1B, stdout: 2B, \
                   stderr: 3B, log: 4B, host_call: 4KiB, http_requests: 6, http_body: 7B, \
                   http_headers: 1KiB, connections: 8, tcp_bytes: 9B, connect_timeout: 2s, \
                   idle_timeout: 3s, out: 10B, files: 11, cancel_grace: 4s, concurrency: 12, \
                   starts_per_minute: 13";
        let text = GOOD.replace("memory: 32MiB, timeout: 5s, fuel: none, http_requests: 3", all);
        let limits = Manifest::parse(&text).unwrap().limits;
        let expected = Limits {
            memory_bytes: 1 << 20,
            table_elements: 1,
            handles: 8,
            timeout: Duration::from_secs(1),
            cancel_grace: Duration::from_secs(4),
            fuel: Some(5),
            output_bytes: 1,
            stdout_bytes: 2,
            stderr_bytes: 3,
            log_bytes: 4,
            host_call_bytes: 4 << 10,
            http_requests: 6,
            http_body_bytes: 7,
            http_header_bytes: 1 << 10,
            connections: 8,
            tcp_bytes: 9,
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(3),
            out_bytes: 10,
            files: 11,
            running_max: Some(12),
            starts_per_minute: Some(13),
        };
        assert_eq!(limits, expected);
        assert_eq!(LIMITS.len(), all.split(',').count(), "every key was read");
    }

    #[test]
    fn every_limit_that_is_met_names_its_key() {
        let span = Duration::from_secs(1);
        let breaches = [
            Breach::Memory(1),
            Breach::Table(1),
            Breach::Handles(1),
            Breach::Timeout(span),
            Breach::Fuel(1),
            Breach::Output(1),
            Breach::Stdout(1),
            Breach::Stderr(1),
            Breach::HttpRequests(1),
            Breach::HttpBody(1),
            Breach::HttpHeaders(1),
            Breach::Connections(1),
            Breach::TcpBytes(1),
            Breach::OutBytes(1),
            Breach::Files(1),
            Breach::HostCall(1),
        ];
        let texts = breaches.map(|breach| breach.to_string()).concat();
        // Tasks over `concurrency` or `starts_per_minute` wait. Log lines over their limit are dropped, and a server that is too slow is an error of the
        // call: the guest may get over both. After its grace an attempt is cancelled, as it was to be.
        let got_over = [
            "log",
            "connect_timeout",
            "idle_timeout",
            "cancel_grace",
            "concurrency",
            "starts_per_minute",
        ];
        let is_got_over = |key: &str| got_over.contains(&key);
        for key in LIMITS.map(|limit| limit.name) {
            assert_ne!(texts.contains(&format!("`limits.{key}`")), is_got_over(key), "{key}");
        }
    }

    #[test]
    fn a_limit_out_of_range_is_refused_with_the_range() {
        let fault = &faults(&GOOD.replace("32MiB", "32GiB"))[0];
        assert!(fault.message.contains("from 64 KiB to 1 GiB"), "{fault}");
    }

    #[test]
    fn a_grace_may_be_zero_and_no_more_than_a_minute() {
        let limits = |grace: &str| {
            Manifest::parse(&GOOD.replace("fuel: none", &format!("cancel_grace: {grace}")))
        };
        assert_eq!(limits("0s").unwrap().limits.cancel_grace, Duration::ZERO);
        assert_eq!(limits("60s").unwrap().limits.cancel_grace, Limits::CANCEL_GRACE_MAX);
        let fault = limits("61s").unwrap_err().remove(0);
        assert!(fault.message.contains("from 0 s to 60 s"), "{fault}");
    }

    #[test]
    fn a_component_outside_the_folder_is_refused() {
        assert_eq!(faults(&GOOD.replace("rest.wasm", "../rest.wasm"))[0].path, "component");
    }

    #[test]
    fn nesting_is_refused_before_the_stack_is_full() {
        for (open, close) in [("[", "]"), ("{ a: ", "}"), ("- ", "")] {
            let text = format!("license: {}{}\n", open.repeat(5_000), close.repeat(5_000));
            assert_eq!(faults(&text)[0].code, "invalid-yaml");
        }
    }

    #[test]
    fn aliases_are_refused_before_they_are_a_million_values() {
        let lists: Vec<String> = (1..9)
            .map(|level| format!("&a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", ")))
            .collect();
        let text = format!("license: [&a0 [x], {}]\n", lists.join(", "));
        assert_eq!(faults(&text)[0].code, "invalid-yaml");
        let text = GOOD.replace("[LANG]", "[&lang LANG]\n  secrets: [*lang]");
        assert_eq!(Manifest::parse(&text).unwrap().capabilities.secrets, ["LANG"]);
    }

    #[test]
    fn text_that_is_not_yaml_is_one_fault_with_its_place() {
        let found = faults("name: [unclosed\n");
        assert_eq!((found.len(), found[0].code), (1, "invalid-yaml"));
    }
}
