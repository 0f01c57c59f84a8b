//! Manifests and their schemas: thousands of faulty ones, and whether the two agree about each.
//!
//! What the schema refuses is refused by `validate`, always. What it accepts may still be refused,
//! but only for what a schema cannot say.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their own functions")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use apflow_model::manifest::Manifest;
use apflow_model::policies::Policies;
use apflow_model::price::Prices;
use apflow_model::tool::Tool;
use apflow_model::validate::{Report, Source, check};
use jsonschema::Validator;
use serde_json::{Value, json};

use manifests::mutate::{Random, mutate};

mod manifests {
    //! Nested here so that the file stands in `tests/manifests/`.

    pub(crate) mod mutate;
}

/// How many manifests are mutated.
const MUTATIONS: usize = 1_000;
/// The longest that one may take, in a debug build on a busy machine.
const CHECK_MAX: Duration = Duration::from_millis(50);

/// Faults of manifests that their schema accepts: what it has no words for.
///
/// Amounts out of their range; texts whose grammar is more than an expression; names that are there
/// twice; a default that is not of its type; a place for what is not taken; and YAML itself.
const BEYOND_A_SCHEMA: [&str; 4] =
    ["invalid-value", "duplicate-name", "undeclared-argument", "invalid-yaml"];

/// A plugin with every key.
const PLUGIN: &str = "\
name: every_key
version: 1.2.3-rc.1+build
description: Has every key.
component: every.wasm
license: MIT
capabilities:
  http: [\"GET,HEAD https://*.example.com:8443/v1\", \"http://[::1]\"]
  tcp: [\"smtp.example.com:587\"]
  sockets: [\"10.0.0.0/8:*\", \"[fd00::/8]:5432\"]
  fs: { in: read, out: write, scratch: 64MiB }
  env: [LANG]
  secrets: [api_key]
  secret_values: [pin]
  clocks: true
  random: false
limits:
  { memory: 1MiB, tables: 1, handles: 8, timeout: 1s, fuel: none, output: 1 B, stdout: 2B,
    stderr: 3B, log: 4B, host_call: 4KiB, http_requests: 6, http_body: 7B, http_headers: 1KiB,
    connections: 8, tcp_bytes: 9B, connect_timeout: 2s, idle_timeout: 3s, out: 10B, files: 11,
    cancel_grace: 4s, concurrency: 12, starts_per_minute: 13 }
";

/// A tool with every key, that runs a command.
const COMMAND: &str = "\
name: every_key
version: 1.2.3
description: Has every key.
category: [data, utility]
tags: [json, text]
dependencies: { system: [jq, curl] }
requires_internet: true
apis:
  - name: one
    base_url: https://one.example
    health_endpoint: /health
    auth_required: true
    auth_type: bearer
input_schema:
  arguments:
    - { name: filter, type: string, required: true, description: The filter. }
    - { name: depth, type: integer, default: 3, enum: [1, 2, 3] }
  flags:
    - { flag: --raw-output, description: Without quotes., has_argument: true }
output_schema:
  text: The result.
  json_fields:
    - { name: rows, type: array, items: { type: array, items: { type: number } }, description: All. }
fallback_tool: another
run: { command: jq.wasm, argv: [\"-c\", \"{filter}\"], stdin: \"{depth}\" }
cache: { ttl: 300s }
circuit_breaker: { failures: 3, recovery: 60s }
requires_approval: true
capabilities: { clocks: true }
limits: { memory: 1MiB }
";

/// A tool that sends a request.
const REQUEST: &str = "\
name: every_key
version: 1.2.3
description: Sends.
category: networking
input_schema: { arguments: [{ name: city, type: string }] }
fallback_tool: null
run:
  request:
    method: POST
    url: \"https://api.example.com/{city}\"
    query: { q: \"{city}\" }
    headers: { accept: text/plain }
    body: \"{city}\"
";

/// What stands where something else should.
fn odd_values() -> Vec<Value> {
    let long = "a".repeat(65);
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1.0),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("x"),
        json!("X"),
        json!(long),
        json!("../x"),
        json!(".."),
        json!("1.0"),
        json!("1.0.0"),
        json!("none"),
        json!("read"),
        json!("64MiB"),
        json!("0B"),
        json!("1s"),
        json!("9999999999h"),
        json!("99999999999999999999GiB"),
        json!("https://*"),
        json!("ftp://x"),
        json!("{city}"),
        json!("data"),
        json!("string"),
        json!("array"),
        json!("GET"),
        json!("--flag"),
        json!("---flag"),
        json!([]),
        json!(["x"]),
        json!(["x", "x"]),
        json!(["data"]),
        json!([null]),
        json!([{}]),
        json!({}),
        json!({ "x": "y" }),
        json!({ "name": "x", "type": "string" }),
    ]
}

struct Schemas {
    plugin: Validator,
    tool: Validator,
}

impl Schemas {
    fn new() -> Self {
        let plugin = jsonschema::draft202012::new(&Manifest::schema()).unwrap();
        Self { plugin, tool: jsonschema::draft202012::new(&Tool::schema()).unwrap() }
    }

    fn accepts(&self, path: &str, value: &Value) -> bool {
        if path.ends_with("plugin.yaml") { &self.plugin } else { &self.tool }.is_valid(value)
    }
}

/// Fails unless the reader and the schema agree about a manifest, and says how long the reader took.
#[track_caller]
fn agree(schemas: &Schemas, source: &Source) -> (Report, Duration) {
    let started = Instant::now();
    let report = check(std::slice::from_ref(source)).remove(0);
    let took = started.elapsed();
    let text = String::from_utf8_lossy(&source.bytes);
    assert_eq!(report.valid, report.faults.is_empty(), "{text}");
    let lines = text.chars().count() as u64 + 1;
    for fault in &report.faults {
        assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault}\n{text}");
        assert!(!fault.message.is_empty() && !fault.fix.is_empty(), "{fault}\n{text}");
    }
    // Aliases of aliases are more than a test has time for.
    let options = serde_saphyr::options! {
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
    };
    let value: Option<Value> = serde_saphyr::from_slice_with_options(&source.bytes, options).ok();
    let is_accepted = value.as_ref().is_some_and(|value| schemas.accepts(&source.path, value));
    if report.valid {
        assert!(is_accepted, "the schema refuses what is valid:\n{text}\n{value:?}");
    } else if is_accepted {
        for fault in &report.faults {
            let is_beyond = BEYOND_A_SCHEMA.contains(&fault.code);
            assert!(is_beyond, "the schema accepts {} at {fault}:\n{text}", fault.code);
        }
    }
    (report, took)
}

fn source(path: &str, text: impl Into<Vec<u8>>) -> Source {
    Source::new(path, text)
}

/// A manifest with every key, at its path.
fn whole() -> [Source; 3] {
    [
        source("every_key/plugin.yaml", PLUGIN),
        source("every_key/tool.yaml", COMMAND),
        source("every_key/tool.yaml", REQUEST),
    ]
}

/// The manifests of this project, and those in use elsewhere, below a folder.
fn collect(folder: &Path, all: &mut Vec<Source>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            collect(&path, all);
        } else if name == "tool.yaml" || name == "plugin.yaml" {
            all.push(source(&path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn real() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = Vec::new();
    collect(&root.join("tests/data/tool_manifests"), &mut all);
    collect(&root.join("plugins"), &mut all);
    assert!(all.len() > 20);
    all
}

#[test]
fn what_is_valid_is_valid_by_its_schema() {
    let schemas = Schemas::new();
    let faulty: Vec<String> = real()
        .iter()
        .chain(&whole())
        .map(|source| agree(&schemas, source).0)
        .filter(|report| !report.valid)
        .map(|report| report.path)
        .collect();
    assert!(faulty.len() == 1 && faulty[0].contains("jukebox"), "{faulty:?}");
}

#[test]
fn every_value_of_a_manifest_may_be_any_other_and_both_agree() {
    let schemas = Schemas::new();
    let (mut all, mut valid) = (0, 0);
    for whole in whole() {
        let value: Value = serde_saphyr::from_slice(&whole.bytes).unwrap();
        for place in places(&value, "") {
            for changed in changes(&value, &place) {
                let changed = source(&whole.path, changed.to_string());
                let (report, _) = agree(&schemas, &changed);
                all += 1;
                valid += usize::from(report.valid);
            }
        }
    }
    println!("{all} manifests with one change, {valid} of them valid");
    assert!(all > 4_000 && valid > 200 && valid < all / 2, "{valid} of {all}");
}

#[test]
fn every_mutated_manifest_is_valid_by_its_schema_or_refused_with_a_place_in_time() {
    let schemas = Schemas::new();
    let seeds: Vec<Source> = real().into_iter().chain(whole()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut slowest, mut valid) = ((Duration::ZERO, Vec::new()), 0);
    for _ in 0..MUTATIONS {
        let seed = random.choose(&seeds);
        let mutated = source(&seed.path, mutate(&seed.bytes, &mut random));
        let (report, first) = agree(&schemas, &mutated);
        valid += usize::from(report.valid);
        // What others do on the machine is not its time: the best of a few tries counts.
        let again = || (0..4).map(|_| agree(&schemas, &mutated).1).min().unwrap_or(first);
        let took = if first > CHECK_MAX { first.min(again()) } else { first };
        if took > slowest.0 {
            slowest = (took, mutated.bytes);
        }
    }
    let (took, bytes) = slowest;
    println!("{MUTATIONS} mutations: {valid} valid; the slowest took {took:?} ({} B)", bytes.len());
    let shown: String = String::from_utf8_lossy(&bytes).chars().take(4_000).collect();
    assert!(took < CHECK_MAX, "{took:?} for:\n{shown}");
    assert!(valid > 0 && valid < MUTATIONS / 2, "{valid}");
}

#[test]
fn the_published_schemas_are_those_of_this_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemas = [
        ("plugin", Manifest::schema()),
        ("policies", Policies::schema()),
        ("prices", Prices::schema()),
        ("tool", Tool::schema()),
    ];
    for (name, schema) in schemas {
        let published = fs::read_to_string(root.join(format!("docs/schema/{name}.json"))).unwrap();
        let is_same = format!("{schema:#}\n") == published;
        assert!(is_same, "write it: apflow-host schema {name} > docs/schema/{name}.json");
    }
}

#[test]
fn the_action_has_every_input_that_it_uses_and_uses_every_one_that_it_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("action.yml")).unwrap();
    let action: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(action["runs"]["using"], "composite");
    let mut used: Vec<&str> = text
        .split("inputs.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap())
        .collect();
    used.sort_unstable();
    used.dedup();
    let inputs: Vec<&String> = action["inputs"].as_object().unwrap().keys().collect();
    assert_eq!(used, inputs);
}

/// A pointer to every value in a value, itself left out.
fn places(value: &Value, at: &str) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let deeper = below.into_iter().flat_map(|(key, value)| places(value, &format!("{at}/{key}")));
    let own = (!at.is_empty()).then(|| at.to_owned());
    own.into_iter().chain(deeper.collect::<Vec<_>>()).collect()
}

/// The value with something else at a place, without it, and with something that nobody knows.
fn changes(value: &Value, place: &str) -> Vec<Value> {
    let mut changed: Vec<Value> = Vec::new();
    for odd in odd_values() {
        let mut other = value.clone();
        *other.pointer_mut(place).unwrap() = odd;
        changed.push(other);
    }
    let (above, key) = place.rsplit_once('/').unwrap();
    let mut without = value.clone();
    match without.pointer_mut(above).unwrap() {
        Value::Object(map) => drop(map.remove(key)),
        Value::Array(list) => drop(list.remove(key.parse().unwrap())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    changed.push(without);
    let mut with = value.clone();
    if let Value::Object(map) = with.pointer_mut(place).unwrap() {
        map.insert("unheard_of".to_owned(), json!("x"));
        changed.push(with);
    }
    changed
}
