//! API tokens: the text that a caller shows, and what is known of each.
//!
//! It draws no random bits and keeps none: the engine does. A text is never printed by accident.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Permission, Principal};
use crate::clock::Timestamp;
use crate::id::{self, TokenId};
use crate::likeness;

/// How every token begins, so that scanners for secrets find one that was lost.
const PREFIX: &str = "apf_";
/// How many random bytes a token has: 256 bits.
const RANDOM_BYTES: usize = 32;
/// How many characters of a token lists show: the prefix, and 30 of its bits.
const HINT_CHARACTERS: usize = PREFIX.len() + 6;

/// How like an unknown permission must be to a known one to be taken for it.
const LIKENESS_MIN: f64 = 0.75;

/// The longest name of a token or of a principal, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How many days a token is good for at most: ten years.
const DAYS_MAX: u32 = 3_650;

/// The text of a token: `apf_`, 256 random bits and a checksum over them, in base 32.
///
/// It has no [`Display`](fmt::Display), and its [`Debug`] prints its first characters alone.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

/// A text is no token: it was cut, mistyped, or is something else. It does not say the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is no API token, or not the whole of it")]
pub struct InvalidToken;

impl TokenText {
    /// The token of these random bits.
    pub fn of(random: [u8; RANDOM_BYTES]) -> Self {
        let mut bytes = random.to_vec();
        bytes.extend(checksum(&random).to_be_bytes());
        Self(format!("{PREFIX}{}", id::encode_bytes(&bytes)))
    }

    /// Reads a token. A typing error is found without a look at those there are.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let bytes = id::decode_bytes(digits, RANDOM_BYTES + 4).ok_or(InvalidToken)?;
        let (random, sum) = bytes.split_at(RANDOM_BYTES);
        let is_whole = checksum(random).to_be_bytes() == sum;
        is_whole.then(|| Self(text.to_owned())).ok_or(InvalidToken)
    }

    /// The text itself. Whoever asks for it keeps it out of logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its first characters, by which people know it.
    pub fn hint(&self) -> &str {
        self.0.get(..HINT_CHARACTERS).unwrap_or_default()
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}…", self.hint())
    }
}

/// CRC-32 as ISO 3309 has it, which finds every error of a few characters next to each other.
fn checksum(bytes: &[u8]) -> u32 {
    let shift = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| shift(sum)))
}

/// A token, without its text: nobody has that but its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiToken {
    /// Its id. It opens nothing.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// Who calls with it.
    pub principal: String,
    /// The role that they act in.
    pub role: String,
    /// What of its role it may do. Empty for all.
    pub scopes: Scopes,
    /// Its first characters.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Whether a token opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenState {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl TokenState {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl ApiToken {
    /// Where it stands at this moment.
    pub fn state(&self, now: Timestamp) -> TokenState {
        match self.revoked_at {
            Some(_) => TokenState::Revoked,
            None if self.expires_at <= now => TokenState::Expired,
            None => TokenState::Active,
        }
    }
}

/// A set of permissions that narrows a role. Empty, it narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<String>")]
#[schemars(!try_from)]
pub struct Scopes(Vec<Permission>);

impl Scopes {
    /// The same caller, who may do no more than this. Nobody may do more by it than before.
    #[must_use]
    pub fn narrow(&self, caller: Principal) -> Principal {
        if self.0.is_empty() {
            return caller;
        }
        let permissions = caller.permissions.into_iter().filter(|one| self.0.contains(one));
        Principal { permissions: permissions.collect(), ..caller }
    }

    /// The words on the wire.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|permission| permission.name())
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let mut scopes = Vec::new();
        for name in &names {
            let Some(known) = Permission::ALL.iter().find(|known| known.name() == name) else {
                let all = Permission::ALL.map(Permission::name);
                let like = likeness::nearest(name, all, LIKENESS_MIN);
                let like = like.map(|like| format!(": did you mean `{like}`?"));
                return Err(format!("`{name}` is no permission{}", like.unwrap_or_default()));
            };
            if !scopes.contains(known) {
                scopes.push(*known);
            }
        }
        Ok(Self(scopes))
    }
}

/// A token that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// What it is for, 1 to 128 bytes.
    pub name: PrincipalName,
    /// Who calls with it. Whoever the name says, if left out.
    pub principal: Option<PrincipalName>,
    /// The role that they act in.
    #[schemars(example = &"user")]
    pub role: String,
    /// What of its role it may do. All, if left out.
    #[serde(default)]
    pub scopes: Scopes,
    /// How long it is good for.
    #[serde(default)]
    #[schemars(extend("default" = 365))]
    pub expires_days: TokenDays,
}

impl TokenSpec {
    /// Who calls with it.
    pub fn principal(&self) -> &PrincipalName {
        self.principal.as_ref().unwrap_or(&self.name)
    }
}

/// A name of a token or of a principal: 1 to 128 bytes without control characters, and without
/// blanks around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("maxLength" = NAME_BYTES_MAX, "pattern" = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$", "examples" = ["reports"]))]
pub struct PrincipalName(String);

impl PrincipalName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<PrincipalName> for String {
    fn from(name: PrincipalName) -> Self {
        name.0
    }
}

impl TryFrom<String> for PrincipalName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_right = (1..=NAME_BYTES_MAX).contains(&text.len())
            && !text.chars().any(char::is_control)
            && text.trim() == text;
        let wrong = "a name has 1 to 128 bytes, no control characters and no blanks around it";
        is_right.then_some(Self(text)).ok_or_else(|| wrong.to_owned())
    }
}

impl std::str::FromStr for PrincipalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

/// How many days a token is good for: 1 to 3650, and 365 without another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
#[schemars(extend("minimum" = 1, "maximum" = DAYS_MAX))]
pub struct TokenDays(u32);

impl TokenDays {
    /// Ten years.
    pub const MAX: Self = Self(DAYS_MAX);

    /// The span.
    pub const fn span(self) -> Duration {
        Duration::from_hours(24 * self.0 as u64)
    }
}

impl Default for TokenDays {
    fn default() -> Self {
        Self(365)
    }
}

impl TryFrom<u32> for TokenDays {
    type Error = String;

    fn try_from(days: u32) -> Result<Self, String> {
        let is_right = (1..=DAYS_MAX).contains(&days);
        is_right.then_some(Self(days)).ok_or(format!("{days} is not from 1 to {DAYS_MAX} days"))
    }
}

impl std::str::FromStr for TokenDays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u32>().map_err(|error| error.to_string())?.try_into()
    }
}

impl fmt::Display for TokenDays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_reads_back_and_a_mistyped_one_does_not(
            random: [u8; 32], place in 0_usize..62, digit in 0_usize..32,
        ) {
            let token = TokenText::of(random);
            prop_assert_eq!(token.expose().len(), 62);
            prop_assert_eq!(TokenText::parse(token.expose()), Ok(token.clone()));
            let mut mistyped = token.expose().to_owned().into_bytes();
            mistyped[place] = b"0123456789abcdefghjkmnpqrstvwxyz"[digit];
            let mistyped = String::from_utf8(mistyped).unwrap();
            let is_same = mistyped == token.expose();
            prop_assert_eq!(TokenText::parse(&mistyped).is_ok(), is_same);
        }
    }

    #[test]
    fn a_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn part_of_a_token_is_none() {
        let token = TokenText::of([7; 32]);
        let text = token.expose();
        for wrong in
            ["", "apf_", &text[..61], &text[4..], &format!("{text}0"), &text.to_uppercase()]
        {
            assert_eq!(TokenText::parse(wrong), Err(InvalidToken), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = TokenText::of([7; 32]);
        assert_eq!(format!("{token:?}"), format!("{}…", &token.expose()[..10]));
    }

    #[test]
    fn scopes_narrow_and_never_widen() {
        use Permission::{HostManage, JobsRead, JobsSubmit};
        let scopes = Scopes(vec![JobsRead, HostManage]);
        let user = Principal { permissions: vec![JobsSubmit, JobsRead], ..Principal::admin("ada") };
        assert_eq!(scopes.narrow(user.clone()).permissions, [JobsRead]);
        assert_eq!(Scopes::default().narrow(user.clone()), user);
    }

    #[test]
    fn an_unknown_scope_is_named_with_its_neighbour() {
        let error = Scopes::try_from(vec!["jobs-reed".to_owned()]).unwrap_err();
        assert_eq!(error, "`jobs-reed` is no permission: did you mean `jobs-read`?");
    }

    #[test]
    fn a_name_can_be_written_on_one_line() {
        let long = "a".repeat(129);
        for wrong in ["", " ada", "a\nb", long.as_str()] {
            assert!(PrincipalName::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
        assert!(PrincipalName::try_from("Ada Lovelace".to_owned()).is_ok());
    }

    #[test]
    fn a_revoked_token_is_revoked_whatever_its_time() {
        let at = Timestamp::from_unix_ms;
        let token = ApiToken {
            id: TokenId(1),
            name: "ci".to_owned(),
            principal: "ci".to_owned(),
            role: "agent".to_owned(),
            scopes: Scopes::default(),
            hint: "apf_abcdef".to_owned(),
            created_at: at(0),
            expires_at: at(10),
            revoked_at: None,
            last_used_at: None,
        };
        assert_eq!(token.state(at(9)), TokenState::Active);
        assert_eq!(token.state(at(10)), TokenState::Expired);
        let revoked = ApiToken { revoked_at: Some(at(5)), ..token };
        assert_eq!(revoked.state(at(11)), TokenState::Revoked);
    }
}
