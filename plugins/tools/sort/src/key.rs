//! Keys: which part of a line is compared, as in `2.3,4nr`.

use apflow_command::Failure;

use crate::order::{Order, blanks, is_blank};

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    from: Place,
    /// None: to the end of the line.
    to: Option<Place>,
    /// How it is compared. None: as the whole sort is.
    pub(crate) order: Option<Order>,
}

/// A place in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The field, from 1.
    field: usize,
    /// The byte in it, from 1. 0: its end.
    byte: usize,
    /// Whether bytes are counted after the blanks before the field.
    skips_blanks: bool,
}

impl Key {
    /// Reads `FIELD[.BYTE][LETTERS][,FIELD[.BYTE][LETTERS]]`.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with the text of the key when it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let fault = || {
            Failure::new(format!(
                "the key is `{text}`, but must be like `2`, `2,2`, `2n` or `1.3,2r`"
            ))
        };
        let (from, to) = match text.split_once(',') {
            Some((from, to)) => (from, Some(to)),
            None => (text, None),
        };
        let mut order = None;
        let from = Place::parse(from, 1, &mut order).ok_or_else(fault)?;
        if from.byte == 0 {
            return Err(fault());
        }
        let to = to.map(|to| Place::parse(to, 0, &mut order).ok_or_else(fault)).transpose()?;
        Ok(Self { from, to, order })
    }

    /// The part of `line`, which has no end of line.
    pub(crate) fn of<'a>(
        &self,
        line: &'a [u8],
        separator: Option<u8>,
        skips_blanks: bool,
    ) -> &'a [u8] {
        let start = self.from.start(line, separator, skips_blanks);
        let end = self.to.map_or(line.len(), |to| to.end(line, separator, skips_blanks));
        &line[start..end.max(start)]
    }
}

impl Place {
    /// Reads a place, and adds the letters after it to `order`.
    fn parse(text: &str, byte_usual: usize, order: &mut Option<Order>) -> Option<Self> {
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (place, letters) = text.split_at(end);
        let (field, byte) = match place.split_once('.') {
            Some((field, byte)) => (field, byte.parse().ok()?),
            None => (place, byte_usual),
        };
        let field = field.parse().ok().filter(|field| *field > 0)?;
        for letter in letters.chars() {
            let order = order.get_or_insert_with(Order::default);
            // Blanks are skipped for this end of the key alone.
            if letter != 'b' {
                order.set(letter).ok()?;
            }
        }
        Some(Self { field, byte, skips_blanks: letters.contains('b') })
    }

    fn start(self, line: &[u8], separator: Option<u8>, skips_blanks: bool) -> usize {
        let field = field(line, self.field, separator);
        let blanks = if self.skips_blanks || skips_blanks { blanks(&line[field.0..]) } else { 0 };
        field.0.saturating_add(blanks).saturating_add(self.byte - 1).min(line.len())
    }

    fn end(self, line: &[u8], separator: Option<u8>, skips_blanks: bool) -> usize {
        let field = field(line, self.field, separator);
        if self.byte == 0 {
            return field.1;
        }
        let blanks = if self.skips_blanks || skips_blanks { blanks(&line[field.0..]) } else { 0 };
        field.0.saturating_add(blanks).saturating_add(self.byte).min(line.len())
    }
}

/// Where a field, counted from 1, begins and ends. Without a separator, the blanks before a field
/// belong to it. One that is not there is empty, at the end.
fn field(line: &[u8], number: usize, separator: Option<u8>) -> (usize, usize) {
    let mut start = 0;
    for left in (0..number).rev() {
        let end = if let Some(separator) = separator {
            line[start..].iter().position(|byte| *byte == separator).map(|at| start + at)
        } else {
            let word = start + blanks(&line[start..]);
            line[word..].iter().position(|byte| is_blank(*byte)).map(|at| word + at)
        };
        match end {
            _ if left == 0 => return (start, end.unwrap_or(line.len())),
            Some(end) => start = end + usize::from(separator.is_some()),
            None => break,
        }
    }
    (line.len(), line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part<'a>(key: &str, line: &'a str, separator: Option<u8>) -> &'a str {
        let part = Key::parse(key).unwrap().of(line.as_bytes(), separator, false);
        std::str::from_utf8(part).unwrap()
    }

    #[test]
    fn a_field_is_found_by_blanks_or_by_a_separator() {
        assert_eq!(part("2", "a  bc d", None), "  bc d");
        assert_eq!(part("2,2", "a  bc d", None), "  bc");
        assert_eq!(part("2b,2", "a  bc d", None), "bc");
        assert_eq!(part("2,2", "a,,c", Some(b',')), "");
        assert_eq!(part("3,3", "a,,c", Some(b',')), "c");
        assert_eq!(part("9", "a b", None), "");
    }

    #[test]
    fn bytes_are_counted_within_their_field() {
        assert_eq!(part("2.2,2.3", "a,wxyz", Some(b',')), "xy");
        assert_eq!(part("1.2,1.2", "abc", None), "b");
        assert_eq!(part("2.9", "a,b", Some(b',')), "");
    }

    #[test]
    fn what_is_no_key_is_a_fault() {
        for key in ["", "0", "a", "1,", "1.0", "1x", "1,0", "-1"] {
            assert!(Key::parse(key).is_err(), "{key}");
        }
    }
}
