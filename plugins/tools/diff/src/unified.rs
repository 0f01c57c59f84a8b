//! Differences in the unified format, which `patch` reads.

use std::io::{self, Write};

use similar::udiff::UnifiedHunkHeader;
use similar::{Algorithm, DiffOp, capture_diff_slices_by_key, group_diff_ops};

/// More lines than this around a difference are all lines.
const CONTEXT_LINES_MAX: usize = 1 << 30;

/// One of two texts.
pub(crate) struct Side {
    /// What it is called.
    pub(crate) name: String,
    /// The text.
    pub(crate) text: String,
}

/// What counts as a difference, and how it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// How many lines that are the same are shown around a difference.
    pub(crate) context: usize,
    /// Whether only the fact is told.
    pub(crate) is_brief: bool,
    /// Whether white space counts for nothing.
    pub(crate) ignores_space: bool,
    /// Whether `A` and `a` are the same.
    pub(crate) ignores_case: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { context: 3, is_brief: false, ignores_space: false, ignores_case: false }
    }
}

impl Style {
    /// A line as it is compared.
    fn compared(self, line: &str) -> String {
        let is_kept = |c: &char| !self.ignores_space || !c.is_whitespace();
        let line: String = line.chars().filter(is_kept).collect();
        if self.ignores_case { line.to_lowercase() } else { line }
    }
}

/// Writes how `new` differs from `old`; nothing when it does not.
pub(crate) fn write(
    old: &Side,
    new: &Side,
    style: Style,
    output: &mut dyn Write,
) -> io::Result<()> {
    let (old_lines, new_lines) = (lines(&old.text), lines(&new.text));
    let key = |line: &&str| style.compared(line);
    let changes = capture_diff_slices_by_key(Algorithm::Myers, &old_lines, &new_lines, key);
    if changes.iter().all(|change| matches!(change, DiffOp::Equal { .. })) {
        return Ok(());
    }
    if style.is_brief {
        return writeln!(output, "Files {} and {} differ", old.name, new.name);
    }
    writeln!(output, "--- {}\n+++ {}", old.name, new.name)?;
    for hunk in group_diff_ops(changes, style.context.min(CONTEXT_LINES_MAX)) {
        writeln!(output, "{}", UnifiedHunkHeader::new(&hunk))?;
        for change in hunk {
            if let DiffOp::Equal { .. } = change {
                write_lines(output, ' ', &old_lines[change.old_range()])?;
            } else {
                write_lines(output, '-', &old_lines[change.old_range()])?;
                write_lines(output, '+', &new_lines[change.new_range()])?;
            }
        }
    }
    Ok(())
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn write_lines(output: &mut dyn Write, mark: char, lines: &[&str]) -> io::Result<()> {
    for line in lines {
        write!(output, "{mark}{line}")?;
        if !line.ends_with('\n') {
            output.write_all(b"\n\\ No newline at end of file\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str, style: Style) -> String {
        let side = |name: &str, text: &str| Side { name: name.to_owned(), text: text.to_owned() };
        let mut output = Vec::new();
        write(&side("a", old), &side("b", new), style, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_change_is_shown_with_the_lines_around_it() {
        let (old, new) = ("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n");
        let expected = "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
        assert_eq!(diff(old, new, Style::default()), expected);
        let bare = Style { context: 0, ..Style::default() };
        assert_eq!(diff(old, new, bare), "--- a\n+++ b\n@@ -5 +5 @@\n-5\n+five\n");
        let all = Style { context: usize::MAX, ..Style::default() };
        assert!(diff(old, new, all).contains("@@ -1,9 +1,9 @@"));
    }

    #[test]
    fn what_is_the_same_is_nothing() {
        assert_eq!(diff("a\n", "a\n", Style::default()), "");
        let lax = Style { ignores_space: true, ignores_case: true, ..Style::default() };
        assert_eq!(diff("a b\n", "AB\n", lax), "");
    }

    #[test]
    fn a_last_line_without_an_end_is_told() {
        let expected = "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n";
        assert_eq!(diff("a\n", "a", Style::default()), expected);
    }

    #[test]
    fn a_brief_difference_is_one_line() {
        let brief = Style { is_brief: true, ..Style::default() };
        assert_eq!(diff("a", "b", brief), "Files a and b differ\n");
    }
}
