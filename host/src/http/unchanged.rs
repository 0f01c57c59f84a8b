//! Answers that have not changed since a client saw them are not sent again.
//!
//! It saves the way, not the work: what there is now must be known to compare it.

use std::fmt::Write;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

/// The largest answer that gets a tag, in bytes: it takes about a millisecond.
const TAGGED_BYTES_MAX: u64 = 1 << 20;
/// How many bytes of its digest are the tag of an answer.
const TAG_BYTES: usize = 16;

/// Gives answers their tags, and answers 304 to a client that has the same already.
pub(super) async fn skip(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let seen: Vec<_> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let mut response = tagged(response).await;
    let Some(tag) = response.headers().get(ETAG) else { return response };
    if !seen.iter().any(|seen| is_among(tag, seen)) {
        return response;
    }
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().remove(CONTENT_TYPE);
    response.map(|_| Body::empty())
}

/// The answer with a tag, if it is small and JSON. One that has a tag keeps it.
async fn tagged(response: Response) -> Response {
    let is_small = response.body().size_hint().exact().is_some_and(|size| size <= TAGGED_BYTES_MAX);
    if !is_small || response.headers().contains_key(ETAG) || !is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            if let Ok(tag) = HeaderValue::from_str(&tag(&body)) {
                parts.headers.insert(ETAG, tag);
            }
            Response::from_parts(parts, body.into())
        }
        // It was in memory, so this does not happen.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

/// A weak one: the same answer may be sent compressed or not.
fn tag(body: &[u8]) -> String {
    let mut tag = "W/\"".to_owned();
    for byte in &Sha256::digest(body)[..TAG_BYTES] {
        // Writing to a text does not fail.
        write!(tag, "{byte:02x}").unwrap_or_default();
    }
    tag.push('"');
    tag
}

/// Whether a tag is among those that a client has seen. Weak or not does not matter, as in RFC 9110,
/// section 13.1.2.
fn is_among(tag: &HeaderValue, seen: &HeaderValue) -> bool {
    let (Ok(tag), Ok(seen)) = (tag.to_str(), seen.to_str()) else { return false };
    seen.trim() == "*" || seen.split(',').any(|seen| bare(seen) == bare(tag))
}

fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let found = |tag: &str, seen: &str| is_among(&value(tag), &value(seen));
        assert!(found("W/\"a\"", "W/\"a\"") && found("W/\"a\"", "\"a\""));
        assert!(found("\"a\"", "\"b\", W/\"a\"") && found("\"a\"", "*"));
        assert!(!found("\"a\"", "\"b\"") && !found("\"a\"", "a") && !found("\"a\"", ""));
    }

    #[test]
    fn other_bodies_have_other_tags() {
        assert_eq!(tag(b"{}"), tag(b"{}"));
        assert_ne!(tag(b"{}"), tag(b"[]"));
        assert_eq!(tag(b"").len(), 2 + 2 + 2 * TAG_BYTES);
    }
}
