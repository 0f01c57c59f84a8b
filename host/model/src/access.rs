//! Who calls, and what a caller may do.
//!
//! It does not check tokens: the doors turn a token into a [`Principal`].

use serde::Serialize;

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Submit jobs.
    JobsSubmit,
    /// See jobs.
    JobsRead,
    /// See plugins.
    PluginsRead,
    /// Load and remove plugins, and grant them capabilities.
    PluginsManage,
    /// Approve and deny runs of tools that ask for it.
    TasksApprove,
    /// See and change the schedules of others, not only one's own.
    SchedulesManage,
    /// Look after the host: remove what is over, and examine and repair the database.
    HostManage,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] = [
        Self::JobsSubmit,
        Self::JobsRead,
        Self::PluginsRead,
        Self::PluginsManage,
        Self::TasksApprove,
        Self::SchedulesManage,
        Self::HostManage,
    ];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JobsSubmit => "jobs-submit",
            Self::JobsRead => "jobs-read",
            Self::PluginsRead => "plugins-read",
            Self::PluginsManage => "plugins-manage",
            Self::TasksApprove => "tasks-approve",
            Self::SchedulesManage => "schedules-manage",
            Self::HostManage => "host-manage",
        }
    }
}

/// Who calls an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name that jobs and the audit carry.
    pub name: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

impl Principal {
    /// The operator: whoever can open the data directory, or holds the admin token.
    pub fn admin(name: impl Into<String>) -> Self {
        Self { name: name.into(), permissions: Permission::ALL.to_vec() }
    }

    /// Whether the caller may do this.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}
