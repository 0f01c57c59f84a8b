//! JSON web tokens as they are written: RFC 7515, in its compact form, with HS256, RS256 and ES256.
//!
//! An algorithm belongs to a kind of key, and the kind of key is chosen by the host: what a token
//! says of its algorithm only selects among keys that are made for it. There is no `none`.

use apflow_model::auth::JwtSecret;
use apflow_model::claims::Claims;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    /// By a secret that both sides have.
    #[serde(rename = "HS256")]
    Hs256,
    /// By a key of RSA.
    #[serde(rename = "RS256")]
    Rs256,
    /// By a key on the curve P-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// The head of a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Head {
    /// How it is signed.
    pub(crate) alg: Algorithm,
    /// The name of the key.
    pub(crate) kid: Option<String>,
    /// What must be understood to hear the token. The host understands nothing of that kind.
    crit: Option<Value>,
}

/// A token that was read, and not verified yet.
#[derive(Debug)]
pub(crate) struct Jwt<'text> {
    /// Its head.
    pub(crate) head: Head,
    /// What it claims, if its signature is right.
    pub(crate) claims: Claims,
    /// What was signed.
    pub(crate) signed: &'text [u8],
    /// The signature.
    pub(crate) signature: Vec<u8>,
}

impl<'text> Jwt<'text> {
    /// Whether a text looks like one, whatever is in it.
    pub(crate) fn is_like(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// What it is not, for the host's log.
    pub(crate) fn read(text: &'text str) -> Result<Self, &'static str> {
        let (signed, signature) = text.rsplit_once('.').ok_or("it has no three parts")?;
        let (head, body) = signed.split_once('.').ok_or("it has no three parts")?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "it is no base64url");
        let head = serde_json::from_slice::<Head>(&decode(head)?);
        let head = head.map_err(|_| "its head is none that the host knows")?;
        if head.crit.is_some() {
            return Err("it has parts that must be understood, and are not");
        }
        let body = serde_json::from_slice(&decode(body)?).map_err(|_| "its body is no JSON")?;
        let claims = Claims::new(body).ok_or("its body is no JSON object")?;
        Ok(Self { head, claims, signed: signed.as_bytes(), signature: decode(signature)? })
    }

    /// Whether one of these secrets signed it, compared in constant time.
    pub(crate) fn is_signed_by(&self, secrets: &[JwtSecret]) -> bool {
        self.head.alg == Algorithm::Hs256
            && secrets
                .iter()
                .any(|secret| hmac::verify(&key(secret), self.signed, &self.signature).is_ok())
    }
}

/// Writes a token, signed by a secret.
pub(crate) fn sign(claims: &Map<String, Value>, secret: &JwtSecret) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({ "alg": "HS256", "typ": "JWT" }));
    let signed = format!("{head}.{}", encode(Value::Object(claims.clone())));
    let signature = hmac::sign(&key(secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn key(secret: &JwtSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> JwtSecret {
        JwtSecret::try_from(text.repeat(32)).unwrap()
    }

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn the_token_of_the_standard_is_read() {
        // RFC 7515, appendix A.1.
        const TEXT: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
            .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
            .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        const KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let jwt = Jwt::read(TEXT).unwrap();
        assert_eq!(jwt.claims.all()["iss"], "joe");
        let key = URL_SAFE_NO_PAD.decode(KEY).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        assert!(hmac::verify(&key, jwt.signed, &jwt.signature).is_ok());
    }

    #[test]
    fn any_of_the_secrets_verifies_and_no_other_does() {
        let claims = json!({ "sub": "ada" });
        let text = sign(claims.as_object().unwrap(), &secret("a"));
        let jwt = Jwt::read(&text).unwrap();
        assert!(jwt.is_signed_by(&[secret("b"), secret("a")]));
        assert!(!jwt.is_signed_by(&[secret("b")]));
        assert!(!jwt.is_signed_by(&[]));
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        for changed in [
            format!("{head}.{}.{signature}", encode(r#"{"sub":"eve"}"#)),
            format!("{signed}."),
            format!("{signed}.{}", &signature[..40]),
        ] {
            assert!(!Jwt::read(&changed).unwrap().is_signed_by(&[secret("a")]), "{changed}");
        }
    }

    #[test]
    fn no_algorithm_and_an_unknown_one_are_refused() {
        let body = encode(r#"{"sub":"ada"}"#);
        for head in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","crit":["exp"]}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"typ":"JWT"}"#,
            "{",
        ] {
            for end in ["", "AAAA"] {
                assert!(Jwt::read(&format!("{}.{body}.{end}", encode(head))).is_err(), "{head}");
            }
        }
    }

    #[test]
    fn a_token_in_another_form_is_refused() {
        let head = encode(r#"{"alg":"HS256"}"#);
        let body = encode(r#"{"sub":"ada"}"#);
        for text in [
            String::new(),
            "..".to_owned(),
            format!("{head}.{body}"),
            format!("{head}.{body}.AAAA.AAAA"),
            format!("{head}.{body}.AAAA="),
            format!("{head}.{body}.A+/A"),
            format!("{head}.{}.AAAA", encode("[]")),
            format!("{head}.{}.AAAA", encode("1")),
            format!(" {head}.{body}.AAAA"),
        ] {
            assert!(Jwt::read(&text).is_err(), "{text}");
        }
    }
}
