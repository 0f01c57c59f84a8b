//! The digest of what is read, and lines that name one.

use std::io::{self, BufRead};

use sha2::{Digest, Sha256};

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
/// How long a digest is, in hexadecimal digits.
const DIGITS: usize = 64;

/// Computes the digest of all of `input`, in constant memory, as hexadecimal digits.
pub(crate) fn digest(input: &mut dyn BufRead) -> io::Result<String> {
    let mut hasher = Sha256::new();
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            break;
        }
        hasher.update(block);
        let length = block.len();
        input.consume(length);
    }
    let bytes = hasher.finalize();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    Ok(digits.map(|digit| char::from(HEXADECIMAL[usize::from(digit)])).collect())
}

/// A line of a list of digests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Hexadecimal digits.
    pub(crate) digest: &'a str,
    /// The file.
    pub(crate) name: &'a str,
}

impl<'a> Line<'a> {
    /// Reads `DIGEST  NAME` or `DIGEST *NAME`. None: it is neither.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (digest, name) = line.split_once(' ')?;
        let name = name.strip_prefix([' ', '*']).filter(|name| !name.is_empty())?;
        let is_digest = digest.len() == DIGITS && digest.bytes().all(|c| c.is_ascii_hexdigit());
        is_digest.then_some(Self { digest, name })
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Of `abc`: FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_that_of_the_standard_whatever_the_blocks() {
        for capacity in [1, 2, 100] {
            let mut input = BufReader::with_capacity(capacity, &b"abc"[..]);
            assert_eq!(digest(&mut input).unwrap(), ABC);
        }
    }

    #[test]
    fn a_line_names_a_digest_and_a_file() {
        for between in ["  ", " *"] {
            let line = format!("{ABC}{between}a b");
            assert_eq!(Line::parse(&line), Some(Line { digest: ABC, name: "a b" }));
        }
        for line in ["", "abc  a", ABC, &format!("{ABC}  "), &format!("{}x  a", &ABC[1..])] {
            assert_eq!(Line::parse(line), None, "{line}");
        }
    }
}
