//! Reads JSON lines one by one, in memory for one of them.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

/// The longest line, in bytes. With the values that it becomes it fits into the memory that the
/// manifest asks for.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// How much of a file is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A line gives no value.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is no JSON, or too long. The next may be better.
    #[error("line {number} {message}")]
    Malformed {
        /// The number of the line, from 1.
        number: u64,
        /// What is wrong with it.
        message: String,
    },
    /// The file cannot be read any further.
    #[error("{0}")]
    Unreadable(std::io::Error),
}

/// The values of a file with one a line.
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    is_over: bool,
}

impl<R: Read> Lines<R> {
    /// The values of what `reader` reads.
    pub fn new(reader: R) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Self { reader, line: Vec::new(), number: 0, is_over: false }
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line without its end. False after the last one.
    fn advance(&mut self) -> Result<bool, LineError> {
        self.line.clear();
        self.number += 1;
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line);
        if read.map_err(LineError::Unreadable)? == 0 {
            return Ok(false);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > LINE_BYTES_MAX {
            self.line = Vec::new();
            self.reader.skip_until(b'\n').map_err(LineError::Unreadable)?;
            let message = format!("has more than {LINE_BYTES_MAX} bytes, which are the most");
            return Err(LineError::Malformed { number: self.number, message });
        }
        Ok(true)
    }

    fn value(&self) -> Result<Value, LineError> {
        serde_json::from_slice(&self.line).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.rsplit_once(" at line ").map_or(&*reason, |(text, _)| text);
            let message = format!("is not JSON in column {}: {reason}", error.column());
            LineError::Malformed { number: self.number, message }
        })
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<Value, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            match self.advance() {
                Ok(true) if self.line.trim_ascii().is_empty() => {}
                Ok(true) => return Some(self.value()),
                Ok(false) => self.is_over = true,
                Err(error) => {
                    self.is_over = matches!(error, LineError::Unreadable(_));
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &[u8]) -> Vec<Result<Value, String>> {
        Lines::new(text).map(|value| value.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn each_line_is_a_value_and_empty_ones_are_none() {
        assert_eq!(read(b"1\n\n{}\r\n \n[2]"), [Ok(json!(1)), Ok(json!({})), Ok(json!([2]))]);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_the_next_is_read() {
        let bad = "line 3 is not JSON in column 2: key must be a string".to_owned();
        assert_eq!(read(b"1\n\n{x}\n2"), [Ok(json!(1)), Err(bad), Ok(json!(2))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let text = [vec![b'1'; LINE_BYTES_MAX + 5], b"\n2\n".to_vec()].concat();
        let values = read(&text);
        assert!(values[0].as_ref().unwrap_err().starts_with("line 1 has more than 16777216 bytes"));
        assert_eq!(values[1..], [Ok(json!(2))]);
        let text = [vec![b' '; LINE_BYTES_MAX - 1], b"7\n".to_vec()].concat();
        assert_eq!(read(&text), [Ok(json!(7))]);
    }
}
