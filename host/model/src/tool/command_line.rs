//! What somebody types after a tool's name, as inputs of a task.

use serde_json::{Map, Value};

use super::{Argument, Flag, Tool, ValueType};
use crate::likeness::nearest;

/// How alike two flags must be for one to be suggested for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

impl Tool {
    /// Reads words as a command line of this tool: its arguments in their order, a list last taking
    /// all the rest, and its flags by their own names wherever they stand. After `--` no word is a
    /// flag.
    ///
    /// # Errors
    ///
    /// A sentence about the first word that has no place.
    pub fn read_command_line(&self, words: &[String]) -> Result<Map<String, Value>, String> {
        let mut inputs = Map::new();
        let mut places = self.arguments.iter().peekable();
        let mut words = words.iter();
        let mut is_past_flags = false;
        while let Some(word) = words.next() {
            let is_number = word.parse::<f64>().is_ok();
            if is_past_flags || word == "-" || is_number || !word.starts_with('-') {
                let Some(argument) = places.next() else {
                    return Err(format!("{word:?} is too much: {}", self.usage()));
                };
                if argument.value_type == ValueType::Array && places.peek().is_none() {
                    let list = inputs.entry(&argument.name).or_insert_with(|| Value::Array(vec![]));
                    if let Value::Array(items) = list {
                        items.push(word.as_str().into());
                        items.extend(words.by_ref().map(|word| Value::from(word.as_str())));
                    }
                } else {
                    inputs.insert(argument.name.clone(), read(argument, word)?);
                }
            } else if word == "--" {
                is_past_flags = true;
            } else {
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (word.as_str(), None),
                };
                let flag = self.flag_called(name)?;
                let value = match (flag.has_argument, value) {
                    (true, Some(value)) => value.into(),
                    (true, None) => {
                        let next = words.next();
                        next.ok_or_else(|| format!("`{name}` needs a value"))?.as_str().into()
                    }
                    (false, None) => true.into(),
                    (false, Some(_)) => return Err(format!("`{name}` takes no value")),
                };
                inputs.insert(flag.key(), value);
            }
        }
        Ok(inputs)
    }

    /// How it is called, in a line.
    pub fn usage(&self) -> String {
        let flags = self.flags.iter().map(|flag| {
            let value = if flag.has_argument { " VALUE" } else { "" };
            format!(" [{}{value}]", flag.flag)
        });
        let arguments = self.arguments.iter().map(|argument| {
            let name = argument.name.to_uppercase();
            let many = if argument.value_type == ValueType::Array { "…" } else { "" };
            if argument.required { format!(" {name}{many}") } else { format!(" [{name}{many}]") }
        });
        let parts: String = flags.chain(arguments).collect();
        format!("{}{parts}", self.name)
    }

    fn flag_called(&self, name: &str) -> Result<&Flag, String> {
        // One that is declared as a word is typed with dashes all the same.
        let is_called = |flag: &&Flag| {
            flag.flag == name
                || !flag.flag.starts_with('-') && name.strip_prefix("--") == Some(&flag.flag)
        };
        self.flags.iter().find(is_called).ok_or_else(|| {
            let known = self.flags.iter().map(|flag| flag.flag.as_str());
            match nearest(name, known, LIKENESS_MIN) {
                Some(other) => format!("there is no flag `{name}`: did you mean `{other}`?"),
                None => format!("there is no flag `{name}`: {}", self.usage()),
            }
        })
    }
}

fn read(argument: &Argument, word: &str) -> Result<Value, String> {
    let (name, expected) = (&argument.name, argument.value_type);
    if expected == ValueType::String {
        return Ok(word.into());
    }
    let read = serde_json::from_str(word).ok().filter(|value| expected.accepts(value));
    // Of what may be anything, what is not JSON is a text.
    let read = read.or_else(|| (expected == ValueType::Any).then(|| word.into()));
    read.ok_or_else(|| format!("`{name}` is {word:?}, but must be of the type {}", expected.name()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOOL: &str = "\
name: head
version: 1.0.0
description: The first lines.
category: utility
input_schema:
  arguments:
    - { name: skip, type: integer, required: true }
    - { name: value, type: any }
    - { name: files, type: array }
  flags: [{ flag: -n, has_argument: true }, { flag: --quiet }, { flag: zero }]
";

    fn line(words: &[&str]) -> Result<Value, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Tool::parse(TOOL, None).unwrap().read_command_line(&words).map(Value::Object)
    }

    #[test]
    fn words_are_arguments_in_order_and_flags_by_name() {
        let inputs = line(&["-n", "-5", "-1", "--quiet", "[1]", "a", "-b"]);
        assert_eq!(
            inputs,
            Ok(json!({ "n": "-5", "skip": -1, "quiet": true, "value": [1], "files": ["a", "-b"] }))
        );
        let inputs = line(&["-n=3", "--zero", "--", "7", "any", "--quiet"]);
        assert_eq!(
            inputs,
            Ok(json!({ "n": "3", "zero": true, "skip": 7, "value": "any", "files": ["--quiet"] }))
        );
    }

    #[test]
    fn a_word_without_a_place_is_told_with_what_there_is() {
        assert!(line(&["--quite"]).unwrap_err().ends_with("did you mean `--quiet`?"));
        assert!(line(&["x"]).unwrap_err().contains("type integer"));
        assert_eq!(line(&["-n"]).unwrap_err(), "`-n` needs a value");
        assert_eq!(line(&["--quiet=1"]).unwrap_err(), "`--quiet` takes no value");
        let usage = Tool::parse(TOOL, None).unwrap().usage();
        assert_eq!(usage, "head [-n VALUE] [--quiet] [zero] SKIP [VALUE] [FILES…]");
    }
}
