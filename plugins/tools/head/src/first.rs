//! The first part of what is read. Nothing is read beyond it, unless it is counted from the end.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};

use apflow_command::Failure;

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many lines.
    Lines(u64),
    /// All lines but so many.
    LinesBut(u64),
    /// So many bytes.
    Bytes(u64),
    /// All bytes but so many.
    BytesBut(u64),
}

impl Part {
    /// What is given when nothing is asked for.
    pub(crate) const USUAL: Self = Self::Lines(10);

    /// Reads `N`, or `-N` for all lines but the last N.
    pub(crate) fn lines(text: &str) -> Result<Self, Failure> {
        Ok(match text.strip_prefix('-') {
            Some(rest) => Self::LinesBut(parse(text, rest)?),
            None => Self::Lines(parse(text, text)?),
        })
    }

    /// Reads `N`, or `-N` for all bytes but the last N.
    pub(crate) fn bytes(text: &str) -> Result<Self, Failure> {
        Ok(match text.strip_prefix('-') {
            Some(rest) => Self::BytesBut(parse(text, rest)?),
            None => Self::Bytes(parse(text, text)?),
        })
    }

    /// Copies this part of `input`.
    pub(crate) fn copy(self, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines(count) => copy_lines(input, output, count),
            Self::Bytes(count) => io::copy(&mut input.take(count), output).map(drop),
            Self::LinesBut(count) => copy_lines_but(input, output, count),
            Self::BytesBut(count) => copy_bytes_but(input, output, count),
        }
    }
}

fn parse(text: &str, digits: &str) -> Result<u64, Failure> {
    let fault = || format!("`{text}` must be a whole number, with `-` before it or without");
    digits.parse().map_err(|_| Failure::new(fault()))
}

fn copy_lines(input: &mut dyn BufRead, output: &mut dyn Write, count: u64) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let block = input.fill_buf()?;
        if block.is_empty() {
            break;
        }
        let mut end = 0;
        while left > 0 && end < block.len() {
            match block[end..].iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    end += at + 1;
                    left -= 1;
                }
                None => end = block.len(),
            }
        }
        output.write_all(&block[..end])?;
        input.consume(end);
    }
    Ok(())
}

/// A line is written once so many others came after it, so only those are held.
fn copy_lines_but(input: &mut dyn BufRead, output: &mut dyn Write, count: u64) -> io::Result<()> {
    let mut held = VecDeque::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        held.push_back(line);
        if held.len() as u64 > count {
            output.write_all(&held.pop_front().unwrap_or_default())?;
        }
    }
}

fn copy_bytes_but(input: &mut dyn BufRead, output: &mut dyn Write, count: u64) -> io::Result<()> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut held = Vec::new();
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            return Ok(());
        }
        held.extend_from_slice(block);
        let length = block.len();
        input.consume(length);
        let known = held.len().saturating_sub(count);
        output.write_all(&held[..known])?;
        held.drain(..known);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    const TEXT: &str = "one\ntwo\n\nfour";

    fn part(part: Part) -> String {
        let mut output = Vec::new();
        let mut input = BufReader::with_capacity(3, TEXT.as_bytes());
        part.copy(&mut input, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn so_many_lines_or_bytes_are_given() {
        assert_eq!(part(Part::Lines(2)), "one\ntwo\n");
        assert_eq!(part(Part::Lines(0)), "");
        assert_eq!(part(Part::Lines(9)), TEXT);
        assert_eq!(part(Part::Bytes(5)), "one\nt");
    }

    #[test]
    fn all_but_the_last_are_given() {
        assert_eq!(part(Part::LinesBut(1)), "one\ntwo\n\n");
        assert_eq!(part(Part::LinesBut(0)), TEXT);
        assert_eq!(part(Part::LinesBut(9)), "");
        assert_eq!(part(Part::BytesBut(6)), "one\ntwo");
    }

    #[test]
    fn nothing_is_read_beyond_what_is_given() {
        struct Ends;
        impl Read for Ends {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("read on"))
            }
        }
        let mut input = BufReader::new(b"a\nb\n".chain(Ends));
        Part::Lines(2).copy(&mut input, &mut Vec::new()).unwrap();
    }

    #[test]
    fn a_part_is_a_number_or_one_less() {
        assert_eq!(Part::lines("3"), Ok(Part::Lines(3)));
        assert_eq!(Part::bytes("-3"), Ok(Part::BytesBut(3)));
        assert!(Part::lines("three").is_err());
    }
}
