//! The order of two texts: by their bytes, or by the numbers in them.

use std::cmp::Ordering;

use apflow_command::Failure;

/// How two texts are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Order {
    by: By,
    ignores_case: bool,
    /// Whether blanks before a text do not count.
    pub(crate) skips_blanks: bool,
    /// Whether the order is turned round.
    pub(crate) is_reversed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum By {
    #[default]
    Bytes,
    /// Digits with a point, as exact as they are written.
    Number,
    /// As floating point, exponents included.
    Float,
}

impl Order {
    /// Takes a letter as it stands after a key: `n`, `g`, `f`, `b` or `r`.
    ///
    /// # Errors
    ///
    /// A [`Failure`] for any other letter.
    pub(crate) fn set(&mut self, letter: char) -> Result<(), Failure> {
        match letter {
            'n' => self.by = By::Number,
            'g' => self.by = By::Float,
            'f' => self.ignores_case = true,
            'b' => self.skips_blanks = true,
            'r' => self.is_reversed = true,
            other => return Err(Failure::new(format!("there is no order `{other}`"))),
        }
        Ok(())
    }

    /// The order of two texts.
    pub(crate) fn compare(self, left: &[u8], right: &[u8]) -> Ordering {
        let skip = |text| if self.skips_blanks { trim(text) } else { text };
        let (left, right) = (skip(left), skip(right));
        let ordering = match self.by {
            By::Number => Number::read(left).compare(&Number::read(right)),
            By::Float => float(left).total_cmp(&float(right)),
            By::Bytes if self.ignores_case => {
                let upper = |text: &[u8]| text.iter().map(u8::to_ascii_uppercase).collect();
                let (left, right): (Vec<u8>, Vec<u8>) = (upper(left), upper(right));
                left.cmp(&right)
            }
            By::Bytes => left.cmp(right),
        };
        if self.is_reversed { ordering.reverse() } else { ordering }
    }
}

/// How many blanks a text begins with.
pub(crate) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_blank(**byte)).count()
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(text: &[u8]) -> &[u8] {
    &text[blanks(text)..]
}

/// The number that a text begins with; what begins with none comes first.
fn float(text: &[u8]) -> f64 {
    let text = trim(text);
    let is_part =
        |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let length = text.iter().take_while(is_part).count();
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let whole = (1..=length).rev().find_map(|end| text[..end].parse::<f64>().ok());
    // Zero and minus zero are one number.
    whole.map_or(f64::NEG_INFINITY, |number| number + 0.0)
}

/// A number as it is written, so that none is too long or too exact.
#[derive(Debug, PartialEq, Eq)]
struct Number<'a> {
    is_negative: bool,
    /// Without zeros at its beginning.
    whole: &'a [u8],
    /// Without zeros at its end.
    fraction: &'a [u8],
}

impl<'a> Number<'a> {
    /// Reads the number that a text begins with; one that begins with none is zero.
    fn read(text: &'a [u8]) -> Self {
        let text = trim(text);
        let (is_negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, rest) = text.split_at(digits(text));
        let fraction = rest.strip_prefix(b".").map_or(&b""[..], |rest| &rest[..digits(rest)]);
        let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
        let end = fraction.iter().rposition(|byte| *byte != b'0').map_or(0, |at| at + 1);
        let (whole, fraction) = (&whole[zeros..], &fraction[..end]);
        let is_zero = whole.is_empty() && fraction.is_empty();
        Self { is_negative: is_negative && !is_zero, whole, fraction }
    }

    fn compare(&self, other: &Self) -> Ordering {
        // Of two numbers without zeros before them, the longer is the larger.
        let by_length = self.whole.len().cmp(&other.whole.len());
        let by_size =
            by_length.then_with(|| (self.whole, self.fraction).cmp(&(other.whole, other.fraction)));
        match (self.is_negative, other.is_negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => by_size,
            (true, true) => by_size.reverse(),
        }
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order(letters: &str, texts: &[&str]) {
        let mut order = Order::default();
        letters.chars().for_each(|letter| order.set(letter).unwrap());
        for pair in texts.windows(2) {
            let ordering = order.compare(pair[0].as_bytes(), pair[1].as_bytes());
            assert_eq!(ordering, Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn numbers_are_compared_as_they_are_written() {
        in_order("n", &["-10", "-9.5", "-9.45", "x", ".5", "1", "1.01", "1.1", "2", "10"]);
        in_order("n", &["99999999999999999999998", "99999999999999999999999"]);
        let order = Order { by: By::Number, ..Order::default() };
        for (left, right) in [("007", "7.0"), ("-0", "0"), ("", "0"), (" 3", "3x")] {
            assert!(order.compare(left.as_bytes(), right.as_bytes()).is_eq(), "{left} {right}");
        }
    }

    #[test]
    fn floats_may_have_exponents() {
        in_order("g", &["x", "-1e3", "2e-3", "1", "1e2", "2e2x"]);
    }

    #[test]
    fn letters_change_the_order() {
        in_order("f", &["a", "B", "c"]);
        in_order("r", &["c", "b", "a"]);
        in_order("b", &["a", " b", "  c"]);
        assert!(Order::default().set('q').is_err());
    }
}
