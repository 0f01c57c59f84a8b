//! The tool `grep`: finds the lines that match a pattern.
//!
//! This file reads the command line; patterns are in `pattern.rs`, the search in `search.rs`.

mod pattern;
mod search;

use std::ffi::OsString;
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, number, run};

use crate::pattern::Syntax;
use crate::search::{Search, Show};

fn main() -> ExitCode {
    run("grep", grep)
}

fn grep(arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let Asked { patterns, syntax, mut search, shows_names, names } = Asked::read(arguments)?;
    let inputs = Input::all(names);
    search.shows_names = shows_names.unwrap_or(inputs.len() > 1);
    let regex = syntax.compile(&patterns)?;
    for input in &inputs {
        search.run(&regex, &input.to_string(), &mut *input.open()?, output)?;
    }
    Ok(())
}

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    patterns: Vec<String>,
    syntax: Syntax,
    search: Search,
    /// None: when there is more than one file.
    shows_names: Option<bool>,
    names: Vec<OsString>,
}

impl Asked {
    fn read(mut arguments: Parser) -> Result<Self, Failure> {
        let mut asked = Self::default();
        let Self { patterns, syntax, search, shows_names, names } = &mut asked;
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('e') | Long("regexp") => patterns.push(arguments.value()?.string()?),
                Short('F') | Long("fixed-strings") => syntax.is_fixed = true,
                Short('E') | Long("extended-regexp") => syntax.is_fixed = false,
                Short('i') | Long("ignore-case") => syntax.ignores_case = true,
                Short('w') | Long("word-regexp") => syntax.is_word = true,
                Short('x') | Long("line-regexp") => syntax.is_line = true,
                Short('v') | Long("invert-match") => search.is_inverted = true,
                Short('n') | Long("line-number") => search.shows_numbers = true,
                Short('c') | Long("count") => search.show = Show::Count,
                Short('l') | Long("files-with-matches") => search.show = Show::Names,
                Short('o') | Long("only-matching") => search.show = Show::Matches,
                Short('H') | Long("with-filename") => *shows_names = Some(true),
                Short('h') | Long("no-filename") => *shows_names = Some(false),
                Short('m') | Long("max-count") => {
                    search.matches_max = Some(number(&mut arguments, "max-count")?);
                }
                Short('B') | Long("before-context") => {
                    search.before = number(&mut arguments, "before-context")?;
                }
                Short('A') | Long("after-context") => {
                    search.after = number(&mut arguments, "after-context")?;
                }
                Short('C') | Long("context") => {
                    search.before = number(&mut arguments, "context")?;
                    search.after = search.before;
                }
                Value(pattern) if patterns.is_empty() => patterns.push(pattern.string()?),
                Value(name) => names.push(name),
                Short(_) | Long(_) => return Err(argument.unexpected().into()),
            }
        }
        if patterns.is_empty() {
            return Err(Failure::new("there is no pattern"));
        }
        Ok(asked)
    }
}
