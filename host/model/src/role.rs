//! Roles: what those who act in them may do.

use crate::access::{ADMIN, Permission, Principal};

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name, for example `agent`.
    pub name: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

/// The roles of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// Those that every host has: `admin`, `agent`, `user` and `readonly`.
    pub fn shipped() -> Self {
        use Permission::{JobsRead, JobsSubmit, PluginsRead};
        let role = |name: &str, permissions: &[Permission]| Role {
            name: name.to_owned(),
            permissions: permissions.to_vec(),
        };
        Self(vec![
            role(ADMIN, &Permission::ALL),
            role("agent", &[JobsSubmit, JobsRead, PluginsRead]),
            role("user", &[JobsSubmit, JobsRead, PluginsRead]),
            role("readonly", &[JobsRead, PluginsRead]),
        ])
    }

    /// Who calls by this name in this role. None when there is no such role.
    pub fn principal(&self, name: &str, role: &str) -> Option<Principal> {
        let role = self.0.iter().find(|known| known.name == role)?;
        let permissions = role.permissions.clone();
        Some(Principal { name: name.to_owned(), role: role.name.clone(), permissions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_only_reads_cannot_submit() {
        let reader = Roles::shipped().principal("ann", "readonly").unwrap();
        assert!(reader.may(Permission::JobsRead));
        assert!(!reader.may(Permission::JobsSubmit));
    }

    #[test]
    fn an_unknown_role_is_nobody() {
        assert_eq!(Roles::shipped().principal("ann", "owner"), None);
    }
}
