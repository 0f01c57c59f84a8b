//! Points at a place in the text of a filter.

/// How much of a long line is shown on each side of the place, in characters.
const SIDE_CHARACTERS_MAX: usize = 60;

/// Where `part` begins in `whole`, if it is a slice of it.
pub(crate) fn offset_in(whole: &str, part: &str) -> Option<usize> {
    let offset = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (offset + part.len() <= whole.len() && whole.is_char_boundary(offset)).then_some(offset)
}

/// The line and the column of a byte offset, both from 1; the column counts characters.
pub(crate) fn line_and_column(whole: &str, offset: usize) -> (usize, usize) {
    let before = whole.get(..offset).unwrap_or(whole);
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}

/// Writes `message` with its place, and below it the line with a caret.
pub(crate) fn point(whole: &str, offset: usize, message: &str) -> String {
    let (line, column) = line_and_column(whole, offset);
    let text = whole.lines().nth(line - 1).unwrap_or_default();
    let first = (column - 1).saturating_sub(SIDE_CHARACTERS_MAX);
    let shown: String = text
        .chars()
        .skip(first)
        .take(2 * SIDE_CHARACTERS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let indent = " ".repeat(column - 1 - first);
    format!("`filter` at line {line}, column {column}: {message}\n  {shown}\n  {indent}^")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_by_where_it_is_and_not_by_what_it_says() {
        let whole = "a + a";
        assert_eq!(offset_in(whole, &whole[4..]), Some(4));
        assert_eq!(offset_in(whole, &whole[5..]), Some(5));
        assert_eq!(offset_in(whole, "elsewhere"), None);
    }

    #[test]
    fn the_caret_is_below_the_character() {
        let text = "map(.ü |\n\t.b c)";
        let offset = text.find('c').unwrap();
        let expected = "`filter` at line 2, column 5: what is `c`?\n   .b c)\n      ^";
        assert_eq!(point(text, offset, "what is `c`?"), expected);
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        assert_eq!(point("a\n", 2, "more"), "`filter` at line 2, column 1: more\n  \n  ^");
        assert_eq!(line_and_column("abc", 3), (1, 4));
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let text = format!("{}!{}", "x".repeat(500), "y".repeat(500));
        let lines: Vec<String> = point(&text, 500, "here").lines().map(str::to_owned).collect();
        assert_eq!(lines[1].find('!'), lines[2].find('^'));
        assert!(lines[1].len() < 130, "{}", lines[1]);
    }
}
