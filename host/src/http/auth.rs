//! From a request to its caller.

use apflow_api::Code;
use apflow_model::access::Principal;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::Problem;

/// What callers show to be let in: the token of the operator.
pub(crate) struct Access(String);

impl Access {
    pub(crate) fn new(token: String) -> Self {
        Self(token)
    }

    /// Who sends a request.
    ///
    /// It is asked before the body is read: strangers cannot make the host read megabytes.
    #[expect(clippy::unused_async, reason = "tokens in the database are looked up here")]
    pub(super) async fn caller(&self, request: &Parts) -> Result<Principal, Problem> {
        self.principal(&request.headers).ok_or_else(|| {
            let detail = "send the header `Authorization: Bearer TOKEN`; `serve` prints where its \
                token is";
            Problem::new(Code::Unauthorized, detail)
        })
    }

    /// Who sends these headers. None when the token is missing or wrong.
    fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        (is_bearer && is_same(token.trim(), &self.0)).then(|| Principal::admin("admin"))
    }
}

/// Compares in a time that depends on the lengths alone, so that a guess learns nothing from it.
fn is_same(left: &str, right: &str) -> bool {
    let difference = left.bytes().zip(right.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0 && left.len() == right.len()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let access = Access::new("apf_secret".to_owned());
        let principal = |header: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(header))]);
            access.principal(&headers)
        };
        assert!(principal("Bearer apf_secret").is_some());
        assert!(principal("bearer apf_secret").is_some());
        for wrong in ["Bearer apf_secre", "Bearer apf_secret1", "Bearer ", "Basic apf_secret", ""] {
            assert!(principal(wrong).is_none(), "{wrong}");
        }
        assert!(access.principal(&HeaderMap::new()).is_none());
    }
}
