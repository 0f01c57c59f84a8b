//! Who calls, and what a caller may do.
//!
//! It does not check tokens: the doors turn a token into a [`Principal`].

use schemars::JsonSchema;
use serde::Serialize;

/// The role that may do everything.
pub const ADMIN: &str = "admin";

/// Who uses the command line of the machine that a host is on.
pub const OPERATOR: &str = "operator";

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Submit jobs.
    JobsSubmit,
    /// See jobs.
    JobsRead,
    /// See and change the jobs of others, not only one's own.
    JobsManage,
    /// See plugins.
    PluginsRead,
    /// Load and remove plugins, and grant them capabilities.
    PluginsManage,
    /// Approve and deny runs of tools that ask for it.
    TasksApprove,
    /// See and change the schedules of others, not only one's own.
    SchedulesManage,
    /// See the tokens of others, and make and revoke tokens.
    TokensManage,
    /// See what was done, by whom and when.
    AuditRead,
    /// See and change what roles may do, cost policies, and the budgets of principals.
    PoliciesManage,
    /// Look after the host: remove what is over, and examine and repair the database.
    HostManage,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 11] = [
        Self::JobsSubmit,
        Self::JobsRead,
        Self::JobsManage,
        Self::PluginsRead,
        Self::PluginsManage,
        Self::TasksApprove,
        Self::SchedulesManage,
        Self::TokensManage,
        Self::AuditRead,
        Self::PoliciesManage,
        Self::HostManage,
    ];

    /// Whether what needs it only reads.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::JobsRead | Self::PluginsRead | Self::AuditRead)
    }

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JobsSubmit => "jobs-submit",
            Self::JobsRead => "jobs-read",
            Self::JobsManage => "jobs-manage",
            Self::PluginsRead => "plugins-read",
            Self::PluginsManage => "plugins-manage",
            Self::TasksApprove => "tasks-approve",
            Self::SchedulesManage => "schedules-manage",
            Self::TokensManage => "tokens-manage",
            Self::AuditRead => "audit-read",
            Self::PoliciesManage => "policies-manage",
            Self::HostManage => "host-manage",
        }
    }
}

/// Who calls an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name that jobs and the audit carry.
    pub name: String,
    /// The role that it acts in.
    pub role: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

impl Principal {
    /// The operator: whoever can open the data directory, or holds the admin token.
    pub fn admin(name: impl Into<String>) -> Self {
        let role = ADMIN.to_owned();
        Self { name: name.into(), role, permissions: Permission::ALL.to_vec() }
    }

    /// Whether the caller may do this.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}
