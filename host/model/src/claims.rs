//! What a JSON Web Token claims, and whether it is heard: RFC 7519.
//!
//! It verifies no signature: the door does that first.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::token::PrincipalName;

/// What a host expects of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Who must have issued it. Anybody, if none is set.
    pub issuer: Option<String>,
    /// For whom it must be. Anybody, if none is set.
    pub audience: Option<String>,
    /// How far the clock of the issuer may be from the host's, in seconds.
    pub leeway_seconds: u32,
}

/// What a token claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// Why a token is not heard. It is for the host's log: callers are not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    /// A claim is not there, or is of another type.
    #[error("the claim `{0}` is missing or of the wrong type")]
    Missing(&'static str),
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// Its time has not come.
    #[error("its time has not come: `{0}` is in the future")]
    Early(&'static str),
    /// Somebody else issued it.
    #[error("it is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// The subject is no name.
    #[error("the claim `sub` is no name: {0}")]
    Subject(String),
}

impl Claims {
    /// Takes the body of a token. None when it is no JSON object.
    pub fn new(body: Value) -> Option<Self> {
        if let Value::Object(claims) = body { Some(Self(claims)) } else { None }
    }

    /// Whether they are heard at this moment.
    ///
    /// `exp` must be there, so that no token opens for ever; `nbf` and `iat` are heeded when they
    /// are.
    ///
    /// # Errors
    ///
    /// The first [`ClaimFault`].
    pub fn check(&self, expected: &Expected, now: Timestamp) -> Result<(), ClaimFault> {
        let leeway = Duration::from_secs(expected.leeway_seconds.into());
        if self.moment("exp")?.ok_or(ClaimFault::Missing("exp"))?.after(leeway) <= now {
            return Err(ClaimFault::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.moment(name)?.is_some_and(|moment| moment > now.after(leeway)) {
                return Err(ClaimFault::Early(name));
            }
        }
        if let Some(issuer) = &expected.issuer
            && self.0.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(ClaimFault::Issuer);
        }
        let is_for = |audience: &String| match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().any(|one| one == audience),
            _ => false,
        };
        if expected.audience.as_ref().is_some_and(|audience| !is_for(audience)) {
            return Err(ClaimFault::Audience);
        }
        Ok(())
    }

    /// Who it speaks of.
    ///
    /// # Errors
    ///
    /// [`ClaimFault::Missing`] and [`ClaimFault::Subject`].
    pub fn subject(&self) -> Result<PrincipalName, ClaimFault> {
        let name = self.0.get("sub").and_then(Value::as_str).ok_or(ClaimFault::Missing("sub"))?;
        PrincipalName::try_from(name.to_owned()).map_err(ClaimFault::Subject)
    }

    /// The texts of a claim, which is one or a list of them. `claim` is the name of a claim, or a
    /// JSON pointer to a place deeper within, such as `/realm_access/roles`.
    pub fn texts(&self, claim: &str) -> Vec<&str> {
        let first = claim.strip_prefix('/').map(|path| path.split_once('/'));
        let found = match first {
            None => self.0.get(claim),
            Some(None) => self.0.get(&claim[1..]),
            Some(Some((name, rest))) => {
                self.0.get(name).and_then(|value| value.pointer(&format!("/{rest}")))
            }
        };
        match found {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The name of this very token, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.0.get("jti").and_then(Value::as_str)
    }

    /// All of them.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A `NumericDate`: seconds since 1970, perhaps with a fraction. What was before is the same as
    /// 1970.
    fn moment(&self, name: &'static str) -> Result<Option<Timestamp>, ClaimFault> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().ok_or(ClaimFault::Missing(name))?;
        let since = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        Ok(Some(Timestamp::from_unix_ms(0).after(since)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn check(claims: Value, expected: &Expected) -> Result<(), ClaimFault> {
        Claims::new(claims).unwrap().check(expected, Timestamp::from_unix_ms(NOW * 1_000))
    }

    #[test]
    fn a_token_is_heard_from_its_first_to_its_last_second_with_a_leeway() {
        let expected = Expected { leeway_seconds: 60, ..Expected::default() };
        for (claims, heard) in [
            (json!({"exp": NOW + 1}), Ok(())),
            (json!({"exp": NOW - 59}), Ok(())),
            (json!({"exp": NOW - 60}), Err(ClaimFault::Expired)),
            (json!({"exp": NOW + 1, "nbf": NOW + 60}), Ok(())),
            (json!({"exp": NOW + 99, "nbf": NOW + 61}), Err(ClaimFault::Early("nbf"))),
            (json!({"exp": NOW + 99, "iat": NOW + 61}), Err(ClaimFault::Early("iat"))),
            (json!({"exp": 1.9e9, "iat": 0.5}), Ok(())),
            (json!({"exp": 9e18, "iat": -7}), Ok(())),
            (json!({"exp": -1}), Err(ClaimFault::Expired)),
            (json!({}), Err(ClaimFault::Missing("exp"))),
            (json!({"exp": "2030"}), Err(ClaimFault::Missing("exp"))),
            (json!({"exp": null}), Err(ClaimFault::Missing("exp"))),
            (json!({"exp": NOW + 1, "nbf": "now"}), Err(ClaimFault::Missing("nbf"))),
        ] {
            assert_eq!(check(claims.clone(), &expected), heard, "{claims}");
        }
    }

    #[test]
    fn a_token_of_another_issuer_or_for_another_audience_is_not_heard() {
        let expected = Expected {
            issuer: Some("https://id.example".to_owned()),
            audience: Some("apflow".to_owned()),
            leeway_seconds: 0,
        };
        let claims = |iss: &str, aud: Value| json!({"exp": NOW + 1, "iss": iss, "aud": aud});
        let good = "https://id.example";
        assert_eq!(check(claims(good, json!("apflow")), &expected), Ok(()));
        assert_eq!(check(claims(good, json!(["x", "apflow"])), &expected), Ok(()));
        for aud in [json!("x"), json!([]), json!(null), json!({"apflow": 1}), json!(["apflow2"])] {
            assert_eq!(check(claims(good, aud), &expected), Err(ClaimFault::Audience));
        }
        let slash = claims("https://id.example/", json!("apflow"));
        assert_eq!(check(slash, &expected), Err(ClaimFault::Issuer));
        assert_eq!(check(json!({"exp": NOW + 1}), &expected), Err(ClaimFault::Issuer));
    }

    #[test]
    fn a_subject_is_a_name() {
        let subject = |claims| Claims::new(claims).unwrap().subject();
        assert_eq!(subject(json!({"sub": "ada"})).unwrap().as_str(), "ada");
        assert_eq!(subject(json!({"sub": 7})), Err(ClaimFault::Missing("sub")));
        assert!(matches!(subject(json!({"sub": "a\nb"})), Err(ClaimFault::Subject(_))));
    }

    #[test]
    fn roles_are_found_where_providers_put_them() {
        let claims = json!({
            "role": "one",
            "groups": ["two", 3, "four"],
            "realm_access": { "roles": ["five"] },
            "https://example.com/roles": ["six"],
        });
        let claims = Claims::new(claims).unwrap();
        assert_eq!(claims.texts("role"), ["one"]);
        assert_eq!(claims.texts("/role"), ["one"]);
        assert_eq!(claims.texts("groups"), ["two", "four"]);
        assert_eq!(claims.texts("/realm_access/roles"), ["five"]);
        assert_eq!(claims.texts("https://example.com/roles"), ["six"]);
        assert_eq!(claims.texts("realm_access"), [""; 0]);
        assert_eq!(claims.texts("/nowhere/roles"), [""; 0]);
    }
}
