//! What a limited caller is told of its limits, on every answer.
//!
//! It counts nothing: the engine does.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use apflow_model::rate::{Standing, WINDOW_SECONDS};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// Where the limits of a request's caller are noted, once it is known.
#[derive(Clone, Default)]
pub(super) struct Standings(Arc<OnceLock<Vec<Standing>>>);

impl Standings {
    pub(super) fn note(&self, standings: Vec<Standing>) {
        // A request is counted once.
        self.0.set(standings).ok();
    }
}

/// Tells the caller of a request what is left of its limits.
pub(super) async fn tell(mut request: Request, next: Next) -> Response {
    let standings = Standings::default();
    request.extensions_mut().insert(standings.clone());
    let mut response = next.run(request).await;
    if let Some(standings) = standings.0.get() {
        response.headers_mut().extend(headers(standings));
    }
    response
}

/// The headers of these limits: those of old for the one with least left, and those of
/// draft-ietf-httpapi-ratelimit-headers-10 for all.
fn headers(standings: &[Standing]) -> HeaderMap {
    let Some(least) = standings.iter().min_by_key(|standing| standing.remaining) else {
        return HeaderMap::new();
    };
    let (mut policies, mut left) = (String::new(), String::new());
    for Standing { kind, limit, remaining, reset } in standings {
        let comma = if policies.is_empty() { "" } else { ", " };
        // Writing to a text does not fail.
        write!(policies, "{comma}\"{kind}\";q={limit};w={WINDOW_SECONDS}").unwrap_or_default();
        write!(left, "{comma}\"{kind}\";r={remaining};t={reset}").unwrap_or_default();
    }
    let text = |text: String| HeaderValue::try_from(text).ok();
    let named = [
        ("x-ratelimit-limit", Some(least.limit.into())),
        ("x-ratelimit-remaining", Some(least.remaining.into())),
        ("x-ratelimit-reset", Some(least.reset.into())),
        ("ratelimit-policy", text(policies)),
        ("ratelimit", text(left)),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
    named.map(|(name, value)| (HeaderName::from_static(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_is_told_the_old_way_and_all_the_new_way() {
        let role = Standing { kind: "role", limit: 100, remaining: 4, reset: 3 };
        let principal = Standing { kind: "principal", limit: 60, remaining: 9, reset: 41 };
        let headers = headers(&[principal, role]);
        let text = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(text("x-ratelimit-limit"), "100");
        assert_eq!((text("x-ratelimit-remaining"), text("x-ratelimit-reset")), ("4", "3"));
        assert_eq!(text("ratelimit-policy"), r#""principal";q=60;w=60, "role";q=100;w=60"#);
        assert_eq!(text("ratelimit"), r#""principal";r=9;t=41, "role";r=4;t=3"#);
    }

    #[test]
    fn who_has_no_limit_is_told_of_none() {
        assert!(headers(&[]).is_empty());
    }
}
