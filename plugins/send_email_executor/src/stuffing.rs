//! A mail on its way through SMTP: no line of it is the dot that ends it.

use std::io::{self, Write};

/// Doubles the dot at the beginning of a line (RFC 5321, section 4.5.2), and ends every line with a
/// carriage return and a line feed. A line feed alone, which servers read in different ways, does not
/// get through.
#[derive(Debug)]
pub struct Stuffed<W> {
    inner: W,
    last: u8,
}

impl<W: Write> Stuffed<W> {
    /// Begins a mail.
    pub fn new(inner: W) -> Self {
        Self { inner, last: b'\n' }
    }

    /// Ends the last line, and writes all that is left. The dot that ends the mail is not written.
    ///
    /// # Errors
    ///
    /// Those of the writer below.
    pub fn finish(mut self) -> io::Result<()> {
        match self.last {
            b'\n' => {}
            b'\r' => self.inner.write_all(b"\n")?,
            _ => self.inner.write_all(b"\r\n")?,
        }
        self.inner.flush()
    }
}

impl<W: Write> Write for Stuffed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stuffed = Vec::with_capacity(bytes.len() + 16);
        for byte in bytes {
            match (self.last, byte) {
                (b'\r', b'\n') => {}
                // A carriage return alone ends a line as well.
                (b'\r', _) => stuffed.push(b'\n'),
                (_, b'\n') => stuffed.push(b'\r'),
                _ => {}
            }
            if matches!(self.last, b'\r' | b'\n') && *byte == b'.' {
                stuffed.push(b'.');
            }
            stuffed.push(*byte);
            self.last = *byte;
        }
        self.inner.write_all(&stuffed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of pieces of this length.
    fn stuffed(text: &str, length: usize) -> String {
        let mut output = Vec::new();
        let mut writer = Stuffed::new(&mut output);
        for piece in text.as_bytes().chunks(length) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn no_line_is_a_lonely_dot_however_the_lines_end_and_the_bytes_come() {
        for (text, expected) in [
            ("", ""),
            ("a", "a\r\n"),
            ("a\r\n", "a\r\n"),
            (".", "..\r\n"),
            ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n"),
            ("a\n.\r\nb\r", "a\r\n..\r\nb\r\n"),
            ("a.b\r\n..c", "a.b\r\n...c\r\n"),
            ("\r\n\r\n", "\r\n\r\n"),
        ] {
            for length in 1..=4 {
                assert_eq!(stuffed(text, length), expected, "{text:?} in pieces of {length}");
            }
        }
    }
}
