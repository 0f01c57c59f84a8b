//! The public keys of a provider, as RFC 7517 and 7518 write them, and what they sign.
//!
//! It fetches nothing. Keys that are not made for RS256 or ES256 are left out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rsa::PublicKeyComponents;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

use super::jwt::{Algorithm, Jwt};

/// How many keys of a provider are looked at.
const KEYS_MAX: usize = 64;

/// The keys of a provider.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point, uncompressed.
    P256(Vec<u8>),
}

/// A key as it is written.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads the keys. None when this is no set of keys, or there is none in it that can be used.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }

        let set: Set = serde_json::from_slice(text).ok()?;
        // A key of a kind that is not known yet must not hide the others.
        let written = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<Key> = written.filter_map(Key::read).take(KEYS_MAX).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Whether there is a key of this name, or any when a token names none.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        self.0.iter().any(|key| key.is_named(id))
    }

    /// Whether the key that a token names signed it, in the way that is the key's.
    pub(super) fn signed(&self, jwt: &Jwt<'_>) -> bool {
        let mut keys = self.0.iter().filter(|key| key.is_named(jwt.head.kid.as_deref()));
        keys.any(|key| key.public.signed(jwt))
    }
}

impl Key {
    fn read(written: Written) -> Option<Self> {
        let is_for_signing = written.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let is_for = |alg| written.alg.as_deref().is_none_or(|named| named == alg);
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let public = match written.kty.as_str() {
            "RSA" if is_for("RS256") => {
                let number = |text| Some(without_zeros(bytes(text)?));
                Public::Rsa { modulus: number(written.n)?, exponent: number(written.e)? }
            }
            "EC" if is_for("ES256") && written.crv.as_deref() == Some("P-256") => {
                let (x, y) = (bytes(written.x)?, bytes(written.y)?);
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                Public::P256([vec![4], x, y].concat())
            }
            _ => return None,
        };
        is_for_signing.then_some(Self { id: written.kid, public })
    }

    fn is_named(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.id.as_deref() == Some(id))
    }
}

impl Public {
    fn signed(&self, jwt: &Jwt<'_>) -> bool {
        let (signed, signature) = (jwt.signed, &jwt.signature);
        match (self, jwt.head.alg) {
            (Self::Rsa { modulus, exponent }, Algorithm::Rs256) => {
                let key = PublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            (Self::P256(point), Algorithm::Es256) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(signed, signature).is_ok()
            }
            (Self::Rsa { .. } | Self::P256(_), _) => false,
        }
    }
}

/// A number as its shortest bytes: some write it with zeros before it.
fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::*;

    /// A key of a provider that signs with ES256.
    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
            let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap())
        }

        fn public(&self, kid: &str) -> Value {
            let point = self.0.public_key().as_ref();
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encode(&point[1..33]),
                   "y": encode(&point[33..])})
        }

        fn sign(&self, head: &Value) -> String {
            let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", encode(head), encode(&json!({"sub": "ada"})));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn set(keys: &[Value]) -> Option<KeySet> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_token_is_signed_by_the_key_that_it_names() {
        let (one, two) = (Signer::new(), Signer::new());
        let keys = set(&[one.public("one"), two.public("two")]).unwrap();
        let signed = |text: &str| keys.signed(&Jwt::read(text).unwrap());
        assert!(signed(&two.sign(&json!({"alg": "ES256", "kid": "two"}))));
        assert!(signed(&two.sign(&json!({"alg": "ES256"}))), "any, when it names none");
        assert!(!signed(&two.sign(&json!({"alg": "ES256", "kid": "one"}))));
        assert!(!signed(&two.sign(&json!({"alg": "ES256", "kid": "three"}))));
        assert!(!signed(&Signer::new().sign(&json!({"alg": "ES256"}))));
        assert!(!signed(&one.sign(&json!({"alg": "RS256", "kid": "one"}))), "the key is of EC");
    }

    #[test]
    fn the_public_key_is_no_secret_of_hs256() {
        let provider = Signer::new();
        let keys = set(&[provider.public("one")]).unwrap();
        let point = provider.0.public_key().as_ref().to_vec();
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"one"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(r#"{"sub":"ada"}"#));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &point);
        let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        let text = format!("{signed}.{signature}");
        assert!(!keys.signed(&Jwt::read(&text).unwrap()));
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        let good = Signer::new().public("good");
        for (field, value) in
            [("use", "enc"), ("alg", "ES384"), ("crv", "P-384"), ("kty", "oct"), ("x", "AAAA")]
        {
            let mut other = good.clone();
            other[field] = json!(value);
            assert!(set(&[other.clone()]).is_none(), "{field}");
            let keys = set(&[other, json!(7), json!({"kty": "new"}), good.clone()]).unwrap();
            assert_eq!(keys.0.len(), 1, "{field}");
        }
        assert!(KeySet::read(b"{}").is_none());
        assert!(KeySet::read(b"{\"keys\":{}}").is_none());
    }

    #[test]
    fn a_short_key_of_rsa_signs_nothing() {
        let short = json!({"kty": "RSA", "kid": "s", "n": URL_SAFE_NO_PAD.encode([0xc5; 128]),
                           "e": "AQAB"});
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let text = format!("{head}.e30.{}", URL_SAFE_NO_PAD.encode([1; 128]));
        assert!(!set(&[short]).unwrap().signed(&Jwt::read(&text).unwrap()));
    }
}
