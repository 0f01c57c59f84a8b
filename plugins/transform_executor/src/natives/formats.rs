//! `@html`, `@uri`, `@base64` and their inverses.

use jaq_core::native::{bome, v};
use jaq_json::{Error, Val};
use jaq_std::ValT as _;

use super::{Native, text};

/// The functions that jq's `@…` formats are defined with.
pub(super) fn all() -> Vec<Native> {
    vec![
        ("escape_html", v(0), |cv| bome(text(&cv.1).map(|text| escape_html(text).into()))),
        ("unescape_html", v(0), |cv| bome(text(&cv.1).map(|text| unescape_html(text).into()))),
        ("encode_uri", v(0), |cv| bome(cv.1.try_as_utf8_bytes().map(|b| encode_uri(b).into()))),
        ("decode_uri", v(0), |cv| {
            bome(cv.1.try_as_utf8_bytes().map(|bytes| Val::utf8_str(decode_uri(bytes))))
        }),
        ("encode_base64", v(0), |cv| {
            bome(cv.1.try_as_utf8_bytes().map(|bytes| encode_base64(bytes).into()))
        }),
        ("decode_base64", v(0), |cv| {
            bome(cv.1.try_as_utf8_bytes().and_then(|bytes| {
                let fault = || Error::str(format_args!("{} is not base64", cv.1));
                decode_base64(bytes).map(Val::utf8_str).ok_or_else(fault)
            }))
        }),
    ]
}

const HTML: [(&str, &str); 5] =
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&quot;")];

/// `&` goes first, so that what is escaped is not escaped again.
fn escape_html(text: &str) -> String {
    HTML.into_iter().fold(text.to_owned(), |text, (plain, escaped)| text.replace(plain, escaped))
}

/// `&amp;` goes last, so that `&amp;lt;` becomes `&lt;`.
fn unescape_html(text: &str) -> String {
    let text = text.replace("&apos;", "'");
    HTML.into_iter().rev().fold(text, |text, (plain, escaped)| text.replace(escaped, plain))
}

fn encode_uri(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(*byte));
        } else {
            let nibbles = [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
            encoded.push('%');
            encoded.extend(nibbles);
        }
    }
    encoded
}

/// A `%` that is not followed by two hexadecimal digits stands for itself.
fn decode_uri(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return decoded,
            [b'%', high, low, after @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                decoded.extend(digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low));
                after
            }
            [byte, after @ ..] => {
                decoded.push(*byte);
                after
            }
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| chunk.get(index).copied().unwrap_or_default();
        let (first, second, third) = (byte(0), byte(1), byte(2));
        let sextets =
            [first >> 2, first << 4 | second >> 4, second << 2 | third >> 6, third].map(|b| b & 63);
        for (index, sextet) in sextets.into_iter().enumerate() {
            let is_padding = index > chunk.len();
            encoded.push(if is_padding { '=' } else { char::from(BASE64[usize::from(sextet)]) });
        }
    }
    encoded
}

/// The padding may be left out.
fn decode_base64(encoded: &[u8]) -> Option<Vec<u8>> {
    let padding = encoded.iter().rev().take_while(|byte| **byte == b'=').count();
    let encoded = &encoded[..encoded.len() - padding];
    if padding > 2 || encoded.len() % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(encoded.len() * 3 / 4);
    for chunk in encoded.chunks(4) {
        let mut bits = 0_u32;
        for index in 0..4 {
            let sextet = match chunk.get(index) {
                Some(byte) => BASE64.iter().position(|digit| digit == byte)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(sextet).ok()?;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        decoded.extend_from_slice(bytes.get(..chunk.len() - 1)?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::super::tests::holds;

    #[test]
    fn formats_and_their_inverses_are_those_of_jq() {
        holds(&[
            "\"<a href='x'>&amp;\\\"\" | @html == \"&lt;a href=&#39;x&#39;&gt;&amp;amp;&quot;\"",
            "\"&lt;&amp;lt;&#39;&apos;\" | @htmld == \"<&lt;''\"",
            "\"ü/a b~\" | @uri == \"%C3%BC%2Fa%20b~\" and (@uri | @urid) == .",
            "\"100%, %zz %4\" | @urid == .",
            "[\"\", \"f\", \"fo\", \"foo\"] | map(@base64) == [\"\", \"Zg==\", \"Zm8=\", \"Zm9v\"]",
            "[\"\", \"Zg==\", \"Zm8=\", \"Zm9v\", \"Zg\"] | map(@base64d) == [\"\", \"f\", \"fo\", \"foo\", \"f\"]",
            "[\"Z\", \"Z=g=\", \"Zm9v!\", \"Zg===\"] | map(try @base64d catch \"no\") | unique == [\"no\"]",
            "[1, \"a'b\"] | @sh == \"1 'a'\\\\''b'\"",
            "[1, \"a\"] | @json == \"[1,\\\"a\\\"]\"",
            "\"x\" | @base64 \"<\\(.)>\" == \"<eA==>\"",
        ]);
    }
}
