//! From the answer of a server to the output of the task, or to the text of its fault.
//!
//! It does not decide which of the two: [`crate::verdict`] does.

use std::collections::BTreeMap;

use apflow_sdk::{JsonSchema, schemars};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::plan::Plan;

/// How much of a body a fault quotes, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 300;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// The status code.
    #[schemars(range(min = 100, max = 999))]
    pub status: u16,
    /// The headers by lower-case name. Repeated ones are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, when its content type is JSON and it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// The body, when it is UTF-8 text and not given as `json`. A body of other bytes is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where the answer came from, after all redirects.
    pub url: String,
}

impl Output {
    /// Makes the output of an answer that came from `url`.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: Vec<u8>, url: &Url) -> Self {
        let headers = join_headers(headers);
        let is_json = headers.get("content-type").is_some_and(|text| is_json(text));
        let json = is_json.then(|| serde_json::from_slice(&body).ok()).flatten();
        let text = if json.is_none() { String::from_utf8(body).ok() } else { None };
        Self { status, headers, json, text, url: url.to_string() }
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

    fn output(content_type: &str, body: &[u8]) -> Output {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Output::new(200, headers, body.to_vec(), &Url::parse("https://example.com/").unwrap())
    }

    #[test]
    fn json_is_parsed_when_the_content_type_says_so() {
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"]
        {
            let output = output(content_type, b"{\"a\":1}");
            assert_eq!((output.json, output.text), (Some(json!({ "a": 1 })), None));
        }
        let plain = output("text/plain", b"{}");
        assert_eq!((plain.json, plain.text.as_deref()), (None, Some("{}")));
    }

    #[test]
    fn json_that_is_none_is_given_as_text() {
        let output = output("application/json", b"<html>");
        assert_eq!((output.json, output.text.as_deref()), (None, Some("<html>")));
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        let output = json!(output("image/png", &[0x89, 0x50, 0xff]));
        assert!(output.get("text").is_none() && output.get("json").is_none(), "{output}");
    }

    #[test]
    fn the_json_null_is_an_answer() {
        assert_eq!(json!(output("application/json", b"null"))["json"], json!(null));
        assert!(json!(output("application/json", b"null")).get("json").is_some());
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
        let plan = Plan::new(serde_json::from_value(input).unwrap(), "").unwrap();
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
