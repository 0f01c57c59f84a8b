//! Whose jobs a caller sees and changes: its own, or everybody's.
//!
//! It decides no verb: [`crate::access`] does. What a caller does not see is answered as if it were
//! not there.

use crate::access::{Permission, Principal};

/// Whose jobs, tasks, events and files are seen and changed.
///
/// Whatever looks up something that belongs to somebody asks for it, so that nobody forgets to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible<'a> {
    /// Everybody's.
    All,
    /// Those of this principal alone.
    Own(&'a str),
}

impl<'a> Visible<'a> {
    /// Whether what belongs to this principal is seen.
    pub fn shows(self, principal: &str) -> bool {
        self.owner().is_none_or(|owner| owner == principal)
    }

    /// The only principal whose things are seen. None for everybody's.
    pub fn owner(self) -> Option<&'a str> {
        match self {
            Self::All => None,
            Self::Own(name) => Some(name),
        }
    }

    /// Whose things a list holds that was asked for those of `principal`, or for all: None for
    /// everybody's. Nothing of others is in it, so a list of somebody else's has nothing in it.
    ///
    /// # Errors
    ///
    /// [`Unseen`] when somebody else's are asked for.
    pub fn narrow(self, principal: Option<String>) -> Result<Option<String>, Unseen> {
        match (self, principal) {
            (Self::All, principal) => Ok(principal),
            (Self::Own(name), Some(other)) if other != name => Err(Unseen),
            (Self::Own(name), _) => Ok(Some(name.to_owned())),
        }
    }
}

/// Nothing of it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen;

impl Principal {
    /// Whose jobs, tasks, events and files it sees and changes.
    pub fn sees(&self) -> Visible<'_> {
        if self.may(Permission::JobsManage) { Visible::All } else { Visible::Own(&self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_is_seen_by_who_does_not_manage_jobs() {
        let own = Visible::Own("ada");
        assert!(own.shows("ada") && !own.shows("grace") && Visible::All.shows("grace"));
        assert_eq!(own.narrow(None), Ok(Some("ada".to_owned())));
        assert_eq!(own.narrow(Some("ada".to_owned())), Ok(Some("ada".to_owned())));
        assert_eq!(own.narrow(Some("grace".to_owned())), Err(Unseen));
        assert_eq!(Visible::All.narrow(None), Ok(None));
        let grace = Some("grace".to_owned());
        assert_eq!(Visible::All.narrow(grace.clone()), Ok(grace));
    }

    #[test]
    fn who_manages_jobs_sees_all_of_them() {
        assert_eq!(Principal::admin("root").sees(), Visible::All);
        let mut caller = Principal::admin("ada");
        caller.permissions.retain(|permission| *permission != Permission::JobsManage);
        assert_eq!(caller.sees(), Visible::Own("ada"));
    }
}
