//! Counting lines, words, characters and bytes in one pass, in constant memory.

use std::io::{self, BufRead};
use std::ops::AddAssign;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) characters: u64,
    pub(crate) bytes: u64,
}

impl Counts {
    /// Counts all of `input`.
    pub(crate) fn of(input: &mut dyn BufRead) -> io::Result<Self> {
        let (mut counts, mut in_word) = (Self::default(), false);
        loop {
            let block = input.fill_buf()?;
            if block.is_empty() {
                return Ok(counts);
            }
            for byte in block {
                counts.lines += u64::from(*byte == b'\n');
                // Every byte of UTF-8 but those that go on with a character begins one.
                counts.characters += u64::from(byte & 0b1100_0000 != 0b1000_0000);
                let is_space = byte.is_ascii_whitespace() || *byte == 0x0b;
                counts.words += u64::from(!is_space && !in_word);
                in_word = !is_space;
            }
            let length = block.len();
            counts.bytes += length as u64;
            input.consume(length);
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.words += other.words;
        self.characters += other.characters;
        self.bytes += other.bytes;
    }
}

/// Which counts are shown. They stand in this order, whatever the order of the flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Columns {
    pub(crate) lines: bool,
    pub(crate) words: bool,
    pub(crate) characters: bool,
    pub(crate) bytes: bool,
}

impl Columns {
    /// Lines, words and bytes when nothing is asked for.
    pub(crate) fn or_usual(self) -> Self {
        if self.count() > 0 {
            return self;
        }
        Self { lines: true, words: true, characters: false, bytes: true }
    }

    /// How many columns there are.
    pub(crate) fn count(self) -> usize {
        [self.lines, self.words, self.characters, self.bytes].into_iter().filter(|on| *on).count()
    }

    /// The counts, each at least `width` wide.
    pub(crate) fn show(self, counts: &Counts, width: usize) -> String {
        let columns = [
            (self.lines, counts.lines),
            (self.words, counts.words),
            (self.characters, counts.characters),
            (self.bytes, counts.bytes),
        ];
        let shown = columns.into_iter().filter(|(is_shown, _)| *is_shown);
        shown.map(|(_, count)| format!("{count:width$}")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn words_and_characters_may_span_blocks() {
        let text = "grün ist\x0bdie\t Hoffnung\n\nlast";
        let expected = Counts { lines: 2, words: 5, characters: 28, bytes: 29 };
        for capacity in [1, 3, 100] {
            let mut input = BufReader::with_capacity(capacity, text.as_bytes());
            assert_eq!(Counts::of(&mut input).unwrap(), expected, "{capacity}");
        }
    }

    #[test]
    fn nothing_counts_nothing() {
        assert_eq!(Counts::of(&mut &b""[..]).unwrap(), Counts::default());
    }

    #[test]
    fn columns_keep_their_order_and_width() {
        let counts = Counts { lines: 1, words: 22, characters: 3, bytes: 4 };
        assert_eq!(Columns::default().or_usual().show(&counts, 3), "  1  22   4");
        let some = Columns { characters: true, lines: true, ..Columns::default() };
        assert_eq!(some.or_usual().show(&counts, 1), "1 3");
    }
}
