//! The tool `sort`: sorts the lines of all its files together.
//!
//! This file reads the command line; the order of lines is in `compare.rs`.

mod compare;
mod key;
mod order;

use std::cmp::Ordering;
use std::io::Write;
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, run};

use crate::compare::Compare;
use crate::key::Key;

fn main() -> ExitCode {
    run("sort", sort)
}

fn sort(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut compare, mut names) = (Compare::default(), Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('k') | Long("key") => {
                compare.keys.push(Key::parse(&arguments.value()?.string()?)?);
            }
            Short('t') | Long("field-separator") => {
                compare.separator = Some(separator(&arguments.value()?.string()?)?);
            }
            Short('u') | Long("unique") => compare.is_unique = true,
            Short('s') | Long("stable") => compare.is_stable = true,
            Short('n') | Long("numeric-sort") => compare.order.set('n')?,
            Short('g') | Long("general-numeric-sort") => compare.order.set('g')?,
            Short('f') | Long("ignore-case") => compare.order.set('f')?,
            Short('b') | Long("ignore-leading-blanks") => compare.order.set('b')?,
            Short('r') | Long("reverse") => compare.order.set('r')?,
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    compare.inherit();
    let mut text = Vec::new();
    for input in Input::all(names) {
        input.open()?.read_to_end(&mut text)?;
        // The last line of a file does not run on into the first of the next.
        if text.last().is_some_and(|byte| *byte != b'\n') {
            text.push(b'\n');
        }
    }
    write(&text, &compare, output)
}

fn separator(text: &str) -> Result<u8, Failure> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Failure::new(format!("the field separator is `{text}`, but must be one byte"))),
    }
}

fn write(text: &[u8], compare: &Compare, output: &mut dyn Write) -> Result<(), Failure> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_by(|left, right| compare.lines(left, right));
    if compare.is_unique {
        lines.dedup_by(|right, left| compare.lines(left, right) == Ordering::Equal);
    }
    for line in lines {
        output.write_all(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::order::Order;

    use super::*;

    fn sorted(text: &str, keys: &[&str], letters: &str, is_unique: bool) -> String {
        let mut order = Order::default();
        letters.chars().for_each(|letter| order.set(letter).unwrap());
        let keys = keys.iter().map(|key| Key::parse(key).unwrap()).collect();
        let mut compare = Compare { keys, order, is_unique, ..Compare::default() };
        compare.inherit();
        let mut output = Vec::new();
        write(text.as_bytes(), &compare, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn lines_are_sorted_by_their_bytes() {
        assert_eq!(sorted("b\na\nB\n\n", &[], "", false), "\nB\na\nb\n");
        assert_eq!(sorted("b\na\nB\n", &[], "r", false), "b\na\nB\n");
        assert_eq!(sorted("b\na\nB\n", &[], "f", false), "a\nB\nb\n");
    }

    #[test]
    fn what_is_equal_by_its_key_is_dropped_or_sorted_whole() {
        assert_eq!(sorted("1 b\n1 a\n0 c\n", &["1,1n"], "", false), "0 c\n1 a\n1 b\n");
        assert_eq!(sorted("1 b\n1 a\n0 c\n", &["1,1n"], "", true), "0 c\n1 b\n");
        assert_eq!(sorted("a\nb\na\n", &[], "", true), "a\nb\n");
    }

    #[test]
    fn several_keys_are_taken_one_after_the_other() {
        let text = "x 1 b\ny 2 a\nz 1 a\n";
        assert_eq!(sorted(text, &["2,2nr", "3"], "", false), "y 2 a\nz 1 a\nx 1 b\n");
    }
}
