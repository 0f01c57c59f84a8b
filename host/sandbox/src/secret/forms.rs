//! The forms in which the value of a secret is found again: as it is, and as common encodings write
//! it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// All forms of a value that are looked for, none twice.
pub(crate) fn of(value: &str) -> Vec<Vec<u8>> {
    let json = json(value);
    let percent = percent(value);
    let mut forms = vec![
        value.to_owned(),
        json.replace('/', "\\/"),
        json,
        percent.replace("%20", "+"),
        escape(value, |byte| format!("%{byte:02x}")),
        percent,
        hex(value),
        hex(value).to_ascii_uppercase(),
    ];
    forms.extend(
        (0..3).flat_map(|before| {
            [inside(value, before, &STANDARD), inside(value, before, &URL_SAFE)]
        }),
    );
    forms.sort_unstable();
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

/// A value as part of a URL: all but the unreserved characters of RFC 3986 are escaped.
pub(crate) fn percent(value: &str) -> String {
    escape(value, |byte| format!("%{byte:02X}"))
}

fn escape(value: &str, write: impl Fn(u32) -> String) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    value.chars().fold(String::new(), |text, c| match c {
        kept if is_kept(kept) => text + kept.encode_utf8(&mut [0; 4]),
        other => text + &write(other.into()),
    })
}

/// A value as part of a JSON text, without the quotes.
pub(crate) fn json(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

fn hex(value: &str) -> String {
    value.bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// What Base64 writes for a value that so many bytes stand before, modulo 3: the characters that do
/// not depend on what stands before and after it.
fn inside(value: &str, before: usize, engine: &impl Engine) -> String {
    let text = engine.encode([&[0; 2][..before], value.as_bytes()].concat());
    let from = (before * 8).div_ceil(6);
    let to = (before + value.len()) * 8 / 6;
    text[from..to].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "a/b+c\"d e?~\\>>";

    fn is_found(text: &str) -> bool {
        of(VALUE).iter().any(|form| text.as_bytes().windows(form.len()).any(|part| part == form))
    }

    #[test]
    fn a_value_is_found_in_every_common_encoding() {
        for text in [
            VALUE.to_owned(),
            serde_json::json!({ "key": VALUE }).to_string(),
            serde_json::json!([VALUE]).to_string().replace('/', "\\/"),
            format!("https://a.example/?q={}&x", percent(VALUE)),
            percent(VALUE).replace("%20", "+"),
            escape(VALUE, |byte| format!("%{byte:02x}")),
            hex(VALUE),
        ] {
            assert!(is_found(&text), "{text}");
        }
    }

    #[test]
    fn a_value_is_found_in_base64_wherever_it_stands() {
        for before in ["", "u", "us", "usr", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = format!("{before}{VALUE}{after}");
                assert!(is_found(&STANDARD.encode(&text)), "{text}");
                assert!(is_found(&URL_SAFE.encode(&text)), "{text}");
            }
        }
    }
}
