//! The section `auth` of `config.yaml`: what opens the HTTP API beside the operator's token and the
//! tokens in the database.
//!
//! It never prints a secret, and it does not know whether a role is there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::claims::Expected;
use crate::guess::GuessesPerMinute;
use crate::token::PrincipalName;

/// A shorter secret of HS256 could be guessed from a token: RFC 7518 asks for as many bytes as the
/// hash has.
const SECRET_BYTES_MIN: usize = 32;
/// A shorter key could be guessed.
const KEY_BYTES_MIN: usize = 16;
/// The longest secret or key, in bytes.
const SECRET_BYTES_MAX: usize = 4_096;
/// The farthest that a clock may be off, in seconds.
const LEEWAY_SECONDS_MAX: u32 = 300;
/// How many secrets, keys or roles there may be.
const ENTRIES_MAX: usize = 1_000;

/// What opens the HTTP API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// The secrets of JSON web tokens with HS256. The first signs, and each verifies.
    pub jwt_secrets: Vec<JwtSecret>,
    /// Who must have issued such a token.
    pub jwt_issuer: Option<String>,
    /// For whom such a token must be.
    pub jwt_audience: Option<String>,
    /// How far the clocks of issuers may be from the host's.
    pub leeway_seconds: LeewaySeconds,
    /// Keys that were made elsewhere.
    pub api_keys: Vec<ApiKey>,
    /// The provider of identities, if there is one.
    pub oidc: Option<OidcSettings>,
    /// How many wrong tokens an address may show in a minute.
    pub guesses_per_minute: GuessesPerMinute,
}

impl AuthSettings {
    /// What is expected of a JSON web token with HS256.
    pub fn expected(&self) -> Expected {
        Expected {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            leeway_seconds: self.leeway_seconds.0,
        }
    }

    /// What is expected of a JSON web token of the provider.
    pub fn expected_of(&self, oidc: &OidcSettings) -> Expected {
        Expected {
            issuer: Some(oidc.issuer.as_str().to_owned()),
            audience: Some(oidc.audience.clone()),
            leeway_seconds: self.leeway_seconds.0,
        }
    }
}

/// A secret that signs JSON web tokens, 32 to 4096 bytes.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct JwtSecret(String);

impl JwtSecret {
    /// The secret itself. Whoever asks for it keeps it out of texts.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JwtSecret")
    }
}

impl TryFrom<String> for JwtSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = text.len();
        let is_right = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes);
        is_right.then_some(Self(text)).ok_or_else(|| {
            format!(
                "a secret of {bytes} bytes: expected {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}, \
                 as `openssl rand -hex 32` makes them"
            )
        })
    }
}

/// How far the clocks of issuers may be from the host's: 0 to 300 seconds, and 60 without another
/// word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct LeewaySeconds(u32);

impl Default for LeewaySeconds {
    fn default() -> Self {
        Self(60)
    }
}

impl TryFrom<u32> for LeewaySeconds {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let is_right = number <= LEEWAY_SECONDS_MAX;
        is_right.then_some(Self(number)).ok_or(format!("{number} is not from 0 to 300"))
    }
}

/// A key that was made elsewhere, and whoever shows it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The key.
    pub token: KeyText,
    /// The role of whoever shows it.
    pub role: String,
    /// Who shows it. Made up from the key's hash, if left out.
    pub name: Option<PrincipalName>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ApiKey({})", self.role)
    }
}

/// The text of a key: 16 to 4096 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyText(String);

impl KeyText {
    /// The key itself. Whoever asks for it keeps it out of texts.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_right = (KEY_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        let wrong = "a key has 16 to 4096 visible ASCII characters";
        is_right.then_some(Self(text)).ok_or_else(|| wrong.to_owned())
    }
}

/// Reads keys as `APFLOW_API_KEYS` has them: `KEY:ROLE,KEY:ROLE`.
///
/// # Errors
///
/// A sentence that says which of them is wrong, by its place and without the key. None is read then.
pub fn parse_keys(text: &str) -> Result<Vec<ApiKey>, String> {
    let mut keys = Vec::new();
    for (place, entry) in (1..).zip(text.split(',')) {
        let wrong = |what: &str| format!("entry {place}: {what}");
        let (token, role) =
            entry.trim().rsplit_once(':').ok_or_else(|| wrong("expected KEY:ROLE"))?;
        let token = KeyText::try_from(token.to_owned()).map_err(|what| wrong(&what))?;
        if role.is_empty() {
            return Err(wrong("the role is missing"));
        }
        keys.push(ApiKey { token, role: role.to_owned(), name: None });
    }
    Ok(keys)
}

/// The first of two keys that are the same, by their places from 1. A key must say who shows it.
pub fn twin(keys: &[ApiKey]) -> Option<(usize, usize)> {
    (1..).zip(keys).find_map(|(place, key)| {
        let first = keys.iter().position(|other| other.token == key.token)? + 1;
        (first < place).then_some((first, place))
    })
}

/// A provider of identities that speaks `OpenID` Connect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// Its name, as its tokens have it in `iss`, and where it is found.
    pub issuer: ProviderUrl,
    /// The name of this host at the provider, as its tokens have it in `aud`.
    pub audience: String,
    /// The claim that holds the roles: a name, or a JSON pointer.
    #[serde(default = "usual_claim")]
    pub role_claim: String,
    /// The role for each value of that claim.
    pub roles: RoleMap,
    /// Where its keys are. It says so itself, if left out.
    pub jwks_url: Option<ProviderUrl>,
}

fn usual_claim() -> String {
    "role".to_owned()
}

/// The role for each value of a claim, in the order of the file: the first that a token has counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap(Vec<(String, String)>);

impl RoleMap {
    /// The role of somebody with these values. None when none of them has one.
    pub fn role(&self, values: &[&str]) -> Option<&str> {
        let found = self.0.iter().find(|(value, _)| values.contains(&value.as_str()));
        found.map(|(_, role)| role.as_str())
    }

    /// Every role that it gives.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, role)| role.as_str())
    }
}

impl<'de> Deserialize<'de> for RoleMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = RoleMap;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a role for each value of the claim")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RoleMap, M::Error> {
                let mut roles = Vec::new();
                while let Some(entry) = map.next_entry::<String, String>()? {
                    if roles.len() == ENTRIES_MAX {
                        return Err(de::Error::custom("more than 1000 values"));
                    }
                    roles.push(entry);
                }
                Ok(RoleMap(roles))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Where a provider is: `https://…`, or `http://…` on this very machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ProviderUrl(String);

impl ProviderUrl {
    /// The text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for ProviderUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no address of a provider: expected `https://…`, or `http://…` on \
                     this machine"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic())
            && !text.contains(['?', '#', '@', '\\'])
            && !authority.is_empty();
        let is_right = is_plain && (scheme == "https" || scheme == "http" && is_here(authority));
        if is_right { Ok(Self(text)) } else { Err(wrong()) }
    }
}

/// Whether an authority names this very machine.
fn is_here(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AuthSettings, String> {
        serde_saphyr::from_str(text)
            .map_err(|error: serde_saphyr::Error| error.without_snippet().to_string())
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused_and_none_is_printed() {
        let short = "s".repeat(31);
        let error = read(&format!("jwt_secrets: [{short}]")).unwrap_err();
        assert!(error.contains("a secret of 31 bytes: expected 32"), "{error}");
        assert!(!error.contains(&short), "{error}");
        let settings = read(&format!("jwt_secrets: [{short}s]")).unwrap();
        assert!(!format!("{settings:?}").contains(&short));
    }

    #[test]
    fn keys_are_read_whole_or_not_at_all() {
        let keys = parse_keys("0123456789abcdef:admin, a:b:c:0123456789a:user").unwrap();
        let all: Vec<_> = keys.iter().map(|key| (key.token.expose(), key.role.as_str())).collect();
        assert_eq!(all, [("0123456789abcdef", "admin"), ("a:b:c:0123456789a", "user")]);
        assert!(!format!("{keys:?}").contains("0123"));
        for (text, place, what) in [
            ("", 1, "expected KEY:ROLE"),
            ("0123456789abcdef:admin,", 2, "expected KEY:ROLE"),
            ("0123456789abcdef:admin,short:user", 2, "16 to 4096"),
            ("0123456789abcde\u{e9}:admin", 1, "visible ASCII"),
            ("0123456789abcdef:", 1, "the role is missing"),
        ] {
            let error = parse_keys(text).unwrap_err();
            assert!(error.starts_with(&format!("entry {place}: ")), "{text}: {error}");
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_of_two_is_found() {
        let keys = |text| parse_keys(text).unwrap();
        assert_eq!(twin(&keys("0123456789abcdef:a,0123456789abcdeg:b")), None);
        let same = keys("0123456789abcdeg:b,0123456789abcdef:a,0123456789abcdef:b");
        assert_eq!(twin(&same), Some((2, 3)));
    }

    #[test]
    fn a_provider_is_asked_in_tls_or_on_this_machine() {
        for right in [
            "https://id.example",
            "https://id.example:8443/realms/one",
            "http://localhost:8080",
            "http://127.0.0.1/x",
            "http://[::1]:80",
        ] {
            assert!(ProviderUrl::from_str(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "https://",
            "http://id.example",
            "http://localhost.example",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "ftp://localhost",
            "https://id.example?x",
            "id.example",
        ] {
            assert!(ProviderUrl::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_role_of_the_file_counts() {
        let text = "oidc: { issuer: 'https://id.example', audience: a, \
                    roles: { staff: user, admins: admin, ops: agent } }";
        let oidc = read(text).unwrap().oidc.unwrap();
        assert_eq!(oidc.role_claim, "role");
        assert_eq!(oidc.roles.role(&["admins", "staff"]), Some("user"));
        assert_eq!(oidc.roles.role(&["ops", "admins"]), Some("admin"));
        assert_eq!(oidc.roles.role(&["Staff", ""]), None);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in ["jwt_secret: x", "leeway_seconds: 301", "guesses_per_minute: 1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
