//! Files that go out as streams: what tasks left, and what callers uploaded. All of one, or a part.

use std::fmt::Write;

use apflow_api::{ApiError, Code, Input, OpenFile, OpenUpload, Operation};
use apflow_model::plugin::Digest;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use cap_std::fs::File;

use super::body::FileBody;
use super::problem::Problem;
use super::range::{Part, Validators};
use super::{Door, RequestId, digest, route};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What a file may be said to be, by the ending of its name: nothing that a browser runs. All else
/// is bytes.
const KINDS: [(&str, &str); 14] = [
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("png", "image/png"),
    ("tar", "application/x-tar"),
    ("txt", "text/plain"),
    ("webp", "image/webp"),
    ("zip", "application/zip"),
];

/// A file that somebody asked for.
struct Download {
    /// Its path, or its name.
    name: String,
    size: u64,
    validators: Validators,
    /// The sha256 of its bytes, where it is known.
    sha256: Option<Digest>,
    bytes: File,
}

/// Hands out what a task left.
pub(super) async fn open(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let (mut parts, _) = request.into_parts();
    let found = left(&door, &mut parts, &id).await;
    answer(found, &parts, id)
}

/// Hands out what a caller uploaded.
pub(super) async fn open_upload(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let (mut parts, _) = request.into_parts();
    let found = uploaded(&door, &mut parts, &id).await;
    answer(found, &parts, id)
}

async fn left(door: &Door, parts: &mut Parts, id: &str) -> Result<Download, Problem> {
    let caller = door.caller(OpenFile::NAME, parts).await?;
    let input = Input { fields: route::fields(parts).await?, ..Input::default() };
    let found = async { door.api.invoke(OpenFile::read(input)?, &caller).await };
    let opened = found.await.map_err(|error: ApiError| Problem::of(&error, id))?;
    let file = opened.file;
    // A completed task is not run again, so its files stay as they are.
    let written = opened.modified_at.unix_ms();
    let tag = format!("\"{}-{:x}-{written:x}\"", file.task_id, file.size);
    let validators = Validators::new(tag, opened.modified_at);
    let (size, bytes) = (file.size, opened.bytes);
    Ok(Download { name: file.name, size, validators, sha256: None, bytes })
}

async fn uploaded(door: &Door, parts: &mut Parts, id: &str) -> Result<Download, Problem> {
    let caller = door.caller(OpenUpload::NAME, parts).await?;
    let input = Input { fields: route::fields(parts).await?, ..Input::default() };
    let found = async { door.api.invoke(OpenUpload::read(input)?, &caller).await };
    let opened = found.await.map_err(|error: ApiError| Problem::of(&error, id))?;
    let upload = opened.upload;
    let validators = Validators::new(format!("\"{}\"", upload.sha256), upload.created_at);
    let sha256 = Some(upload.sha256);
    Ok(Download { name: upload.name, size: upload.size, validators, sha256, bytes: opened.bytes })
}

fn answer(found: Result<Download, Problem>, request: &Parts, id: String) -> Response {
    match found {
        Ok(download) => download.answer(request, id),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

impl Download {
    fn answer(self, request: &Parts, id: String) -> Response {
        let gets_bytes = request.method == Method::GET;
        let part = self.validators.choose(&request.headers, self.size, gets_bytes);
        let mut headers = self.validating();
        let (status, start, size) = match part {
            Part::Whole => (StatusCode::OK, 0, self.size),
            Part::Range { start, size } => {
                let range = format!("bytes {start}-{}/{}", start + size - 1, self.size);
                add(&mut headers, CONTENT_RANGE, HeaderValue::from_str(&range).ok());
                (StatusCode::PARTIAL_CONTENT, start, size)
            }
            Part::NotModified => return (StatusCode::NOT_MODIFIED, headers).into_response(),
            Part::Failed => {
                let detail = "the file is not the one that the request is about";
                return refuse(Code::PreconditionFailed, detail, id);
            }
            Part::NotSatisfiable => {
                let detail = format!("the file has {} bytes, and none in this range", self.size);
                let mut refused = refuse(Code::RangeNotSatisfiable, detail, id);
                let range = HeaderValue::from_str(&format!("bytes */{}", self.size)).ok();
                add(refused.headers_mut(), CONTENT_RANGE, range);
                return refused;
            }
        };
        // A browser must neither run what a guest made up, nor guess what it is.
        let kind = HeaderValue::from_static(kind(&self.name));
        add(&mut headers, CONTENT_TYPE, Some(kind));
        let nosniff = HeaderValue::from_static("nosniff");
        add(&mut headers, X_CONTENT_TYPE_OPTIONS, Some(nosniff));
        add(&mut headers, CONTENT_DISPOSITION, Some(disposition(&self.name)));
        add(&mut headers, CONTENT_LENGTH, Some(HeaderValue::from(size)));
        add(&mut headers, REPR_DIGEST, self.sha256.as_ref().and_then(digest::header));
        let body = Body::new(FileBody::new(self.bytes, start, size));
        (status, headers, body).into_response()
    }

    /// What tells whether it is still the same file.
    fn validating(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        add(&mut headers, ACCEPT_RANGES, Some(HeaderValue::from_static("bytes")));
        add(&mut headers, ETAG, HeaderValue::from_str(&self.validators.tag).ok());
        let modified = HeaderValue::from_str(&self.validators.modified()).ok();
        add(&mut headers, LAST_MODIFIED, modified);
        headers
    }
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

fn refuse(code: Code, detail: impl Into<String>, id: String) -> Response {
    Problem::new(code, detail).in_request(id).into_response()
}

fn kind(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let known = KINDS.iter().find(|(known, _)| ending.as_deref() == Some(*known));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

/// The name to save a file under, as in RFC 6266: the last step of its path.
fn disposition(path: &str) -> HeaderValue {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut text = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        let text = |path| disposition(path).to_str().unwrap().to_owned();
        assert_eq!(text("below/report.csv"), "attachment; filename*=UTF-8''report.csv");
        assert_eq!(
            text("a\"; x=\r\n\u{e9}"),
            "attachment; filename*=UTF-8''a%22%3B%20x%3D%0D%0A%C3%A9"
        );
    }

    #[test]
    fn nothing_is_said_to_be_what_a_browser_runs() {
        assert_eq!(kind("below/report.CSV"), "text/csv");
        for name in ["a.html", "a.svg", "a.xml", "a.js", "a.txt.html", "csv", "a.", "", "a.pdf"] {
            assert_eq!(kind(name), "application/octet-stream", "{name}");
        }
        for (_, kind) in KINDS {
            assert!(!["html", "xml", "svg", "script"].iter().any(|bad| kind.contains(bad)));
        }
    }
}
