//! The tool `jq`: filters JSON, YAML, TOML, XML and CSV with the jq language.
//!
//! This file reads the command line; the work is in `filter.rs`.

mod filter;

use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, number, run};
use jaq_all::fmts::Format;

use crate::filter::{Filter, Style};

/// How far a level of an output is moved in. jq takes no more than 7, either.
const INDENT_MAX: u64 = 7;

fn main() -> ExitCode {
    run("jq", jq)
}

fn jq(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut style, mut variables) = (Style::default(), Vec::new());
    let (mut filter, mut names, mut to) = (None, Vec::new(), None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('n') | Long("null-input") => style.is_null_input = true,
            Short('s') | Long("slurp") => style.is_slurp = true,
            Short('R') | Long("raw-input") => style.from = Some(Format::Raw),
            Short('r') | Long("raw-output") => to = Some(Format::Raw),
            Short('j') | Long("join-output") => {
                to = Some(Format::Raw);
                style.writer.join = true;
            }
            Short('c') | Long("compact-output") => style.writer.pp.indent = None,
            Short('S') | Long("sort-keys") => style.writer.pp.sort_keys = true,
            Long("tab") => style.writer.pp.indent = Some("\t".to_owned()),
            Long("indent") => style.writer.pp.indent = indent(number(&mut arguments, "indent")?)?,
            Long("from") => style.from = Some(format(&arguments.value()?.string()?)?),
            Long("to") => to = Some(format(&arguments.value()?.string()?)?),
            Long("arg") => {
                let name = arguments.value()?.string()?;
                variables.push((name, filter::text(arguments.value()?.string()?)));
            }
            Long("argjson") => {
                let name = arguments.value()?.string()?;
                variables.push((name, filter::json(&arguments.value()?.string()?)?));
            }
            Long("variables") => {
                variables.extend(filter::object(&arguments.value()?.string()?)?);
            }
            Value(value) if filter.is_none() => filter = Some(value.string()?),
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    style.writer.format = to.unwrap_or_default();
    // YAML needs the space after a colon, even where it is compact.
    let is_yaml = matches!(style.writer.format, Format::Yaml);
    style.writer.pp.sep_space = is_yaml || style.writer.pp.indent.is_some();
    let filter = filter.ok_or_else(|| Failure::new("there is no filter"))?;
    let filter = Filter::compile(&filter, variables)?;
    Input::all(names).iter().try_for_each(|input| filter.run(input, &style, output))
}

fn format(name: &str) -> Result<Format, Failure> {
    let fault = || format!("the format is `{name}`, but must be one of {}", Format::ALL);
    Format::parse(name).ok_or_else(|| Failure::new(fault()))
}

fn indent(spaces: u64) -> Result<Option<String>, Failure> {
    match spaces {
        0 => Ok(None),
        1..=INDENT_MAX => Ok(Some((0..spaces).map(|_| ' ').collect())),
        _ => Err(Failure::new(format!("`indent` is {spaces}, but must be at most {INDENT_MAX}"))),
    }
}
