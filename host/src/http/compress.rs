//! Which answers are sent compressed.

use axum::http::header::CONTENT_TYPE;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// A smaller answer fits into a packet anyway.
const BYTES_MIN: u64 = 1_024;

/// Compresses text for those who accept it.
///
/// Not streams of events, which must not wait for more, and not files, which may be compressed
/// already and are sent in parts.
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .gzip(true)
        // The best takes many times as long for a few percent.
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(BYTES_MIN).and(is_text))
}

fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_stream = kind == "text/event-stream";
    let is_text =
        kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("javascript");
    is_text && !is_stream
}
