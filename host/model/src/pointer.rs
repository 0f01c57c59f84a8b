//! JSON pointers (RFC 6901), built key by key.
//!
//! It follows none: `serde_json` does.

/// The pointer of a key of the object at `at`.
pub(crate) fn key(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer of an item of the list at `at`.
pub(crate) fn item(at: &str, index: usize) -> String {
    format!("{at}/{index}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};
    use serde_json::json;

    proptest! {
        #[test]
        fn a_pointer_leads_to_its_key(key: String) {
            let value = json!({ "list": [{ &key: 7 }] });
            let at = super::key(&super::item(&super::key("", "list"), 0), &key);
            prop_assert_eq!(value.pointer(&at), Some(&json!(7)));
        }
    }
}
