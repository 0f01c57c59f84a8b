//! Reads the `run` of a `tool.yaml`, and sees that it uses only what the tool takes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Argument, Flag, Run, Template, keys};
use crate::manifest::check_file;
use crate::reader::{Reader, Section, word};
use crate::yaml::{Kind, Node};

/// Reads how a tool with these arguments and flags runs.
pub(super) fn read_run(
    reader: &mut Reader,
    node: &Node,
    arguments: &[Argument],
    flags: &[Flag],
) -> Option<Run> {
    let names = arguments.iter().map(|argument| argument.name.clone());
    let taken: BTreeSet<String> = names.chain(flags.iter().map(Flag::key)).collect();
    check_places(reader, node, &taken);
    let section = reader.section(node, "run", &["command", "argv", "stdin", "request"])?;
    if let Some(request) = section.get("request") {
        for other in ["command", "argv", "stdin"] {
            if let Some(node) = section.get(other) {
                let message = "does not go with `request`: a tool runs one or the other";
                reader.invalid(node, &section.path(other), message);
            }
        }
        return read_request(reader, request);
    }
    reader.required(&section, "command")?;
    let component = reader.parsed(&section, "command", check_file);
    let stdin = template(reader, &section, "stdin");
    let argv = match section.get("argv") {
        Some(_) => {
            let texts = reader.texts(&section, "argv").into_iter();
            texts.map(|(_, text)| Template::from(text.to_owned())).collect()
        }
        None => usual_argv(arguments, stdin.as_ref()),
    };
    Some(Run::Command { component: component?, argv, stdin })
}

/// What a command is called with that does not say so: its arguments in their order, but for those
/// that it reads.
fn usual_argv(arguments: &[Argument], stdin: Option<&Template>) -> Vec<Template> {
    let read: Vec<&str> = stdin.into_iter().flat_map(Template::arguments).collect();
    let names = arguments.iter().map(|argument| argument.name.as_str());
    names.filter(|name| !read.contains(name)).map(Template::only_place).collect()
}

fn read_request(reader: &mut Reader, node: &Node) -> Option<Run> {
    let section = reader.object(node, "run.request", &keys::REQUEST)?;
    let methods = keys::METHODS.map(|name| (name, name));
    let method = reader.parsed(&section, "method", |text| word(text, &methods)).unwrap_or("GET");
    let url = reader.parsed(&section, "url", |text| {
        let is_http = text.starts_with("https://") || text.starts_with("http://");
        let fixed = is_http || text.starts_with('{');
        let expected = || format!("is `{text}`, but must begin with `https://` or `http://`");
        fixed.then(|| Template::from(text.to_owned())).ok_or_else(expected)
    });
    let query = templates(reader, &section, "query");
    let headers = templates(reader, &section, "headers");
    let body = template(reader, &section, "body");
    Some(Run::Request { method: method.to_owned(), url: url?, query, headers, body })
}

fn template(reader: &mut Reader, section: &Section<'_>, key: &str) -> Option<Template> {
    reader.parsed(section, key, |text| Ok(Template::from(text.to_owned())))
}

fn templates(reader: &mut Reader, section: &Section<'_>, key: &str) -> BTreeMap<String, Template> {
    let Some(node) = section.get(key) else { return BTreeMap::new() };
    let path = section.path(key);
    let mut all = BTreeMap::new();
    for (name, _, node) in reader.named(node, &path) {
        if let Some(text) = reader.text(node, &format!("{path}.{name}")) {
            all.insert(name.to_owned(), Template::from(text.to_owned()));
        }
    }
    all
}

/// Every place in the templates is that of something that the tool takes, or that of its flags.
fn check_places(reader: &mut Reader, node: &Node, taken: &BTreeSet<String>) {
    match node.kind() {
        Kind::Text(text) => {
            let template = Template::from(text.clone());
            if template.is_flags() {
                return;
            }
            let unknown: BTreeSet<&str> =
                template.arguments().filter(|name| !taken.contains(*name)).collect();
            for name in unknown {
                let message = format!("uses `{{{name}}}`, which the tool does not take");
                let fix = format!(
                    "declare `{name}` under `input_schema.arguments`, or write `{{{{{name}}}}}` for \
                     the text itself"
                );
                reader.fault(node.place(), "run", "undeclared-argument", message, fix);
            }
        }
        Kind::List(items) => {
            for item in items {
                check_places(reader, item, taken);
            }
        }
        Kind::Map(entries) => {
            for (_, value) in entries {
                check_places(reader, value, taken);
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}
