//! Runs of lines that are the same: two lines are held at a time.

use std::io::{self, BufRead, Write};

/// When two lines are the same.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Compare {
    /// Whether `A` and `a` are the same.
    pub(crate) ignores_case: bool,
    /// How many fields are left out at the beginning: blanks, and then what is not blank.
    pub(crate) fields_skipped: u64,
    /// How many bytes are left out after those.
    pub(crate) bytes_skipped: u64,
}

impl Compare {
    fn are_same(self, left: &[u8], right: &[u8]) -> bool {
        let (left, right) = (self.compared(left), self.compared(right));
        if self.ignores_case { left.eq_ignore_ascii_case(right) } else { left == right }
    }

    fn compared(self, line: &[u8]) -> &[u8] {
        let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
        for _ in 0..self.fields_skipped {
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let field = rest.iter().position(|byte| !is_blank(byte)).unwrap_or(rest.len());
            let end = rest[field..].iter().position(is_blank).map_or(rest.len(), |at| field + at);
            rest = &rest[end..];
            if rest.is_empty() {
                break;
            }
        }
        let skipped = usize::try_from(self.bytes_skipped).unwrap_or(usize::MAX);
        &rest[skipped.min(rest.len())..]
    }
}

/// What is shown of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Show {
    /// How long it is.
    pub(crate) count: bool,
    /// Nothing when it has one line.
    pub(crate) repeated_only: bool,
    /// Nothing when it has more lines than one.
    pub(crate) unique_only: bool,
}

impl Show {
    fn write(self, line: &[u8], count: u64, output: &mut dyn Write) -> io::Result<()> {
        let is_hidden = (self.repeated_only && count == 1) || (self.unique_only && count > 1);
        if is_hidden || count == 0 {
            return Ok(());
        }
        if self.count {
            write!(output, "{count:7} ")?;
        }
        output.write_all(line)?;
        if line.ends_with(b"\n") { Ok(()) } else { output.write_all(b"\n") }
    }
}

/// Writes the first line of every run in `input`.
pub(crate) fn write(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    compare: Compare,
    show: Show,
) -> io::Result<()> {
    let (mut first, mut count, mut line) = (Vec::new(), 0, Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        if count > 0 && compare.are_same(&first, &line) {
            count += 1;
        } else {
            show.write(&first, count, output)?;
            std::mem::swap(&mut first, &mut line);
            count = 1;
        }
        line.clear();
    }
    show.write(&first, count, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a\na\nA\nb\nb\nb\n\nc";

    fn runs(text: &str, compare: Compare, show: Show) -> String {
        let mut output = Vec::new();
        write(&mut text.as_bytes(), &mut output, compare, show).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_run_is_shown_once() {
        let show = Show::default();
        assert_eq!(runs(TEXT, Compare::default(), show), "a\nA\nb\n\nc\n");
        let compare = Compare { ignores_case: true, ..Compare::default() };
        assert_eq!(runs(TEXT, compare, show), "a\nb\n\nc\n");
        assert_eq!(runs("", compare, show), "");
    }

    #[test]
    fn runs_are_counted_and_chosen_by_their_length() {
        let counted = Show { count: true, ..Show::default() };
        let text = runs("a\na\nb\n", Compare::default(), counted);
        assert_eq!(text, "      2 a\n      1 b\n");
        let repeated = Show { repeated_only: true, ..Show::default() };
        assert_eq!(runs(TEXT, Compare::default(), repeated), "a\nb\n");
        let unique = Show { unique_only: true, ..Show::default() };
        assert_eq!(runs(TEXT, Compare::default(), unique), "A\n\nc\n");
    }

    #[test]
    fn what_is_skipped_is_not_compared() {
        let compare = Compare { fields_skipped: 1, bytes_skipped: 2, ..Compare::default() };
        assert_eq!(runs("1 xa\n22 ya\n3 yb\n", compare, Show::default()), "1 xa\n3 yb\n");
        let many = Compare { fields_skipped: u64::MAX, ..Compare::default() };
        assert_eq!(runs("a\nb\n", many, Show::default()), "a\n");
    }
}
