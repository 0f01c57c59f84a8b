//! Where a redirect leads, and what may be sent there.
//!
//! It does not ask whether the new place is granted: the host does, for every request.

use crate::input::Method;
use crate::plan::{Plan, PlanError, check_url};

/// How many redirects are followed.
pub const REDIRECTS_MAX: usize = 5;

/// Headers that may go to another origin. Any other may hold a secret, like `Authorization`,
/// `Cookie` or `X-Api-Key`.
const HARMLESS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "if-modified-since",
    "if-none-match",
    "pragma",
    "range",
    "user-agent",
];

/// A redirect leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// `Location` is not an address.
    #[error("it leads to `{location}`, which is not an address: {reason}")]
    Location {
        /// What the header says.
        location: String,
        /// What is wrong with it.
        reason: url::ParseError,
    },
    /// `Location` is an address that must not be called.
    #[error("it leads to an address that is not called: {0}")]
    Refused(PlanError),
}

/// Plans the next request when the answer to `plan` is a redirect that is followed.
///
/// `GET` and `HEAD` follow 301, 302, 303, 307 and 308. Other methods follow only 303, as a `GET`
/// without body: to send a body to a place that the caller has not named is the caller's decision.
/// A request to another origin keeps only headers that hold no secret.
///
/// # Errors
///
/// A [`RedirectError`] when the redirect would be followed but leads nowhere.
pub fn next(
    plan: &Plan,
    status: u16,
    location: Option<&str>,
) -> Result<Option<Plan>, RedirectError> {
    let Some(location) = location.filter(|_| is_followed(plan.method, status)) else {
        return Ok(None);
    };
    let mut next = follow(plan, location)?;
    if !matches!(plan.method, Method::Get | Method::Head) {
        next.method = Method::Get;
        next.body = None;
        let speaks_of_body = |name: &str| {
            name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
                || name.eq_ignore_ascii_case("idempotency-key")
        };
        next.headers.retain(|(name, _)| !speaks_of_body(name));
    }
    Ok(Some(next))
}

/// Plans the same request to another address, which may be relative to that of `plan`. What goes to
/// another origin keeps only headers that hold no secret, and its certificate is verified.
///
/// # Errors
///
/// A [`RedirectError`] when it is no address that may be called.
pub fn follow(plan: &Plan, location: &str) -> Result<Plan, RedirectError> {
    let mut url = plan
        .url
        .join(location)
        .map_err(|reason| RedirectError::Location { location: location.to_owned(), reason })?;
    check_url(&url).map_err(RedirectError::Refused)?;
    url.set_fragment(None);
    let mut next = Plan { url, ..plan.clone() };
    if plan.url.origin() != next.url.origin() {
        let is_harmless = |name: &str| HARMLESS.iter().any(|own| name.eq_ignore_ascii_case(own));
        next.headers.retain(|(name, _)| is_harmless(name));
        next.key = None;
        next.verify_tls = true;
    }
    Ok(next)
}

/// Whether `status` says that the resource is elsewhere.
pub const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

const fn is_followed(method: Method, status: u16) -> bool {
    is_redirect(status) && (matches!(method, Method::Get | Method::Head) || status == 303)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn plan(input: Value) -> Plan {
        let input = serde_json::from_value(input).unwrap();
        Plan::new(&input, "key", Path::new("/"), &|name| Ok(name.to_owned())).unwrap()
    }

    fn get(url: &str) -> Plan {
        let headers = json!({
            "Authorization": "Bearer s", "Cookie": "s", "X-Api-Key": "s", "Accept": "text/html",
        });
        let key = json!({ "api_key": { "name": "key", "value": "s", "in": "query" } });
        let is_http = url.starts_with("http:");
        plan(json!({ "url": url, "headers": headers, "auth": key, "verify_tls": is_http }))
    }

    fn names(plan: &Plan) -> Vec<String> {
        plan.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    #[test]
    fn a_location_is_relative_to_the_address_that_answered() {
        let from = get("https://example.com/a/b?c=1");
        for (location, to) in [
            ("d", "https://example.com/a/d"),
            ("/d#part", "https://example.com/d"),
            ("?d=2", "https://example.com/a/b?d=2"),
            ("//other.example/d", "https://other.example/d"),
            ("http://127.0.0.1:81/", "http://127.0.0.1:81/"),
        ] {
            let next = next(&from, 302, Some(location)).unwrap().unwrap();
            assert_eq!(next.url.as_str(), to);
        }
    }

    #[test]
    fn within_an_origin_every_header_is_kept() {
        let from = get("https://example.com/");
        let next = next(&from, 301, Some("https://EXAMPLE.com:443/b")).unwrap().unwrap();
        assert_eq!((next.headers, next.key), (from.headers, from.key));
        assert!(!next.verify_tls);
    }

    #[test]
    fn no_secret_goes_to_another_origin() {
        for location in
            ["https://other.example/", "http://example.com/", "https://example.com:8443/"]
        {
            let next = next(&get("https://example.com/"), 307, Some(location)).unwrap().unwrap();
            assert_eq!(names(&next), ["accept", "user-agent"], "{location}");
            assert_eq!((next.key, next.verify_tls), (None, true), "{location}");
        }
    }

    #[test]
    fn see_other_turns_a_post_into_a_get_without_body() {
        let from = plan(json!({ "url": "https://example.com/", "method": "POST", "json": {} }));
        let next = next(&from, 303, Some("/done")).unwrap().unwrap();
        assert_eq!((next.method, &next.body), (Method::Get, &None));
        assert_eq!(names(&next), ["user-agent"]);
    }

    #[test]
    fn a_body_is_never_sent_to_a_place_that_the_caller_has_not_named() {
        let from = plan(json!({ "url": "https://example.com/", "method": "POST", "json": {} }));
        for status in [301, 302, 307, 308] {
            assert!(matches!(next(&from, status, Some("/elsewhere")), Ok(None)));
        }
    }

    #[test]
    fn head_stays_head() {
        let from = plan(json!({ "url": "https://example.com/", "method": "HEAD" }));
        let next = next(&from, 303, Some("/b")).unwrap().unwrap();
        assert_eq!(next.method, Method::Head);
    }

    #[test]
    fn an_answer_that_is_no_redirect_is_left_alone() {
        let from = get("https://example.com/");
        for (status, location) in
            [(200, Some("/b")), (201, Some("/b")), (300, Some("/b")), (304, None), (302, None)]
        {
            assert!(matches!(next(&from, status, location), Ok(None)), "{status}");
        }
    }

    #[test]
    fn a_redirect_out_of_http_is_refused() {
        let from = get("https://example.com/");
        for location in ["file:///etc/passwd", "https://me:secret@example.com/", "http://["] {
            assert!(next(&from, 302, Some(location)).is_err(), "{location}");
        }
    }
}
