//! From the answer of a server to the output of the task, or to the text of its fault.
//!
//! It does not decide which of the two: [`crate::verdict`] does.

use std::collections::BTreeMap;

use apflow_sdk::{JsonSchema, schemars};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::input::Format;
use crate::plan::Plan;
use crate::save::Saved;

/// How much of a body a fault quotes, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 300;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// The status code; of the last page, if there were several.
    #[schemars(range(min = 100, max = 999))]
    pub status: u16,
    /// The headers by lower-case name. Repeated ones are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(flatten)]
    pub content: Content,
    /// Where the answer came from, after all redirects.
    pub url: String,
    /// How many pages there were. Only with `paginate`.
    #[serde(flatten)]
    pub pages: Option<Pages>,
}

/// The body of an answer, under the name of what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The body as JSON; the items of all pages in one list, if there were several.
    Json(Value),
    /// The body as text.
    Text(String),
    /// The body in Base64.
    Base64(String),
    /// The file that the body was written to.
    File(Saved),
}

/// What is to say of several pages.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pages {
    /// How many were read, by all attempts of the task together.
    pub pages: u32,
    /// Whether there are more than `max_pages`.
    pub truncated: bool,
}

/// The status and the headers of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The headers in the order they came.
    pub headers: Vec<(String, String)>,
}

impl Output {
    /// Makes the output of an answer that came from `url`.
    pub fn new(head: Head, content: Content, url: &Url) -> Self {
        let headers = join_headers(head.headers);
        Self { status: head.status, headers, content, url: url.to_string(), pages: None }
    }
}

impl Content {
    /// Reads a body in this form.
    ///
    /// # Errors
    ///
    /// What is wrong with JSON.
    pub fn read(
        format: Format,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Self, serde_json::Error> {
        Ok(match format {
            Format::Json => Self::Json(serde_json::from_slice(&body)?),
            Format::Text => Self::Text(String::from_utf8_lossy(&body).into_owned()),
            Format::Base64 => Self::Base64(STANDARD.encode(&body)),
            Format::Auto => {
                let json = content_type.is_some_and(is_json);
                let json = json.then(|| serde_json::from_slice(&body).ok()).flatten();
                match json.ok_or(body).map_err(String::from_utf8) {
                    Ok(json) => Self::Json(json),
                    Err(Ok(text)) => Self::Text(text),
                    Err(Err(error)) => Self::Base64(STANDARD.encode(error.as_bytes())),
                }
            }
        })
    }
}

fn join_headers(headers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        joined
            .entry(name.to_ascii_lowercase())
            .and_modify(|first| {
                first.push_str(", ");
                first.push_str(&value);
            })
            .or_insert(value);
    }
    joined
}

/// `application/json`, or a type with the suffix `+json` (RFC 6839).
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}

/// An address for logs and faults: without its query, which may hold a key.
pub fn address(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// Says how `plan` was answered, with the beginning of the body.
pub fn describe(plan: &Plan, status: u16, body: &[u8]) -> String {
    let asked = format!("{} {} was answered with status {status}", plan.method, address(&plan.url));
    match excerpt(body) {
        text if text.is_empty() => asked,
        text => format!("{asked}: {text}"),
    }
}

/// The beginning of a body on one line.
fn excerpt(body: &[u8]) -> String {
    // A character has at most four bytes, so that a large body is not read to its end.
    let head = body.get(..EXCERPT_CHARACTERS_MAX * 4 + 4).unwrap_or(body);
    let text = String::from_utf8_lossy(head);
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() && !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    match words.char_indices().nth(EXCERPT_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(format: Format, content_type: &str, body: &[u8]) -> Value {
        json!(Content::read(format, Some(content_type), body.to_vec()).unwrap())
    }

    #[test]
    fn json_is_parsed_when_the_content_type_says_so() {
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"]
        {
            let content = read(Format::Auto, content_type, b"{\"a\":1}");
            assert_eq!(content, json!({ "json": { "a": 1 } }));
        }
        assert_eq!(read(Format::Auto, "text/plain", b"{}"), json!({ "text": "{}" }));
    }

    #[test]
    fn what_is_no_json_is_text_and_what_is_no_text_is_base64() {
        assert_eq!(read(Format::Auto, "application/json", b"<html>"), json!({ "text": "<html>" }));
        let content = read(Format::Auto, "image/png", &[0x89, 0x50, 0xff]);
        assert_eq!(content, json!({ "base64": "iVD/" }));
        assert_eq!(read(Format::Auto, "application/json", b"null"), json!({ "json": null }));
    }

    #[test]
    fn the_caller_says_what_the_body_becomes() {
        assert_eq!(read(Format::Json, "text/plain", b"[1]"), json!({ "json": [1] }));
        assert!(Content::read(Format::Json, None, b"<html>".to_vec()).is_err());
        assert_eq!(
            read(Format::Text, "application/json", b"1\xff"),
            json!({ "text": "1\u{fffd}" })
        );
        assert_eq!(read(Format::Base64, "text/plain", b"hello"), json!({ "base64": "aGVsbG8=" }));
    }

    #[test]
    fn header_names_are_lower_case_and_repeated_ones_joined() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![pair("X-A", "1"), pair("Vary", "b"), pair("x-a", "2")];
        let joined = json!(join_headers(headers));
        assert_eq!(joined, json!({ "vary": "b", "x-a": "1, 2" }));
    }

    #[test]
    fn a_fault_says_what_was_asked_and_answered_but_not_the_query() {
        let input = json!({ "url": "https://example.com/a?key=secret" });
        let input = serde_json::from_value(input).unwrap();
        let name = |name: &str| Ok(name.to_owned());
        let plan = Plan::new(&input, "", std::path::Path::new("/"), &name).unwrap();
        assert_eq!(
            describe(&plan, 404, b"no such\n\titem \0"),
            "GET https://example.com/a was answered with status 404: no such item"
        );
        assert!(describe(&plan, 500, b" \n").ends_with("with status 500"));
    }

    #[test]
    fn a_long_body_is_quoted_in_part() {
        let text = excerpt("ü".repeat(1_000).as_bytes());
        assert_eq!(text.chars().count(), EXCERPT_CHARACTERS_MAX + 1);
        assert!(text.ends_with('…'));
    }
}
