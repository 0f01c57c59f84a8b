//! Posting what a cost policy notifies of, as <https://www.standardwebhooks.com> says: with an id that
//! stays the same when it is posted again, and signed where there is a secret.
//!
//! Where it goes, the policy says, which the operator wrote. So private addresses are fine, as for
//! everything that the host itself asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apflow_api::{Post, SystemClock, WebhookCall};
use apflow_model::clock::Clock;
use apflow_sandbox::OwnClient;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;

/// How long whoever is notified may take to answer.
const POST_TIMEOUT: Duration = Duration::from_secs(10);
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

/// How the host posts.
pub(crate) fn post(secret: Option<&WebhookSecret>) -> Post {
    let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret.0));
    let client = OwnClient::default();
    Arc::new(move |call: WebhookCall| {
        let seconds = SystemClock.now().unix_ms().div_euclid(1_000);
        let headers = headers(key.as_ref(), &call, seconds);
        let client = client.clone();
        Box::pin(async move {
            let posted = client.post(&call.url, &headers, call.body.into(), POST_TIMEOUT).await;
            posted.map_err(|error| error.to_string())
        })
    })
}

/// What is said of a post beside its body.
fn headers(
    key: Option<&hmac::Key>,
    call: &WebhookCall,
    seconds: i64,
) -> Vec<(&'static str, String)> {
    let mut headers =
        vec![("webhook-id", call.id.clone()), ("webhook-timestamp", seconds.to_string())];
    if let Some(key) = key {
        let signed = format!("{}.{seconds}.{}", call.id, call.body);
        let signature = STANDARD.encode(hmac::sign(key, signed.as_bytes()));
        headers.push(("webhook-signature", format!("v1,{signature}")));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_post_is_signed_as_others_verify_it() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let secret = WebhookSecret::try_from(secret).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let call = WebhookCall {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            url: String::new(),
            body: "{\"test\": 2432232314}".to_owned(),
        };
        let headers = headers(Some(&key), &call, 1_614_265_330);
        assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(super::headers(None, &call, 0).len(), 2, "nothing signs without a secret");
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(WebhookSecret::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
