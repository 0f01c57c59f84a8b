//! The page that shows the `OpenAPI` document to people.
//!
//! It needs nothing but this host: all its files are embedded, and its policy lets it reach nothing
//! else.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Where the page is. Its files are below.
pub(super) const PATH: &str = "/api/docs";

/// Only what this host serves. The page sets styles on its own elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
struct File {
    path: &'static str,
    media: &'static str,
    bytes: &'static [u8],
    is_gzip: bool,
}

const FILES: [File; 4] = [
    File {
        path: PATH,
        media: "text/html; charset=utf-8",
        bytes: include_bytes!("swagger-ui/index.html"),
        is_gzip: false,
    },
    File {
        path: "/api/docs/start.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("swagger-ui/start.js"),
        is_gzip: false,
    },
    File {
        path: "/api/docs/swagger-ui-bundle.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("swagger-ui/swagger-ui-bundle.js.gz"),
        is_gzip: true,
    },
    File {
        path: "/api/docs/swagger-ui.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("swagger-ui/swagger-ui.css.gz"),
        is_gzip: true,
    },
];

/// The routes of the page and its files.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(|| std::future::ready(answer(file))))
    })
}

/// Every browser reads gzip, so there is no other form of the large files.
fn answer(file: &'static File) -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, file.media),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    let encoding = file.is_gzip.then_some([(CONTENT_ENCODING, "gzip")]);
    match encoding {
        Some(encoding) => (headers, encoding, file.bytes).into_response(),
        None => (headers, file.bytes).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_origin() {
        for file in FILES.iter().filter(|file| !file.is_gzip) {
            let text = std::str::from_utf8(file.bytes).unwrap();
            assert!(!text.contains("://") && !text.contains("\"//"), "{}", file.path);
        }
        assert!(!POLICY.contains("http") && !POLICY.contains('*'));
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let page = std::str::from_utf8(FILES[0].bytes).unwrap();
        let served = FILES.iter().skip(1).filter(|file| page.contains(file.path)).count();
        assert_eq!((served, page.matches("/api/docs/").count()), (3, 3));
    }
}
