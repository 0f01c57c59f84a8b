//! What is drawn on a terminal again and again, below everything that is said meanwhile.
//!
//! Between two drawings the terminal is as it was found, with its cursor and its long lines: whatever
//! ends the process leaves nothing to be put right.

use std::fmt::Write;
use std::ops::Range;

/// A line that is drawn, with a mark in a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The text, without control characters, and no wider than the terminal.
    pub(crate) text: String,
    /// The bytes of the text that are the mark.
    pub(crate) mark: Range<usize>,
    /// The colour of the mark.
    pub(crate) colour: Colour,
}

/// A colour of the terminal's own, so that it fits what its owner chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Not so bright.
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

/// How many columns and rows a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// What is on the terminal now, and what is to be said above it.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// How many lines are drawn now.
    lines: usize,
    /// What was said since, each line with its end.
    said: String,
}

impl Screen {
    /// Keeps a text until the next drawing, which shows it above the lines.
    pub(crate) fn say(&mut self, text: &str) {
        self.said.push_str(text);
        self.said.push('\n');
    }

    /// What to write so that these lines take the place of those before, below what was said.
    pub(crate) fn draw(&mut self, lines: &[Line], has_colours: bool) -> String {
        let said = std::mem::take(&mut self.said);
        if self.lines == 0 && lines.is_empty() {
            return said;
        }
        // Without a cursor that jumps about.
        let mut text = "\x1b[?25l".to_owned();
        if self.lines > 0 {
            _ = write!(text, "\x1b[{}F", self.lines);
        }
        // What is below goes first: long lines that are said may need its place.
        text += "\x1b[J";
        text += &said;
        // A line that turns out to be wider than it was counted must not become two.
        text += "\x1b[?7l";
        for line in lines {
            text += &line.painted(has_colours);
            text += "\n";
        }
        text += "\x1b[?7h\x1b[?25h";
        self.lines = lines.len();
        text
    }
}

impl Line {
    fn painted(&self, has_colours: bool) -> String {
        let Range { start, end } = self.mark;
        let parts = (self.text.get(..start), self.text.get(start..end), self.text.get(end..));
        let (Some(before), Some(mark), Some(after)) = parts else { return self.text.clone() };
        if !has_colours || mark.is_empty() {
            return self.text.clone();
        }
        format!("{before}\x1b[{}m{mark}\x1b[0m{after}", self.colour.code())
    }
}

impl Colour {
    /// The number for it in ECMA-48, "select graphic rendition".
    const fn code(self) -> u8 {
        match self {
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, mark: Range<usize>) -> Line {
        Line { text: text.to_owned(), mark, colour: Colour::Red }
    }

    #[test]
    fn what_is_said_stands_above_what_is_drawn() {
        let mut screen = Screen::default();
        let two = [line("one", 0..0), line("two", 0..0)];
        assert_eq!(screen.draw(&two, true), "\x1b[?25l\x1b[J\x1b[?7lone\ntwo\n\x1b[?7h\x1b[?25h");
        screen.say("hello");
        let again = screen.draw(&two[..1], true);
        assert_eq!(again, "\x1b[?25l\x1b[2F\x1b[Jhello\n\x1b[?7lone\n\x1b[?7h\x1b[?25h");
        screen.say("bye");
        assert_eq!(screen.draw(&[], true), "\x1b[?25l\x1b[1F\x1b[Jbye\n\x1b[?7l\x1b[?7h\x1b[?25h");
        screen.say("plain");
        assert_eq!(screen.draw(&[], true), "plain\n");
    }

    #[test]
    fn only_the_mark_has_a_colour_and_none_without_colours() {
        let line = line("a ✗ b", 2..5);
        assert_eq!(line.painted(true), "a \x1b[31m✗\x1b[0m b");
        assert_eq!(line.painted(false), "a ✗ b");
    }
}
