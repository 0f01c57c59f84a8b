//! Encoding and decoding in constant memory.

use std::io::{self, BufRead, Read, Write};

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use base64::read::DecoderReader;
use base64::write::EncoderWriter;

/// The letters that stand for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// With `+`, `/` and padding: RFC 4648, section 4.
    Standard,
    /// With `-` and `_`, and without padding: RFC 4648, section 5.
    Url,
}

impl Alphabet {
    /// Writes padding as the alphabet has it, and reads with it and without it.
    fn engine(self) -> GeneralPurpose {
        let lenient = |config: GeneralPurposeConfig| {
            config.with_decode_padding_mode(DecodePaddingMode::Indifferent)
        };
        match self {
            Self::Standard => GeneralPurpose::new(&alphabet::STANDARD, lenient(PAD)),
            Self::Url => GeneralPurpose::new(&alphabet::URL_SAFE, lenient(NO_PAD)),
        }
    }

    fn has(self, byte: u8) -> bool {
        let others: &[u8] = match self {
            Self::Standard => b"+/=",
            Self::Url => b"-_=",
        };
        byte.is_ascii_alphanumeric() || others.contains(&byte)
    }
}

/// Encodes all of `input` in lines of `wrap` letters; 0 makes one line without an end.
pub(crate) fn encode(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    alphabet: Alphabet,
    wrap: u64,
) -> io::Result<()> {
    let mut lines = Lines { output, wrap, column: 0 };
    let engine = alphabet.engine();
    let mut encoder = EncoderWriter::new(&mut lines, &engine);
    io::copy(input, &mut encoder)?;
    encoder.finish()?;
    drop(encoder);
    lines.end()
}

/// Decodes all of `input`. The ends of lines are left out, and with `ignores_garbage` all that is
/// no letter of the alphabet.
pub(crate) fn decode(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    alphabet: Alphabet,
    ignores_garbage: bool,
) -> io::Result<()> {
    let is_kept = |byte: u8| {
        if ignores_garbage { alphabet.has(byte) } else { byte != b'\n' && byte != b'\r' }
    };
    let engine = alphabet.engine();
    let mut decoder = DecoderReader::new(Kept { input, is_kept }, &engine);
    io::copy(&mut decoder, output).map(drop)
}

/// Breaks what is written into lines.
struct Lines<'a> {
    output: &'a mut dyn Write,
    wrap: u64,
    column: u64,
}

impl Lines<'_> {
    fn end(&mut self) -> io::Result<()> {
        if self.column > 0 && self.wrap > 0 { self.output.write_all(b"\n") } else { Ok(()) }
    }
}

impl Write for Lines<'_> {
    /// Writes all at once: the encoder would tell of a part as if nothing had been written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while self.wrap > 0 && !rest.is_empty() {
            if self.column == self.wrap {
                self.output.write_all(b"\n")?;
                self.column = 0;
            }
            let room = usize::try_from(self.wrap - self.column).unwrap_or(usize::MAX);
            let line;
            (line, rest) = rest.split_at(rest.len().min(room));
            self.output.write_all(line)?;
            self.column += line.len() as u64;
        }
        self.output.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Reads only some of the bytes.
struct Kept<'a, F> {
    input: &'a mut dyn BufRead,
    is_kept: F,
}

impl<F: Fn(u8) -> bool> Read for Kept<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let block = self.input.fill_buf()?;
            if block.is_empty() || buffer.is_empty() {
                return Ok(0);
            }
            let length = block.len().min(buffer.len());
            let mut kept = 0;
            for byte in block[..length].iter().copied().filter(|byte| (self.is_kept)(*byte)) {
                buffer[kept] = byte;
                kept += 1;
            }
            self.input.consume(length);
            // Nothing kept is not the end.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn encoded(text: &str, alphabet: Alphabet, wrap: u64) -> String {
        let mut output = Vec::new();
        let mut input = BufReader::with_capacity(2_000, text.as_bytes());
        encode(&mut input, &mut output, alphabet, wrap).unwrap();
        String::from_utf8(output).unwrap()
    }

    fn decoded(text: &str, alphabet: Alphabet, ignores_garbage: bool) -> io::Result<String> {
        let mut output = Vec::new();
        let mut input = BufReader::with_capacity(2, text.as_bytes());
        decode(&mut input, &mut output, alphabet, ignores_garbage)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (text, code) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encoded(text, Alphabet::Standard, 0), code);
            assert_eq!(decoded(code, Alphabet::Standard, false).unwrap(), text);
        }
        assert_eq!(encoded("a?~", Alphabet::Url, 0), "YT9-");
        assert_eq!(encoded("f", Alphabet::Url, 0), "Zg");
    }

    #[test]
    fn lines_are_as_long_as_asked_and_end() {
        assert_eq!(encoded("foobar", Alphabet::Standard, 4), "Zm9v\nYmFy\n");
        assert_eq!(encoded("foobar", Alphabet::Standard, 5), "Zm9vY\nmFy\n");
        assert_eq!(encoded("", Alphabet::Standard, 4), "");
    }

    #[test]
    fn a_long_text_has_many_lines() {
        let code = encoded(&"abc".repeat(5_000), Alphabet::Standard, 76);
        assert!(code.lines().all(|line| line.len() <= 76));
        assert_eq!(decoded(&code, Alphabet::Standard, false).unwrap(), "abc".repeat(5_000));
    }

    #[test]
    fn ends_of_lines_and_missing_padding_are_no_faults() {
        assert_eq!(decoded("Zm9v\r\nYg\n", Alphabet::Standard, false).unwrap(), "foob");
    }

    #[test]
    fn garbage_is_a_fault_unless_it_is_ignored() {
        assert!(decoded("Zm9v!YmFy", Alphabet::Standard, false).is_err());
        assert_eq!(decoded("Zm9v! \tYmFy", Alphabet::Standard, true).unwrap(), "foobar");
    }
}
