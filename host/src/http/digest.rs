//! Digests of what is sent, as in RFC 9530: `Content-Digest` and `Repr-Digest`.
//!
//! It knows sha-256 alone, since that is what the host knows files by.

use apflow_model::plugin::Digest;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The headers that may say a digest. Nothing is encoded on its way in, so both say the same.
const HEADERS: [&str; 2] = ["content-digest", "repr-digest"];
const ALGORITHM: &str = "sha-256";

/// The digest that a sender says its bytes have. None when it says none.
///
/// # Errors
///
/// A sentence, for a header that cannot be checked: a sender who wants a check must not believe that
/// it was made.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<Digest>, String> {
    let mut found = None;
    for name in HEADERS {
        for value in headers.get_all(name) {
            let digest = value.to_str().ok().and_then(read).ok_or_else(|| {
                format!("the header `{name}` is not valid: expected `{ALGORITHM}=:BASE64:`")
            })?;
            if found.is_some_and(|found| found != digest) {
                return Err(format!("the header `{name}` says another digest than one before it"));
            }
            found = Some(digest);
        }
    }
    Ok(found)
}

/// The sha-256 in a dictionary of digests.
fn read(text: &str) -> Option<Digest> {
    let mut digests = text.split(',').filter_map(|entry| entry.trim().split_once('='));
    let (_, value) = digests.find(|(algorithm, _)| *algorithm == ALGORITHM)?;
    let base64 = value.strip_prefix(':')?.strip_suffix(':')?;
    Some(Digest(STANDARD.decode(base64).ok()?.try_into().ok()?))
}

/// A digest as a header says it.
pub(super) fn header(digest: &Digest) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{ALGORITHM}=:{}:", STANDARD.encode(digest.0))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha-256=:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=:";

    fn of(pairs: &[(&'static str, &'static str)]) -> Result<Option<Digest>, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        expected(&pairs.collect::<HeaderMap>())
    }

    #[test]
    fn the_sha_256_of_either_header_is_expected() {
        assert_eq!(of(&[]).unwrap(), None);
        for name in HEADERS {
            assert_eq!(of(&[(name, DIGEST)]).unwrap(), Some(Digest([1; 32])));
        }
        let more = "md5=:AQ==:, sha-256=:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=:";
        assert_eq!(of(&[("content-digest", more)]).unwrap(), Some(Digest([1; 32])));
        assert_eq!(header(&Digest([1; 32])).unwrap(), DIGEST);
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for value in ["", "sha-512=:AQ==:", "sha-256=AQ==", "sha-256=:AQ==:", "sha-256=:%:"] {
            assert!(of(&[("content-digest", value)]).is_err(), "{value}");
        }
        let other = "sha-256=:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=:";
        assert!(of(&[("content-digest", DIGEST), ("repr-digest", other)]).is_err());
    }
}
