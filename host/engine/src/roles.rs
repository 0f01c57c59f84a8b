//! Which tools the role of a submitter may run, as `policies.yaml` says at this moment.

use std::sync::Arc;

use apflow_model::job::{JobSpec, SpecFault, TaskSpec};
use apflow_model::role::{Role, Roles};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// The roles of callers, as they are now.
    pub fn roles(&self) -> Arc<Roles> {
        Arc::clone(&self.settings.policies.get().roles)
    }

    /// The role of this name, as it is now.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownRole`] when there is none any more.
    pub(crate) fn role(&self, name: &str) -> Result<Role, EngineError> {
        let role = self.roles().find(name).cloned();
        role.ok_or_else(|| EngineError::UnknownRole(name.to_owned()))
    }

    /// Why newer policies were refused, a sentence each. Empty when the newest are in force.
    pub fn policy_troubles(&self) -> Vec<String> {
        self.settings.policies.troubles()
    }
}

/// Refuses a job with a tool that its role may not run, and notes which tasks its role lets run only
/// when somebody approves it. `path` is the place of a task in what was submitted.
pub(crate) fn apply(
    role: &Role,
    spec: &mut JobSpec,
    path: impl Fn(usize) -> String,
) -> Result<(), EngineError> {
    for (index, task) in spec.tasks.iter_mut().enumerate() {
        let TaskSpec { executor, is_tool, .. } = &*task;
        if role.blocks(executor) {
            let key = if *is_tool { "tool" } else { "executor" };
            let fault = SpecFault::new(format!("{}/{key}", path(index)), blocked(role, executor));
            return Err(EngineError::ToolBlocked(fault));
        }
        task.needs_approval = role.needs_approval(executor);
    }
    spec.role = Some(role.name.clone());
    Ok(())
}

/// Says that a role may not run a tool.
pub(crate) fn blocked(role: &Role, tool: &str) -> String {
    format!("`{tool}` is blocked for the role `{}`", role.name)
}

#[cfg(test)]
mod tests {
    use apflow_model::policies::Policies;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_blocked_tool_is_told_with_its_place_and_others_are_marked() {
        let text =
            "roles: { user: { permissions: [], blocked_tools: [b*], requires_approval: [c] } }";
        let policies = Policies::parse(text).unwrap();
        let user = policies.roles.find("user").unwrap();
        let spec = |last: &str| {
            let tasks = json!([{ "tool": "c" }, { "executor": "a" }, { "tool": last }]);
            JobSpec::parse(json!({ "tasks": tasks })).unwrap()
        };
        let path = |index| format!("/tasks/{index}");
        let Err(EngineError::ToolBlocked(fault)) = apply(user, &mut spec("bad"), path) else {
            panic!("it was let in")
        };
        assert_eq!(fault.path, "/tasks/2/tool");
        assert_eq!(fault.message, "`bad` is blocked for the role `user`");
        let mut good = spec("good");
        apply(user, &mut good, path).unwrap();
        let marked: Vec<_> = good.tasks.iter().map(|task| task.needs_approval).collect();
        assert_eq!((marked, good.role.as_deref()), (vec![true, false, false], Some("user")));
    }
}
