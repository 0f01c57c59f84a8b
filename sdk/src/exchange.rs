//! One HTTP exchange in plain values: what goes out, what comes back, or why nothing did.
//!
//! Nothing is sent here: [`crate::backend`] does that, and [`crate::http`] is what plugins see.

mod code;
mod error;
mod http_date;
mod response;
mod retry_after;
mod url;

use std::time::Duration;

pub use error::Error;
pub use response::Response;
pub(crate) use url::Url;

/// A request without mistakes.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Duration,
}

impl Call {
    /// Whether `content-length` must be added: servers do not like to guess at bodies, and a method
    /// that usually has one should say when it is empty.
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "scripts need no length"))]
    pub(crate) fn announces_length(&self) -> bool {
        let expected = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        (expected || !self.body.is_empty()) && header(&self.headers, "content-length").is_none()
    }
}

/// The first value of a header, whatever the case of its name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}
