//! Approvals: what waits for somebody, and what they say.
//!
//! It parks nothing: a claim does.

use apflow_model::access::{Permission, Principal};
use apflow_model::approval::{Decided, Decision, Reason};
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use apflow_store::{ApprovalPage, Ruled, Ruling};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Lists tasks that wait for an approval, with ids above `after`, those first that were accepted
    /// first: all for whoever may approve or manage them, else the caller's own. `limit` is brought
    /// into 1 to 100.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_approvals(
        &self,
        after: Option<TaskId>,
        limit: u32,
        caller: &Principal,
    ) -> Result<ApprovalPage, EngineError> {
        let owner = caller.sees().owner().filter(|_| !caller.may(Permission::TasksApprove));
        Ok(self.store.list_approvals(owner, after, limit).await?)
    }

    /// Says for somebody that a task may run its tool, or that it may not: it has failed then. The
    /// same said twice changes nothing.
    ///
    /// None when there is no such task. Of the tasks of others, somebody who does not manage them sees
    /// those alone that wait for an approval, or waited for one.
    ///
    /// # Errors
    ///
    /// [`EngineError::OwnTask`] when somebody approves a task of their own, and their role may not.
    /// [`EngineError::NotAsked`] when the task waits for no approval, and
    /// [`EngineError::DecidedOtherwise`] when somebody said the opposite before.
    /// [`EngineError::Store`] when the database fails. Nothing is changed then.
    pub async fn decide(
        &self,
        task: TaskId,
        decision: Decision,
        caller: &Principal,
        reason: Option<Reason>,
    ) -> Result<Option<Task>, EngineError> {
        let Some(owner) = self.store.owner_of_task(task).await? else { return Ok(None) };
        let is_own = owner == caller.name && decision == Decision::Approved;
        if is_own && !self.role(&caller.role)?.may_approve_own {
            return Err(EngineError::OwnTask { task, role: caller.role.clone() });
        }
        let at = self.now();
        let decided = Decided { decision, principal: caller.name.clone(), reason, at };
        match self.store.rule(task, decided).await? {
            Ruling::Made(Ruled { job, job_ended: Some(_), .. }) => self.hub.ended(job),
            Ruling::Made(Ruled { job, .. }) => self.hub.changed(job),
            Ruling::Earlier(earlier) if earlier.decision == decision => {}
            Ruling::Earlier(earlier) => {
                return Err(EngineError::DecidedOtherwise { task, earlier: Box::new(earlier) });
            }
            Ruling::NotAsked(_) if !caller.sees().shows(&owner) => return Ok(None),
            Ruling::NotAsked(state) => return Err(EngineError::NotAsked { task, state }),
            Ruling::Unknown => return Ok(None),
        }
        Ok(self.store.find_task(task).await?)
    }
}
