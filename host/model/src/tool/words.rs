//! The words that a command is called with.
//!
//! There is no shell: a word is what its program gets, whatever is in it.

use serde_json::Value;

use super::values::{Values, text};
use super::{Flag, Template};

/// The words of a command: its flags, then its arguments.
///
/// # Errors
///
/// A sentence about a value that the program would take for a flag.
pub(super) fn of(
    flags: &[Flag],
    argv: &[Template],
    stdin: Option<&Template>,
    values: Values<'_>,
) -> Result<Vec<String>, String> {
    let placed: Vec<&str> = argv.iter().chain(stdin).flat_map(Template::arguments).collect();
    let mut given = Vec::new();
    for flag in flags.iter().filter(|flag| !placed.contains(&flag.key().as_str())) {
        add_flag(&mut given, flag, values)?;
    }
    let mut words = Vec::new();
    if !argv.iter().any(Template::is_flags) {
        words.append(&mut given);
    }
    // What comes after `--` is no flag to any program.
    let mut is_past_flags = false;
    for template in argv {
        let filled = fill(template, &mut given, values);
        if template.begins_with_place() && !template.is_flags() && !is_past_flags {
            filled.iter().try_for_each(|word| refuse_flag(word))?;
        }
        is_past_flags |= filled == ["--"];
        words.extend(filled);
    }
    match words.iter().find(|word| word.contains('\0')) {
        Some(word) => Err(format!("{word:?} holds a NUL character, which no argument may hold")),
        None => Ok(words),
    }
}

/// The words of one template: none for what is not given, several for a list.
fn fill(template: &Template, flags: &mut Vec<String>, values: Values<'_>) -> Vec<String> {
    if template.is_flags() {
        return std::mem::take(flags);
    }
    match template.place().and_then(|name| values.get(name)) {
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        _ => template.fill(|name| values.text(name)).into_iter().collect(),
    }
}

fn refuse_flag(word: &str) -> Result<(), String> {
    // A dash alone is a name for standard input.
    if !word.starts_with('-') || word == "-" {
        return Ok(());
    }
    Err(format!(
        "{word:?} begins with `-`, so the program would take it for a flag: the tool must put `--` \
         before its place"
    ))
}

/// Adds a flag that is given, and its value.
fn add_flag(words: &mut Vec<String>, flag: &Flag, values: Values<'_>) -> Result<(), String> {
    let Some(value) = values.get(&flag.key()) else { return Ok(()) };
    let name = &flag.flag;
    if !flag.has_argument {
        words.push(name.clone());
        return Ok(());
    }
    let value = text(value);
    // A value like a flag goes into the word of its own, where it cannot be one.
    if !value.starts_with('-') {
        words.extend([name.clone(), value]);
    } else if name.starts_with("--") {
        words.push(format!("{name}={value}"));
    } else if name.starts_with('-') && name.len() == 2 {
        words.push(format!("{name}{value}"));
    } else {
        refuse_flag(&value)?;
        words.extend([name.clone(), value]);
    }
    Ok(())
}
