//! A verb as a request: writes what [`Remote::read`] reads.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::body::Body;
use crate::error::ApiError;
use crate::remote::{Headers, Input, Method, Remote};

/// A request that asks for a verb.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path with its query, as they stand in the request line.
    pub target: String,
    /// What its headers say.
    pub headers: Headers,
    /// The JSON of its body, if it has one.
    pub body: Option<Value>,
}

impl Call {
    /// Asks for a verb of the table.
    ///
    /// # Errors
    ///
    /// [`ApiError::Unserializable`] when a field has no JSON form.
    pub fn of<R: Remote>(operation: &R) -> Result<Self, ApiError> {
        Self::to(R::METHOD, R::PATH, R::BODY, operation)
    }

    /// Asks at a path with fields in braces. Fields that are null are left out.
    ///
    /// # Errors
    ///
    /// [`ApiError::Unserializable`] when a field has no JSON form.
    pub fn to(
        method: Method,
        path: &str,
        body: Body,
        fields: &impl Serialize,
    ) -> Result<Self, ApiError> {
        let mut fields = serde_json::to_value(fields).map_err(ApiError::Unserializable)?;
        // A verb without fields is null.
        let fields = fields.as_object_mut().map(std::mem::take).unwrap_or_default();
        let mut call = Self { method, target: path.to_owned(), headers: Vec::new(), body: None };
        let mut query = String::new();
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            call.place(body, &name, value, &mut query);
        }
        call.target += &query;
        Ok(call)
    }

    /// Puts a field where the verb looks for it.
    fn place(&mut self, body: Body, name: &str, value: Value, query: &mut String) {
        if matches!(body, Body::Whole(field) if field == name) {
            self.body = Some(value);
            return;
        }
        if body.holds(name) {
            self.body.get_or_insert_with(|| Map::new().into())[name] = value;
            return;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(header) = Input::HEADERS.into_iter().find(|header| *header == name) {
            self.headers.push((header, text));
            return;
        }
        for (place, keeps) in [(format!("{{{name}}}"), ""), (format!("{{*{name}}}"), "/")] {
            if self.target.contains(&place) {
                self.target = self.target.replace(&place, &escaped(&text, keeps));
                return;
            }
        }
        let sign = if query.is_empty() { '?' } else { '&' };
        // Writing to a text does not fail.
        write!(query, "{sign}{name}={}", escaped(&text, "")).unwrap_or_default();
    }
}

/// A text as it stands in a URL: RFC 3986, section 2.1. What `keeps` has stays as it is.
fn escaped(text: &str, keeps: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(character) || keeps.contains(character) {
            escaped.push(character);
        } else {
            write!(escaped, "%{byte:02X}").unwrap_or_default();
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_has_its_place() {
        let fields = json!({
            "id": "j_1", "name": "a b/c?.txt", "limit": 7, "cursor": null,
            "idempotency-key": "k", "tasks": ["x"],
        });
        let path = "/jobs/{id}/files/{*name}";
        let call = Call::to(Method::Post, path, Body::Fields(&["tasks"]), &fields).unwrap();
        assert_eq!(call.target, "/jobs/j_1/files/a%20b/c%3F.txt?limit=7");
        assert_eq!(call.headers, [("idempotency-key", "k".to_owned())]);
        assert_eq!(call.body, Some(json!({ "tasks": ["x"] })));
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let call = |name: &str| {
            Call::to(Method::Get, "/plugins/{name}", Body::None, &json!({ "name": name })).unwrap()
        };
        assert_eq!(call("../jobs?x=1").target, "/plugins/..%2Fjobs%3Fx%3D1");
        assert_eq!(call("ä").target, "/plugins/%C3%A4");
    }
}
