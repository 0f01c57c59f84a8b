//! Where one JSON value is not what it should be.

use serde_json::Value;

/// Adds a line for each place where `found` differs from `wanted`, each named by its JSON pointer.
pub(super) fn between(wanted: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(wanted, found, "", &mut lines);
    lines
}

fn compare(wanted: &Value, found: &Value, at: &str, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                let at = below(at, key);
                match found.get(key) {
                    Some(found) => compare(value, found, &at, lines),
                    None => lines.push(format!("{at}: expected {value}, found nothing")),
                }
            }
            let more = found.iter().filter(|(key, _)| !wanted.contains_key(*key));
            lines.extend(more.map(|(key, value)| {
                format!("{}: expected nothing, found {value}", below(at, key))
            }));
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(wanted, found, &below(at, &index.to_string()), lines);
            }
        }
        _ if wanted == found => {}
        _ => {
            let at = if at.is_empty() { "the output" } else { at };
            lines.push(format!("{at}: expected {wanted}, found {found}"));
        }
    }
}

/// The pointer to what is below, as RFC 6901 writes it.
fn below(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_that_differs_is_named() {
        let wanted = json!({ "a": [1, { "b/c": 2 }], "d": 3, "e": 4 });
        let found = json!({ "a": [1, { "b/c": 5 }], "e": 4, "f": null });
        assert_eq!(
            between(&wanted, &found),
            [
                "/a/1/b~1c: expected 2, found 5",
                "/d: expected 3, found nothing",
                "/f: expected nothing, found null",
            ]
        );
        assert_eq!(between(&wanted, &wanted), [""; 0]);
        assert_eq!(between(&json!([1]), &json!([])), ["the output: expected [1], found []"]);
    }
}
