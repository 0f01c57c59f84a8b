//! Tokens of a provider of identities, which runs here and signs with keys of its own.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;
use crate::tokens::{by_secret, jwt, patient, unix_now};

/// A provider of identities, with what it says at `/keys`.
struct Issuer {
    server: Server,
    rsa: RsaKeyPair,
    curve: EcdsaKeyPair,
}

impl Issuer {
    fn start() -> (Self, Arc<Mutex<Value>>) {
        let keys = Arc::new(Mutex::new(json!({"keys": []})));
        let (said, origin) = (Arc::clone(&keys), Arc::<Mutex<String>>::default());
        let here = Arc::clone(&origin);
        let server = Server::start(move |hit| match hit.path.as_str() {
            "/.well-known/openid-configuration" => {
                let origin = here.lock().unwrap();
                Reply::json(&json!({"issuer": *origin, "jwks_uri": format!("{origin}/keys")}))
            }
            _ => Reply::json(&said.lock().unwrap()),
        });
        *origin.lock().unwrap() = server.origin();
        let pem = include_str!("../certificates/issuer.key.pem");
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let rsa = RsaKeyPair::from_pkcs8(&STANDARD.decode(lines).unwrap()).unwrap();
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let curve = EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap();
        (Self { server, rsa, curve }, keys)
    }

    fn host(&self) -> TestHost {
        let oidc = format!(
            "  oidc:\n    issuer: {}\n    audience: apflow\n    role_claim: groups\n    \
             roles: {{ ops: admin, staff: user }}\n",
            self.server.origin()
        );
        patient(&oidc)
    }

    fn rsa_key(&self) -> Value {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig",
               "n": encode(&public.n), "e": encode(&public.e)})
    }

    fn curve_key(&self) -> Value {
        let point = self.curve.public_key().as_ref();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "kid": "ec", "crv": "P-256",
               "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    fn claims(&self) -> Value {
        json!({"iss": self.server.origin(), "aud": "apflow", "sub": "ada", "groups": ["x", "staff"],
               "exp": unix_now() + 1_000})
    }

    fn by_rsa(&self, claims: &Value) -> String {
        jwt(&json!({"alg": "RS256", "kid": "rsa"}), claims, |signed| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
            signature
        })
    }

    fn by_curve(&self, head: &Value, claims: &Value) -> String {
        jwt(head, claims, |signed| {
            self.curve.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
        })
    }
}

#[test]
fn who_a_provider_of_identities_vouches_for_is_let_in() {
    let (issuer, keys) = Issuer::start();
    *keys.lock().unwrap() = json!({"keys": [issuer.rsa_key(), issuer.curve_key()]});
    let host = issuer.host();
    let serving = Serving::start(&host);
    let claims = issuer.claims();
    let ec = json!({"alg": "ES256", "kid": "ec"});
    assert_eq!(serving.submit_as(&issuer.by_rsa(&claims)), "oidc:ada");
    serving.list_as(&issuer.by_curve(&ec, &claims)).is(200);
    let changed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        issuer.by_rsa(&claims)
    };
    serving.refuses(&changed("aud", json!("other")));
    serving.refuses(&changed("iss", json!("https://other.example")));
    serving.refuses(&changed("exp", json!(unix_now() - 1_000)));
    serving.refuses(&changed("groups", json!(["nobody"])));
    let ops = changed("groups", json!(["ops"]));
    serving.ask("GET /api/v1/tokens", Some(&ops), b"").is(200);
    // A key signs in its own way only, and a public key is no secret.
    serving.refuses(&issuer.by_curve(&json!({"alg": "RS256", "kid": "ec"}), &claims));
    serving.refuses(&issuer.by_curve(&json!({"alg": "ES256", "kid": "rsa"}), &claims));
    serving.refuses(&issuer.by_curve(&json!({"alg": "ES256", "kid": "new"}), &claims));
    let public = issuer.rsa_key()["n"].as_str().unwrap().to_owned();
    let confused =
        jwt(&json!({"alg": "HS256", "kid": "rsa"}), &claims, by_secret(public.as_bytes()));
    serving.refuses(&confused);
    assert_eq!(issuer.server.hits().len(), 2, "one discovery, and one look at the keys");
}

#[test]
fn a_key_that_the_provider_has_no_more_opens_nothing_after_the_next_look() {
    let (issuer, keys) = Issuer::start();
    *keys.lock().unwrap() = json!({"keys": [issuer.rsa_key()]});
    let host = issuer.host();
    let (old, new) = (
        issuer.by_rsa(&issuer.claims()),
        issuer.by_curve(&json!({"alg": "ES256", "kid": "ec"}), &issuer.claims()),
    );
    let serving = Serving::start(&host);
    serving.list_as(&old).is(200);
    serving.refuses(&new);
    serving.stop();
    *keys.lock().unwrap() = json!({"keys": [issuer.curve_key()]});
    let serving = Serving::start(&host);
    serving.list_as(&new).is(200);
    serving.refuses(&old);
}

#[test]
fn while_a_provider_is_silent_other_tokens_open() {
    let (issuer, _) = Issuer::start();
    // It has no keys at all.
    let host = issuer.host();
    let serving = Serving::start(&host);
    let answer = serving.list_as(&issuer.by_rsa(&issuer.claims()));
    assert_eq!(answer.headers["retry-after"], "60");
    answer.problem(503, "provider-unavailable");
    serving.get("/api/v1/jobs").is(200);
}
