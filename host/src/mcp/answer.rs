//! What a good call answers: text for every client, and the same as JSON for those that read it.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

/// An answer that is this value.
///
/// Only an object stands as JSON beside the text: clients of older revisions of MCP take no other.
pub(super) fn of_value(value: Value) -> CallToolResult {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(value).filter(Value::is_object);
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_given_as_text_and_as_json() {
        let result = serde_json::to_value(of_value(json!({ "a": 1 }))).unwrap();
        assert_eq!(result["content"][0]["text"], r#"{"a":1}"#);
        assert_eq!(result["structuredContent"], json!({ "a": 1 }));
        assert_eq!(result["isError"], false);
    }

    #[test]
    fn a_text_is_given_as_it_is() {
        let result = serde_json::to_value(of_value(json!("two\nlines"))).unwrap();
        assert_eq!(result["content"][0]["text"], "two\nlines");
        assert!(result.get("structuredContent").is_none());
    }
}
