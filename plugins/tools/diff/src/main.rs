//! The tool `diff`: shows how two texts differ, as `diff -u` does.
//!
//! This file reads the command line; the work is in `unified.rs`.

mod unified;

use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, number, run};

use crate::unified::{Side, Style};

fn main() -> ExitCode {
    run("diff", diff)
}

fn diff(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut style, mut names) = (Style::default(), Vec::new());
    let (mut old, mut new, mut labels) = (None, None, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('u') => {}
            Short('U') | Long("unified") => {
                let lines = number(&mut arguments, "unified")?;
                style.context = usize::try_from(lines).unwrap_or(usize::MAX);
            }
            Short('q') | Long("brief") => style.is_brief = true,
            Short('w') | Long("ignore-all-space") => style.ignores_space = true,
            Short('i') | Long("ignore-case") => style.ignores_case = true,
            Long("label") => labels.push(arguments.value()?.string()?),
            Long("old-text") => old = Some(arguments.value()?.string()?),
            Long("new-text") => new = Some(arguments.value()?.string()?),
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    let (mut names, mut labels) = (names.into_iter(), labels.into_iter());
    let mut side = |text: Option<String>, usual: &str| -> Result<Side, Failure> {
        let (name, text) = if let Some(text) = text {
            (usual.to_owned(), text)
        } else {
            let missing = || format!("there is no {usual} text: name two files, or give it");
            let input = names.next().map(Input::from).ok_or_else(|| Failure::new(missing()))?;
            (input.to_string(), input.read_text()?)
        };
        Ok(Side { name: labels.next().unwrap_or(name), text })
    };
    let (old, new) = (side(old, "old")?, side(new, "new")?);
    if names.next().is_some() {
        return Err(Failure::new("compares two texts, but more are named"));
    }
    unified::write(&old, &new, style, output)?;
    Ok(())
}
