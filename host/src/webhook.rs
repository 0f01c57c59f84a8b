//! What a post to a webhook says beside its body, as <https://www.standardwebhooks.com> has it: an id
//! that stays the same when it is posted again, and a signature where there is a secret.
//!
//! It posts nothing: `assemble` hands the engine a client that does.

use std::fmt;

use apflow_api::WebhookCall;
use apflow_model::clock::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;

/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// The fewest and the most bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What posts are signed with: 24 to 64 bytes in base 64, after `whsec_`.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct WebhookSecret(Vec<u8>);

impl TryFrom<String> for WebhookSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).map(Self).ok_or_else(|| {
            format!(
                "expected `{SECRET_PREFIX}` and then {} to {} bytes in base 64, as \
                 `openssl rand -base64 32` makes them",
                SECRET_BYTES.start(),
                SECRET_BYTES.end()
            )
        })
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret")
    }
}

/// Writes what is said of a post beside its body.
pub(crate) struct Signer(Option<hmac::Key>);

impl Signer {
    /// Signs with this secret, or nothing without one.
    pub(crate) fn new(secret: Option<&WebhookSecret>) -> Self {
        Self(secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret.0)))
    }

    /// The headers of a post that is sent now.
    pub(crate) fn headers(
        &self,
        call: &WebhookCall,
        now: Timestamp,
    ) -> Vec<(&'static str, String)> {
        let seconds = now.unix_ms().div_euclid(1_000);
        let mut headers =
            vec![("webhook-id", call.id.clone()), ("webhook-timestamp", seconds.to_string())];
        if let Some(key) = &self.0 {
            let signed = format!("{}.{seconds}.{}", call.id, call.body);
            let signature = STANDARD.encode(hmac::sign(key, signed.as_bytes()));
            headers.push(("webhook-signature", format!("v1,{signature}")));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_post_is_signed_as_others_verify_it() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let secret = WebhookSecret::try_from(secret).unwrap();
        let call = WebhookCall {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            url: String::new(),
            body: "{\"test\": 2432232314}".to_owned(),
        };
        let now = Timestamp::from_unix_ms(1_614_265_330_999);
        let headers = Signer::new(Some(&secret)).headers(&call, now);
        assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(
            Signer::new(None).headers(&call, now).len(),
            2,
            "nothing signs without a secret"
        );
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(WebhookSecret::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
