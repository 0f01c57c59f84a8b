//! The search, a line at a time: only the lines that may be shown before a match are held.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};

use regex::bytes::Regex;

/// What is looked for and how it is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Search {
    /// Whether the lines that do not match are meant.
    pub(crate) is_inverted: bool,
    /// After so many lines the search ends.
    pub(crate) matches_max: Option<u64>,
    /// How many lines before each are shown as well.
    pub(crate) before: u64,
    /// How many lines after each are shown as well.
    pub(crate) after: u64,
    /// Whether the number of a line is shown.
    pub(crate) shows_numbers: bool,
    /// Whether the name of the file is shown.
    pub(crate) shows_names: bool,
    /// What is shown.
    pub(crate) show: Show,
}

/// What is shown of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Show {
    /// The lines.
    #[default]
    Lines,
    /// The parts of lines that match.
    Matches,
    /// How many lines there are.
    Count,
    /// The name of the file, if there are any.
    Names,
}

impl Search {
    /// Searches all of `input`, which is called `name`.
    pub(crate) fn run(
        self,
        regex: &Regex,
        name: &str,
        input: &mut dyn BufRead,
        output: &mut dyn Write,
    ) -> io::Result<()> {
        let mut page =
            Page { search: self, name, output, held: VecDeque::new(), after: 0, last: 0 };
        let (mut line, mut number, mut found) = (Vec::new(), 0, 0);
        while self.matches_max.is_none_or(|most| found < most) || page.after > 0 {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            number += 1;
            let content = line.strip_suffix(b"\n").unwrap_or(&line);
            let is_sought = self.matches_max.is_none_or(|most| found < most);
            if is_sought && regex.is_match(content) != self.is_inverted {
                found += 1;
                match self.show {
                    Show::Names => break,
                    Show::Count => {}
                    Show::Matches => page.matches(regex, number, content)?,
                    Show::Lines => page.line(number, content)?,
                }
            } else if self.show == Show::Lines {
                page.beside(number, content)?;
            }
        }
        match self.show {
            Show::Names if found > 0 => writeln!(output, "{name}"),
            Show::Count if self.shows_names => writeln!(output, "{name}:{found}"),
            Show::Count => writeln!(output, "{found}"),
            Show::Names | Show::Lines | Show::Matches => Ok(()),
        }
    }
}

/// The lines that are shown, with those beside them.
struct Page<'a> {
    search: Search,
    name: &'a str,
    output: &'a mut dyn Write,
    /// The last lines that were not shown, with their numbers.
    held: VecDeque<(u64, Vec<u8>)>,
    /// How many lines are still shown after the last match.
    after: u64,
    /// The number of the last line that was shown. 0: none was.
    last: u64,
}

impl Page<'_> {
    /// Shows a line that is meant, and those held before it.
    fn line(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let first = self.held.front().map_or(number, |(number, _)| *number);
        let has_context = self.search.before > 0 || self.search.after > 0;
        if has_context && self.last > 0 && first > self.last + 1 {
            self.output.write_all(b"--\n")?;
        }
        for (number, line) in std::mem::take(&mut self.held) {
            self.show(number, b'-', &line)?;
        }
        self.show(number, b':', line)?;
        self.after = self.search.after;
        Ok(())
    }

    /// Shows a line that comes soon after one that is meant, or holds it for the next.
    fn beside(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        if self.after > 0 {
            self.after -= 1;
            return self.show(number, b'-', line);
        }
        if self.search.before > 0 {
            if self.held.len() as u64 == self.search.before {
                self.held.pop_front();
            }
            self.held.push_back((number, line.to_owned()));
        }
        Ok(())
    }

    /// Shows each part of a line that matches. A line that is meant because it does not match has
    /// none.
    fn matches(&mut self, regex: &Regex, number: u64, line: &[u8]) -> io::Result<()> {
        for part in regex.find_iter(line).filter(|part| !part.is_empty()) {
            if !self.search.is_inverted {
                self.show(number, b':', part.as_bytes())?;
            }
        }
        Ok(())
    }

    fn show(&mut self, number: u64, mark: u8, text: &[u8]) -> io::Result<()> {
        let mark = char::from(mark);
        if self.search.shows_names {
            write!(self.output, "{}{mark}", self.name)?;
        }
        if self.search.shows_numbers {
            write!(self.output, "{number}{mark}")?;
        }
        self.last = number;
        self.output.write_all(text)?;
        self.output.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven";

    fn found(search: Search, pattern: &str) -> String {
        let mut output = Vec::new();
        let regex = Regex::new(pattern).unwrap();
        search.run(&regex, "a", &mut TEXT.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn lines_are_found() {
        assert_eq!(found(Search::default(), "^t"), "two\nthree\n");
        let inverted = Search { is_inverted: true, ..Search::default() };
        assert_eq!(found(inverted, "e|o|u"), "six\n");
        assert_eq!(found(Search::default(), "x{9}"), "");
    }

    #[test]
    fn names_and_numbers_are_told() {
        let search = Search { shows_numbers: true, shows_names: true, ..Search::default() };
        assert_eq!(found(search, "six|seven"), "a:6:six\na:7:seven\n");
        let search = Search { show: Show::Count, ..search };
        assert_eq!(found(search, "e"), "a:4\n");
        let search = Search { show: Show::Names, ..search };
        assert_eq!(found(search, "e"), "a\n");
        assert_eq!(found(search, "q"), "");
    }

    #[test]
    fn parts_are_shown_alone() {
        let search = Search { show: Show::Matches, ..Search::default() };
        assert_eq!(found(search, "[ei]v|x*"), "iv\nx\nev\n");
    }

    #[test]
    fn lines_beside_a_match_are_shown_once_with_a_mark_between_groups() {
        let search = Search { before: 1, after: 1, shows_numbers: true, ..Search::default() };
        assert_eq!(found(search, "two|three"), "1-one\n2:two\n3:three\n4-four\n");
        assert_eq!(found(search, "one|six"), "1:one\n2-two\n--\n5-five\n6:six\n7-seven\n");
        assert_eq!(found(search, "two|five"), "1-one\n2:two\n3-three\n4-four\n5:five\n6-six\n");
    }

    #[test]
    fn the_search_ends_after_so_many_lines() {
        let search = Search { matches_max: Some(1), after: 1, ..Search::default() };
        assert_eq!(found(search, "t"), "two\nthree\n");
        let none = Search { matches_max: Some(0), ..Search::default() };
        assert_eq!(found(none, "t"), "");
    }
}
