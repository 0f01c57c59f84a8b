//! The last part of what is read. Only as much is held as may be part of it.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};

use apflow_command::Failure;

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many lines.
    Lines(u64),
    /// All lines from this one on, counted from 1.
    LinesFrom(u64),
    /// So many bytes.
    Bytes(u64),
    /// All bytes from this one on, counted from 1.
    BytesFrom(u64),
}

impl Part {
    /// What is given when nothing is asked for.
    pub(crate) const USUAL: Self = Self::Lines(10);

    /// Reads `N` or `-N`, or `+N` for all lines from the Nth on.
    pub(crate) fn lines(text: &str) -> Result<Self, Failure> {
        let (number, is_from) = parse(text)?;
        Ok(if is_from { Self::LinesFrom(number) } else { Self::Lines(number) })
    }

    /// Reads `N` or `-N`, or `+N` for all bytes from the Nth on.
    pub(crate) fn bytes(text: &str) -> Result<Self, Failure> {
        let (number, is_from) = parse(text)?;
        Ok(if is_from { Self::BytesFrom(number) } else { Self::Bytes(number) })
    }

    /// Copies this part of `input`.
    pub(crate) fn copy(self, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines(count) => copy_lines(input, output, count),
            Self::Bytes(count) => copy_bytes(input, output, count),
            Self::LinesFrom(first) => {
                for _ in 1..first {
                    if input.skip_until(b'\n')? == 0 {
                        break;
                    }
                }
                io::copy(input, output).map(drop)
            }
            Self::BytesFrom(first) => {
                let before = first.saturating_sub(1);
                io::copy(&mut io::Read::take(&mut *input, before), &mut io::sink())?;
                io::copy(input, output).map(drop)
            }
        }
    }
}

/// The number, and whether it is counted from the beginning.
fn parse(text: &str) -> Result<(u64, bool), Failure> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let fault = || format!("`{text}` must be a whole number, with `+` before it or without");
    let number = digits.parse().map_err(|_| Failure::new(fault()))?;
    Ok((number, text.starts_with('+')))
}

fn copy_lines(input: &mut dyn BufRead, output: &mut dyn Write, count: u64) -> io::Result<()> {
    let mut held = VecDeque::new();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        held.push_back(line);
        let over = held.len() as u64 > count;
        // The line that is given up lends its memory to the next.
        line = if over { held.pop_front().unwrap_or_default() } else { Vec::new() };
        line.clear();
    }
    held.iter().try_for_each(|line| output.write_all(line))
}

fn copy_bytes(input: &mut dyn BufRead, output: &mut dyn Write, count: u64) -> io::Result<()> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut held: VecDeque<u8> = VecDeque::new();
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            break;
        }
        held.extend(&block[block.len().saturating_sub(count)..]);
        let length = block.len();
        input.consume(length);
        held.drain(..held.len().saturating_sub(count));
    }
    output.write_all(held.make_contiguous())
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
        assert_eq!(part(Part::Lines(2)), "\nfour");
        assert_eq!(part(Part::Lines(0)), "");
        assert_eq!(part(Part::Lines(9)), TEXT);
        assert_eq!(part(Part::Bytes(5)), "\nfour");
        assert_eq!(part(Part::Bytes(0)), "");
        assert_eq!(part(Part::Bytes(99)), TEXT);
    }

    #[test]
    fn all_from_one_on_are_given() {
        assert_eq!(part(Part::LinesFrom(2)), "two\n\nfour");
        assert_eq!(part(Part::LinesFrom(0)), TEXT);
        assert_eq!(part(Part::LinesFrom(9)), "");
        assert_eq!(part(Part::BytesFrom(10)), "four");
    }

    #[test]
    fn a_part_is_a_number_with_or_without_a_sign() {
        assert_eq!(Part::lines("3"), Ok(Part::Lines(3)));
        assert_eq!(Part::lines("-3"), Ok(Part::Lines(3)));
        assert_eq!(Part::bytes("+3"), Ok(Part::BytesFrom(3)));
        assert!(Part::lines("three").is_err());
    }
}
