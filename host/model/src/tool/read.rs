//! Reads a `tool.yaml`, key by key, and notes every fault.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::read_run::read_run;
use super::{
    Argument, Category, Fallback, Field, Flag, OutputSchema, Run, ServiceApi, Tool, ValueType, keys,
};
use crate::breaker::BreakerRule;
use crate::capability::Capabilities;
use crate::manifest::amount::{read_count, read_span};
use crate::manifest::{check_name, limits, parse_version, read_capabilities};
use crate::reader::{Reader, Section, word};
use crate::schema::Key;
use crate::yaml::{Kind, Node};

pub(super) fn read(reader: &mut Reader, node: &Node, folder: Option<&str>) -> Option<Tool> {
    let top = reader.object(node, "", &keys::TOP)?;
    let name = reader.parsed(&top, "name", |name| check_own_name(name, folder));
    let version = reader.parsed(&top, "version", parse_version);
    let description = reader.parsed(&top, "description", |text| Ok(text.to_owned()));
    let categories = read_categories(reader, &top);
    let (arguments, flags) = read_input(reader, &top);
    let run = top.get("run").and_then(|node| read_run(reader, node, &arguments, &flags));
    let fallback = read_fallback(reader, &top, name.as_deref());
    let tags = names(reader, &top, "tags");
    let system_dependencies = read_dependencies(reader, &top);
    let requires_internet = reader.flag(&top, "requires_internet");
    let apis = read_each(reader, &top, "apis", read_api);
    let output = read_output(reader, &top);
    let cache_ttl = top.get("cache").and_then(|node| read_cache(reader, node));
    let circuit_breaker = top.get("circuit_breaker").and_then(|node| read_breaker(reader, node));
    let requires_approval = reader.flag(&top, "requires_approval");
    let capabilities = match top.get("capabilities") {
        Some(node) => read_capabilities(reader, node),
        None => run.as_ref().map(unsaid_capabilities).unwrap_or_default(),
    };
    let limits = top.get("limits").map(|node| limits::read(reader, node)).unwrap_or_default();
    // Only now may one be missing: every fault is found at once.
    Some(Tool {
        name: name?,
        version: version?,
        description: description?,
        categories,
        tags,
        system_dependencies,
        requires_internet,
        apis,
        arguments,
        flags,
        output,
        fallback,
        run,
        cache_ttl,
        circuit_breaker,
        requires_approval,
        capabilities,
        limits,
    })
}

/// What a tool asks for that does not say so: the origin of its request, when it is fixed.
fn unsaid_capabilities(run: &Run) -> Capabilities {
    let origin = match run {
        Run::Request { url, .. } => url.origin().and_then(|origin| origin.parse().ok()),
        Run::Command { .. } => None,
    };
    Capabilities { http: origin.into_iter().collect(), ..Capabilities::default() }
}

fn check_own_name(name: &str, folder: Option<&str>) -> Result<String, String> {
    let name = check_name(name)?;
    match folder {
        Some(folder) if folder != name => Err(format!(
            "is `{name}`, but must be `{folder}`, the name of its folder, by which it is found"
        )),
        _ => Ok(name),
    }
}

/// One category, or a list of them.
fn read_categories(reader: &mut Reader, top: &Section<'_>) -> Vec<Category> {
    let Some(node) = top.get("category") else { return Vec::new() };
    if let Kind::List(items) = node.kind()
        && !items.is_empty()
    {
        let texts = reader.texts(top, "category");
        let mut categories = Vec::new();
        for (item, text) in texts {
            match word(text, &Category::ALL) {
                Ok(category) if categories.contains(&category) => {
                    reader.invalid(item, "category", format!("`{text}` is there twice"));
                }
                Ok(category) => categories.push(category),
                Err(expected) => reader.invalid(item, "category", expected),
            }
        }
        return categories;
    }
    reader.parsed(top, "category", |text| word(text, &Category::ALL)).into_iter().collect()
}

/// A list of texts, none of them empty or there twice.
fn names(reader: &mut Reader, section: &Section<'_>, key: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (item, text) in reader.texts(section, key) {
        if text.trim().is_empty() {
            reader.invalid(item, &section.path(key), "is empty");
        } else if names.iter().any(|name| name == text) {
            reader.invalid(item, &section.path(key), format!("`{text}` is there twice"));
        } else {
            names.push(text.to_owned());
        }
    }
    names
}

fn read_dependencies(reader: &mut Reader, top: &Section<'_>) -> Vec<String> {
    let Some(node) = top.get("dependencies") else { return Vec::new() };
    let Some(section) = reader.object(node, "dependencies", &keys::DEPENDENCIES) else {
        return Vec::new();
    };
    names(reader, &section, "system")
}

/// Reads a list of mappings.
fn read_each<T>(
    reader: &mut Reader,
    section: &Section<'_>,
    key: &str,
    read: impl Fn(&mut Reader, &Node, &str) -> Option<T>,
) -> Vec<T> {
    let mut all = Vec::new();
    for (index, item) in reader.list(section, key).iter().enumerate() {
        all.extend(read(reader, item, &format!("{}.{index}", section.path(key))));
    }
    all
}

fn read_api(reader: &mut Reader, node: &Node, path: &str) -> Option<ServiceApi> {
    let section = reader.object(node, path, &keys::API)?;
    let text = |text: &str| Ok(text.to_owned());
    let name = reader.parsed(&section, "name", text);
    let auth_types = keys::AUTH_TYPES.map(|name| (name, name));
    Some(ServiceApi {
        base_url: reader.parsed(&section, "base_url", text),
        health_endpoint: reader.parsed(&section, "health_endpoint", text),
        auth_required: reader.flag(&section, "auth_required"),
        auth_type: reader
            .parsed(&section, "auth_type", |text| word(text, &auth_types))
            .map(str::to_owned),
        name: name?,
    })
}

fn read_input(reader: &mut Reader, top: &Section<'_>) -> (Vec<Argument>, Vec<Flag>) {
    let Some(node) = top.get("input_schema") else { return (Vec::new(), Vec::new()) };
    let Some(section) = reader.object(node, "input_schema", &keys::INPUT) else {
        return (Vec::new(), Vec::new());
    };
    let arguments = read_each(reader, &section, "arguments", read_argument);
    let flags = read_each(reader, &section, "flags", read_flag);
    let arguments_at = section.get("arguments").unwrap_or(node);
    let flags_at = section.get("flags").unwrap_or(node);
    twice(reader, arguments_at, "input_schema.arguments", arguments.iter().map(|one| &one.name));
    let mut taken: BTreeSet<String> = arguments.iter().map(|one| one.name.clone()).collect();
    for key in flags.iter().map(Flag::key) {
        if !taken.insert(key.clone()) {
            let message = format!("`{key}` is there twice: a task names a flag without its dashes");
            reader.fault(flags_at.place(), "input_schema.flags", DUPLICATE, message, RENAME);
        }
    }
    (arguments, flags)
}

const DUPLICATE: &str = "duplicate-name";
const RENAME: &str = "rename one of them";

fn twice<'a>(reader: &mut Reader, at: &Node, path: &str, names: impl Iterator<Item = &'a String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("`{name}` is there twice");
            reader.fault(at.place(), path, DUPLICATE, message, RENAME);
        }
    }
}

fn read_type(reader: &mut Reader, section: &Section<'_>) -> Option<ValueType> {
    reader.parsed(section, "type", |text| word(text, &ValueType::ALL))
}

fn read_argument(reader: &mut Reader, node: &Node, path: &str) -> Option<Argument> {
    let section = reader.object(node, path, &keys::ARGUMENT)?;
    let name = reader.parsed(&section, "name", |text| Ok(text.to_owned()));
    let value_type = read_type(reader, &section);
    let required = reader.flag(&section, "required");
    let description = reader.parsed(&section, "description", |text| Ok(text.to_owned()));
    let default = section.get("default").map(|node| (node, value(node)));
    let mut allowed = Vec::new();
    for item in reader.list(&section, "enum") {
        allowed.push((item, value(item)));
    }
    let value_type = value_type?;
    for (node, value) in allowed.iter().chain(&default) {
        if !value_type.accepts(value) {
            let message =
                format!("is {value}, but the argument is of the type {}", value_type.name());
            reader.invalid(node, path, message);
        }
    }
    let allowed: Vec<Value> = allowed.into_iter().map(|(_, value)| value).collect();
    if let Some((node, value)) = &default {
        if required {
            reader.invalid(
                node,
                &section.path("default"),
                "is never used: the argument is required",
            );
        } else if !allowed.is_empty() && !allowed.contains(value) {
            reader.invalid(node, &section.path("default"), "is not among those of `enum`");
        }
    }
    let default = default.map(|(_, value)| value);
    Some(Argument { name: name?, value_type, required, description, default, allowed })
}

/// A value of YAML as one of JSON.
fn value(node: &Node) -> Value {
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::Bool(value) => (*value).into(),
        Kind::Number(digits) => digits.parse().map_or(Value::Null, Value::Number),
        Kind::Text(text) => text.as_str().into(),
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Map(entries) => {
            let entry = |(key, node): &(serde_saphyr::Spanned<String>, Node)| {
                (key.value.clone(), value(node))
            };
            Value::Object(entries.iter().map(entry).collect())
        }
    }
}

fn read_flag(reader: &mut Reader, node: &Node, path: &str) -> Option<Flag> {
    let section = reader.object(node, path, &keys::FLAG)?;
    let flag = reader.parsed(&section, "flag", check_flag);
    Some(Flag {
        description: reader.parsed(&section, "description", |text| Ok(text.to_owned())),
        has_argument: reader.flag(&section, "has_argument"),
        flag: flag?,
    })
}

fn check_flag(text: &str) -> Result<String, String> {
    let name = text.trim_start_matches('-');
    let is_flag = text.len() - name.len() <= 2
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    is_flag
        .then(|| text.to_owned())
        .ok_or_else(|| format!("is `{text}`, but must be like `-v`, `--verbose` or `verbose`"))
}

fn read_output(reader: &mut Reader, top: &Section<'_>) -> OutputSchema {
    let Some(node) = top.get("output_schema") else { return OutputSchema::default() };
    let Some(section) = reader.object(node, "output_schema", &keys::OUTPUT) else {
        return OutputSchema::default();
    };
    let text = reader.parsed(&section, "text", |text| Ok(text.to_owned()));
    let json_fields = read_each(reader, &section, "json_fields", |reader, node, path| {
        read_field(reader, node, path, &keys::FIELD)
    });
    let names = json_fields.iter().filter_map(|field| field.name.as_ref());
    let at = section.get("json_fields").unwrap_or(node);
    twice(reader, at, "output_schema.json_fields", names);
    OutputSchema { text, json_fields }
}

fn read_field(reader: &mut Reader, node: &Node, path: &str, keys: &[Key]) -> Option<Field> {
    let section = reader.object(node, path, keys)?;
    let text = |text: &str| Ok(text.to_owned());
    let name = reader.parsed(&section, "name", text);
    reader.parsed(&section, "description", text);
    let value_type = read_type(reader, &section);
    let items = section.get("items").map(|items| {
        let path = section.path("items");
        if value_type.is_some_and(|value_type| value_type != ValueType::Array) {
            reader.invalid(items, &path, "belongs to an array alone");
        }
        read_field(reader, items, &path, &keys::ITEMS)
    });
    Some(Field { name, value_type: value_type?, items: items.flatten().map(Box::new) })
}

/// `null` says that there is none, as leaving it out does.
fn read_fallback(reader: &mut Reader, top: &Section<'_>, own: Option<&str>) -> Option<Fallback> {
    let node = top.get("fallback_tool").filter(|node| !matches!(node.kind(), Kind::Null))?;
    let tool = reader.parsed(top, "fallback_tool", |name| {
        check_name(name)?;
        if Some(name) == own {
            return Err("is the tool itself, which would be tried again for ever".to_owned());
        }
        Ok(name.to_owned())
    })?;
    let (line, column) = node.place();
    Some(Fallback { tool, line, column })
}

/// How many failures in a row, and for how long: as `breakers` in `config.yaml` says it otherwise.
fn read_breaker(reader: &mut Reader, node: &Node) -> Option<BreakerRule> {
    let section = reader.object(node, "circuit_breaker", &keys::BREAKER)?;
    let usual = BreakerRule::default();
    let failures = read_count(reader, &section, "failures", 1..=BreakerRule::FAILURES_MAX.into());
    let second = Duration::from_secs(1);
    let longest = Duration::from_secs(BreakerRule::SECONDS_MAX.into());
    let recovery = read_span(reader, &section, "recovery", second..=longest);
    let failures = failures.and_then(|number| u32::try_from(number).ok());
    let seconds = recovery.and_then(|recovery| u32::try_from(recovery.as_secs()).ok());
    let open_seconds = seconds.unwrap_or(usual.open_seconds);
    Some(BreakerRule {
        failures: failures.unwrap_or(usual.failures),
        open_seconds,
        open_seconds_max: open_seconds.max(usual.open_seconds_max),
        ..usual
    })
}

fn read_cache(reader: &mut Reader, node: &Node) -> Option<Duration> {
    let section = reader.object(node, "cache", &keys::CACHE)?;
    read_span(reader, &section, "ttl", keys::CACHE_TTL_MIN..=keys::CACHE_TTL_MAX)
}
