//! The request that a tool's arguments fill in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Template;
use super::values::Values;

/// The address, with every value percent-encoded. One that stands at the very beginning is an
/// address itself, and goes in as it is.
///
/// # Errors
///
/// A sentence about a value that is missing, or that would lead elsewhere.
pub(super) fn url(template: &Template, values: Values<'_>) -> Result<String, String> {
    let mut begins = template.begins_with_place();
    let mut missing = String::new();
    let filled = template.fill(|name| {
        let is_base = std::mem::take(&mut begins);
        let value = values.text(name);
        if value.is_none() {
            name.clone_into(&mut missing);
        }
        value.map(|value| if is_base { value } else { percent_encoded(&value) })
    });
    let needed = || format!("`{missing}` is part of the address, so it is needed");
    let filled = filled.ok_or_else(needed)?;
    let fixed = template.to_string();
    if has_dots(&filled) && !has_dots(&fixed) {
        return Err(format!("`{filled}` goes up in the path: no value may be `.` or `..` there"));
    }
    Ok(filled)
}

/// Texts by name, those left out that lack a value.
pub(super) fn texts(
    templates: &BTreeMap<String, Template>,
    values: Values<'_>,
) -> Map<String, Value> {
    let filled = templates.iter().filter_map(|(name, template)| {
        let text = template.fill(|name| values.text(name))?;
        Some((name.clone(), text.into()))
    });
    filled.collect()
}

/// Headers by name, those left out that lack a value.
///
/// # Errors
///
/// A sentence about one that would end before its end.
pub(super) fn headers(
    templates: &BTreeMap<String, Template>,
    values: Values<'_>,
) -> Result<Map<String, Value>, String> {
    let headers = texts(templates, values);
    let is_broken =
        |value: &Value| value.as_str().is_some_and(|text| text.contains(char::is_control));
    match headers.iter().find(|(_, value)| is_broken(value)) {
        Some((name, _)) => Err(format!("the header `{name}` would hold a control character")),
        None => Ok(headers),
    }
}

/// The body, with the key that says how it is sent.
///
/// The place of one argument alone is sent as JSON, and so is a template that is JSON itself: every
/// value becomes a value there, whatever is in it. In a form each value is percent-encoded.
pub(super) fn body(
    template: &Template,
    headers: &BTreeMap<String, Template>,
    values: Values<'_>,
) -> Option<(&'static str, Value)> {
    if let Some(name) = template.place() {
        return values.get(name).map(|value| ("json", value.clone()));
    }
    let read = serde_json::from_str(&template.to_string());
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = read {
        return fill_json(json, values).map(|json| ("json", json));
    }
    let is_form = headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type")
            && value.to_string().starts_with("application/x-www-form-urlencoded")
    });
    let encode = |text: String| if is_form { percent_encoded(&text) } else { text };
    let text = template.fill(|name| values.text(name).map(encode))?;
    Some(("body", text.into()))
}

/// JSON whose texts are templates. What lacks a value is left out.
fn fill_json(json: Value, values: Values<'_>) -> Option<Value> {
    match json {
        Value::String(text) => {
            let template = Template::from(text);
            match template.place() {
                Some(name) => values.get(name).cloned(),
                None => template.fill(|name| values.text(name)).map(Value::String),
            }
        }
        Value::Array(items) => {
            Some(items.into_iter().filter_map(|item| fill_json(item, values)).collect())
        }
        Value::Object(entries) => {
            let filled = entries.into_iter();
            Some(filled.filter_map(|(key, item)| Some((key, fill_json(item, values)?))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(json),
    }
}

/// A text as one part of an address (RFC 3986, section 2.3).
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Whether the path of an address has a step that leads up, or nowhere.
fn has_dots(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.split('/').any(|step| {
        let step = step.to_ascii_lowercase().replace("%2e", ".");
        step == "." || step == ".."
    })
}
