//! What an operator says of what a plugin asks for.

use apflow_engine::Approval;
use apflow_model::capability::Grant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::grants;

/// What an operator says of what a plugin asks for. All of it left out, earlier grants are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SaidConsent {
    /// What is allowed, each written `KIND=VALUE`. An empty list allows nothing.
    pub grants: Option<Vec<Grant>>,
    /// Whether all that it asks for is allowed beside, but what has a warning.
    pub all: bool,
    /// The text of a lock that was reviewed, which allows what it names. It stands alone.
    pub lock: Option<String>,
    /// What to call the lock in messages; `lock` if left out.
    pub lock_file: Option<String>,
}

impl SaidConsent {
    /// The names of its fields.
    pub(crate) const FIELDS: &'static [&'static str] = &["grants", "all", "lock", "lock_file"];

    /// How the operator consents.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidGrant`] when a lock is said and something beside it, or a folder that is none
    /// of the host's machine.
    pub fn approval(self) -> Result<Approval, ApiError> {
        let Self { grants, all, lock, lock_file } = self;
        for grant in grants.iter().flatten() {
            grants::check_folder("grants", grant)?;
        }
        match (lock, grants) {
            (None, None) if !all => Ok(Approval::Unsaid),
            (None, grants) => Ok(Approval::Said { grants: grants.unwrap_or_default(), all }),
            (Some(text), None) if !all => {
                Ok(Approval::Locked { text, file: lock_file.unwrap_or_else(|| "lock".to_owned()) })
            }
            (Some(_), _) => {
                let message = "a `lock` says what is allowed: leave the other grants out";
                Err(ApiError::InvalidGrant(message.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_is_what_was_said() {
        let approval = |said: SaidConsent| said.approval().ok();
        let none = SaidConsent::default();
        assert_eq!(approval(none.clone()), Some(Approval::Unsaid));
        let nothing = SaidConsent { grants: Some(Vec::new()), ..none.clone() };
        let said = |grants, all| Some(Approval::Said { grants, all });
        assert_eq!(approval(nothing.clone()), said(Vec::new(), false));
        assert_eq!(approval(SaidConsent { all: true, ..none.clone() }), said(Vec::new(), true));
        let lock = Some("version: 1".to_owned());
        let locked = Approval::Locked { file: "lock".to_owned(), text: "version: 1".to_owned() };
        assert_eq!(approval(SaidConsent { lock: lock.clone(), ..none.clone() }), Some(locked));
        for both in [nothing, SaidConsent { all: true, ..none }] {
            assert_eq!(approval(SaidConsent { lock: lock.clone(), ..both }), None);
        }
    }
}
