//! The one body of a request, from whichever of its words the input has.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::input::{Input, Parameter, Part, Secrets};

/// The largest file, and the largest body of several parts. It is held in memory.
pub const BYTES_MAX: u64 = 64 << 20;

/// A body and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What is sent.
    pub bytes: Vec<u8>,
    /// Its media type, unless the caller says another.
    pub content_type: String,
}

/// There is no such body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than one.
    #[error("{} are all set, but a request has one body", list(.0))]
    Several(Vec<&'static str>),
    /// The JSON cannot be written.
    #[error("`json` cannot be written: {0}")]
    Json(String),
    /// It is not Base64.
    #[error("`{0}` is not Base64: {1}")]
    Base64(String, base64::DecodeError),
    /// The file cannot be read.
    #[error(
        "the file {} cannot be read: {reason}; it must be an upload, what a dependency left, or in \
         a folder that is granted with `--grant fs.in=PATH`",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// It is too large.
    #[error("{0} has more than {BYTES_MAX} bytes, the most that is sent")]
    TooLarge(String),
    /// A part without content, or with several.
    #[error("the part `{0}` must have one of `text`, `json`, `base64` and `file`")]
    Part(String),
    /// A media type that cannot be one.
    #[error("the `content_type` of the part `{0}` is none")]
    ContentType(String),
    /// A secret is not given.
    #[error(transparent)]
    Secret(#[from] apflow_sdk::secret::Error),
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Body {
    /// Makes the body of `input`, with files from `folder`. `seed` makes the boundary of several
    /// parts.
    ///
    /// # Errors
    ///
    /// A [`BodyError`] when there is not exactly one or none, or it cannot be made.
    pub fn of(
        input: &Input,
        folder: &Path,
        seed: &str,
        secrets: Secrets<'_>,
    ) -> Result<Option<Self>, BodyError> {
        let Input { json, form, body, base64, file, multipart, .. } = input;
        let is_set = [
            ("json", json.is_some()),
            ("form", form.is_some()),
            ("body", body.is_some()),
            ("base64", base64.is_some()),
            ("file", file.is_some()),
            ("multipart", multipart.is_some()),
        ];
        let set: Vec<&str> = is_set.into_iter().filter_map(|(n, is)| is.then_some(n)).collect();
        if set.len() > 1 {
            return Err(BodyError::Several(set));
        }
        let of = |bytes: Vec<u8>, content_type: &str| {
            Ok(Some(Self { bytes, content_type: content_type.to_owned() }))
        };
        if let Some(value) = json {
            return of(write_json(value)?, "application/json");
        }
        if let Some(fields) = form {
            let bytes = write_form(fields.iter(), secrets)?;
            return of(bytes, "application/x-www-form-urlencoded");
        }
        if let Some(text) = body {
            return of(text.clone().into_bytes(), "text/plain; charset=utf-8");
        }
        if let Some(text) = base64 {
            return of(decode("base64", text)?, "application/octet-stream");
        }
        if let Some(path) = file {
            return of(read(folder, path)?, "application/octet-stream");
        }
        match multipart {
            Some(parts) => Self::of_parts(parts, folder, seed, secrets).map(Some),
            None => Ok(None),
        }
    }

    /// `multipart/form-data` (RFC 7578).
    fn of_parts(
        parts: &[Part],
        folder: &Path,
        seed: &str,
        secrets: Secrets<'_>,
    ) -> Result<Self, BodyError> {
        let mut contents = Vec::new();
        for part in parts {
            contents.push(content(part, folder, secrets)?);
        }
        let boundary = boundary(seed, &contents);
        let mut bytes = Vec::new();
        for (part, content) in parts.iter().zip(contents) {
            let head = head(part, &boundary)?;
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend(content);
            bytes.extend_from_slice(b"\r\n");
            if bytes.len() as u64 > BYTES_MAX {
                return Err(BodyError::TooLarge("`multipart`".to_owned()));
            }
        }
        bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Ok(Self { bytes, content_type: format!("multipart/form-data; boundary={boundary}") })
    }
}

fn write_json(value: &serde_json::Value) -> Result<Vec<u8>, BodyError> {
    serde_json::to_vec(value).map_err(|error| BodyError::Json(error.to_string()))
}

fn write_form<'a>(
    fields: impl Iterator<Item = (&'a String, &'a Parameter)>,
    secrets: Secrets<'_>,
) -> Result<Vec<u8>, BodyError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, parameter) in fields {
        for value in parameter.values(secrets)? {
            form.append_pair(name, &value);
        }
    }
    Ok(form.finish().into_bytes())
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>, BodyError> {
    STANDARD.decode(text.trim()).map_err(|error| BodyError::Base64(name.to_owned(), error))
}

#[expect(clippy::disallowed_methods, reason = "a plugin sees no folder but its own")]
fn read(folder: &Path, path: &str) -> Result<Vec<u8>, BodyError> {
    let path = folder.join(path);
    let unreadable = |reason| BodyError::Unreadable { path: path.clone(), reason };
    let bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
    if bytes > BYTES_MAX {
        return Err(BodyError::TooLarge(format!("the file {}", path.display())));
    }
    std::fs::read(&path).map_err(unreadable)
}

fn content(part: &Part, folder: &Path, secrets: Secrets<'_>) -> Result<Vec<u8>, BodyError> {
    match part {
        Part { text: Some(text), json: None, base64: None, file: None, .. } => {
            Ok(text.reveal(secrets)?.into_bytes())
        }
        Part { json: Some(value), text: None, base64: None, file: None, .. } => write_json(value),
        Part { base64: Some(text), text: None, json: None, file: None, .. } => {
            decode(&part.name, text)
        }
        Part { file: Some(path), text: None, json: None, base64: None, .. } => read(folder, path),
        _ => Err(BodyError::Part(part.name.clone())),
    }
}

/// What stands before a part.
fn head(part: &Part, boundary: &str) -> Result<String, BodyError> {
    let own = part.file.as_deref().and_then(|path| Path::new(path).file_name()?.to_str());
    let mut head =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", escaped(&part.name));
    // Writing to a String cannot fail.
    if let Some(name) = part.filename.as_deref().or(own) {
        _ = write!(head, "; filename=\"{}\"", escaped(name));
    }
    let implied = if part.json.is_some() {
        Some("application/json")
    } else if part.file.is_some() || part.base64.is_some() {
        Some("application/octet-stream")
    } else {
        None
    };
    if let Some(content_type) = part.content_type.as_deref().or(implied) {
        if content_type.chars().any(char::is_control) {
            return Err(BodyError::ContentType(part.name.clone()));
        }
        _ = write!(head, "\r\nContent-Type: {content_type}");
    }
    head.push_str("\r\n\r\n");
    Ok(head)
}

/// A name within quotes, as the HTML standard writes it.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A line that is in none of these. It is the same for every attempt of a task, as the request is.
fn boundary(seed: &str, contents: &[Vec<u8>]) -> String {
    let mut boundary = hex(&Sha256::digest(seed));
    while contents.iter().any(|content| holds(content, boundary.as_bytes())) {
        boundary = hex(&Sha256::digest(&boundary));
    }
    boundary
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the type of all that give secrets")]
    fn secret(name: &str) -> Result<String, apflow_sdk::secret::Error> {
        Ok(format!("<{name}>"))
    }

    fn body(mut input: Value, folder: &Path) -> Result<Option<Body>, String> {
        input["url"] = json!("https://example.com/");
        let input = serde_json::from_value(input).map_err(|error| error.to_string())?;
        Body::of(&input, folder, "seed", &secret).map_err(|error| error.to_string())
    }

    fn made(input: Value) -> (String, String) {
        let body = body(input, Path::new("/nowhere")).unwrap().unwrap();
        (String::from_utf8(body.bytes).unwrap(), body.content_type)
    }

    #[test]
    fn each_word_makes_its_own_kind_of_body() {
        for (input, bytes, content_type) in [
            (json!({ "json": { "a": 1 } }), r#"{"a":1}"#, "application/json"),
            (
                json!({ "form": { "a": "b c", "n": [1, true], "k": { "secret": "key" } } }),
                "a=b+c&k=%3Ckey%3E&n=1&n=true",
                "application/x-www-form-urlencoded",
            ),
            (json!({ "body": "ü" }), "ü", "text/plain; charset=utf-8"),
            (json!({ "base64": "aGVsbG8=" }), "hello", "application/octet-stream"),
        ] {
            assert_eq!(made(input), (bytes.to_owned(), content_type.to_owned()));
        }
        assert_eq!(body(json!({}), Path::new("/")), Ok(None));
    }

    #[test]
    fn a_request_has_one_body() {
        let message = body(json!({ "json": 1, "body": "x", "file": "a" }), Path::new("/"));
        assert_eq!(
            message.unwrap_err(),
            "`json`, `body`, `file` are all set, but a request has one body"
        );
    }

    #[test]
    fn a_file_is_read_below_its_folder_or_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test makes its files")]
        std::fs::write(folder.path().join("a.bin"), [0, 255]).unwrap();
        let sent = body(json!({ "file": "a.bin" }), folder.path()).unwrap().unwrap();
        assert_eq!(sent.bytes, [0, 255]);
        let message = body(json!({ "file": "b.bin" }), folder.path()).unwrap_err();
        assert!(message.contains("b.bin") && message.contains("--grant fs.in=PATH"), "{message}");
    }

    #[test]
    fn parts_are_told_apart_by_a_line_that_none_of_them_has() {
        let (bytes, content_type) = made(json!({ "multipart": [
            { "name": "a\"\r\n", "text": "one" },
            { "name": "b", "json": { "c": 1 } },
            { "name": "d", "base64": "aGVsbG8=", "filename": "e.txt", "content_type": "text/plain" },
            { "name": "k", "text": { "secret": "key" } },
        ] }));
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a%22%0D%0A\"\r\n\r\none\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"b\"\r\n\
             Content-Type: application/json\r\n\r\n{{\"c\":1}}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"d\"; filename=\"e.txt\"\r\n\
             Content-Type: text/plain\r\n\r\nhello\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"k\"\r\n\r\n<key>\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(bytes, expected);
        let (again, other) =
            made(json!({ "multipart": [{ "name": "a", "text": format!("--{boundary}") }] }));
        assert!(other != content_type && again.contains(boundary));
    }

    #[test]
    fn a_part_has_one_content_and_cannot_write_headers() {
        for part in [
            json!({ "name": "a" }),
            json!({ "name": "a", "text": "b", "json": 1 }),
            json!({ "name": "a", "text": "b", "content_type": "text/plain\r\nX-Injected: 1" }),
        ] {
            assert!(body(json!({ "multipart": [part] }), Path::new("/")).is_err());
        }
        assert!(body(json!({ "base64": "?" }), Path::new("/")).unwrap_err().contains("Base64"));
    }
}
