//! Takes jobs in: everything is checked before anything is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use apflow_model::access::Principal;
use apflow_model::capability::Grant;
use apflow_model::file;
use apflow_model::hops::Hops;
use apflow_model::id::JobId;
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::job::{Job, JobSpec, SpecFault, TaskSpec};
use apflow_model::plugin::Digest;
use apflow_model::trace::TARGET;
use apflow_model::visible::Visible;
use apflow_store::{NewJob, Once, StoreError, Submitted};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::ReadyPlugin;
use crate::{grants, roles, schema};

/// A job as a caller hands it in.
pub struct NewSubmission {
    /// The job, as JSON.
    pub job: Value,
    /// Who submits it.
    pub principal: Principal,
    /// What the operator allows this job alone.
    pub grants: Vec<Grant>,
    /// The hosts that it came through, when a guest submits it.
    pub hops: Hops,
}

/// A job that was taken in.
#[derive(Debug)]
pub struct Submission {
    /// The job.
    pub job: Job,
    /// Whether it was taken in earlier, under the same key.
    pub is_replayed: bool,
}

/// A job that may be stored.
pub(crate) struct Checked {
    pub(crate) job: NewJob,
    /// Whether others may see something of what its tasks do before they have ended.
    pub(crate) acts_outside: bool,
    /// Whether they wait with that until their job is stored, if they begin before.
    pub(crate) can_wait_outside: bool,
}

impl Engine {
    /// Takes a job in. When this returns, the job survives a crash.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidJob`], [`EngineError::UnknownExecutor`], [`EngineError::InvalidInput`],
    /// [`EngineError::ToolBlocked`], [`EngineError::UnknownRole`],
    /// [`EngineError::GrantNotAsked`] and [`EngineError::JobLoop`] for a job that is refused,
    /// [`EngineError::RateLimited`] for too many tasks of a tool within a minute,
    /// [`EngineError::TooManyTasks`] while too many others have not ended, [`EngineError::Busy`],
    /// [`EngineError::Draining`] and [`EngineError::Store`]. Nothing is stored then.
    pub async fn submit(self: &Arc<Self>, submission: NewSubmission) -> Result<Job, EngineError> {
        self.submit_new(submission).instrument(span()).await
    }

    async fn submit_new(self: &Arc<Self>, submission: NewSubmission) -> Result<Job, EngineError> {
        match self.took_in(submission, None).await? {
            Submitted::New(job) => Ok(job),
            Submitted::Replayed(id) => Ok(self.replay(id).await?.job),
        }
    }

    /// Takes a job in, unless its key stands for one already: that one is answered then, as it
    /// stands. A key stands for its job for as long as [`Settings`](crate::Settings) say.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`]; [`EngineError::IdempotencyConflict`] when the key was used for another
    /// submission, and [`EngineError::RemovedJob`] when the job is there no more.
    pub async fn submit_once(
        self: &Arc<Self>,
        submission: NewSubmission,
        key: IdempotencyKey,
    ) -> Result<Submission, EngineError> {
        self.submit_keyed(submission, key).instrument(span()).await
    }

    async fn submit_keyed(
        self: &Arc<Self>,
        submission: NewSubmission,
        key: IdempotencyKey,
    ) -> Result<Submission, EngineError> {
        let now = self.now();
        let hash = hash(&submission)?;
        let expires_at = now.after(self.live().idempotency);
        let once = Once { key: key.clone(), hash, expires_at };
        let conflict = |error| {
            let is_conflict = matches!(error, StoreError::IdempotencyConflict);
            if is_conflict {
                EngineError::IdempotencyConflict(key.clone())
            } else {
                EngineError::of_submission(error)
            }
        };
        // Before it is checked: what was taken in once is answered, even when it would be refused
        // now.
        let earlier = self.store.find_by_key(&submission.principal.name, &once, now).await;
        if let Some(id) = earlier.map_err(conflict)? {
            return self.replay(id).await;
        }
        match self.took_in(submission, Some(once)).await {
            Ok(Submitted::New(job)) => Ok(Submission { job, is_replayed: false }),
            Ok(Submitted::Replayed(id)) => {
                Span::current().record("job", display(id));
                self.replay(id).await
            }
            Err(EngineError::Store(error)) => Err(conflict(error)),
            Err(error) => Err(error),
        }
    }

    /// Takes a job in: as it was planned, or as the one that its key stands for already.
    async fn took_in(
        self: &Arc<Self>,
        submission: NewSubmission,
        once: Option<Once>,
    ) -> Result<Submitted, EngineError> {
        // It may hold an attempt: its own place in memory keeps that out of all that waits for it.
        let taken = Box::pin(self.take_in_for_ack(submission, once)).await?;
        if let Submitted::New(job) = &taken {
            self.newcomers.add(job.id, &job.principal, Instant::now());
        }
        Ok(taken)
    }

    async fn replay(&self, id: JobId) -> Result<Submission, EngineError> {
        let job = self.store.find_job(id).await?.ok_or(EngineError::RemovedJob(id))?;
        Ok(Submission { job, is_replayed: true })
    }

    /// A job that may be stored now.
    pub(crate) async fn admitted(
        self: &Arc<Self>,
        submission: NewSubmission,
    ) -> Result<Checked, EngineError> {
        self.admit_jobs()?;
        let checked = self.checked(submission).await?;
        self.count_tasks(&checked.job.spec)?;
        Ok(checked)
    }

    /// Checks a job as one that is submitted now, and stores nothing.
    pub(crate) async fn checked(
        self: &Arc<Self>,
        submission: NewSubmission,
    ) -> Result<Checked, EngineError> {
        let is_forest = submission.job.get("tasks").is_some();
        submission.hops.admit(self.store.host()).map_err(EngineError::JobLoop)?;
        let mut spec = JobSpec::parse(submission.job).map_err(EngineError::InvalidJob)?;
        spec.hops = submission.hops;
        let path = |index| if is_forest { format!("/tasks/{index}") } else { String::new() };
        roles::apply(&self.role(&submission.principal.role)?, &mut spec, path)?;
        let plugins = self.plugins_of(&spec, path).await?;
        for (index, task) in spec.tasks.iter().enumerate() {
            let plugin = &plugins[&task.executor];
            if let Some((at, message)) = schema::certain_violation(&plugin.input, &task.inputs) {
                let at = format!("{}/inputs{at}", path(index));
                return Err(EngineError::InvalidInput(SpecFault::new(at, message)));
            }
            if let Some(policy) = &task.cost_policy
                && self.cost_policies().find(policy).is_none()
            {
                let at = format!("{}/cost_policy", path(index));
                let message =
                    format!("there is no cost policy `{policy}`: see `apflow-host policies list`");
                return Err(EngineError::InvalidJob(SpecFault::new(at, message)));
            }
            let root = format!("{}/inputs", path(index));
            self.check_files(task, plugin, &root, submission.principal.sees()).await?;
        }
        if !submission.grants.is_empty() {
            let asked: Vec<_> = plugins
                .values()
                .map(|ready| (&ready.plugin.manifest.name, &ready.plugin.manifest.capabilities))
                .collect();
            grants::check(&submission.grants, &asked)?;
        }
        let NewSubmission { principal, grants, .. } = submission;
        let acts_outside = plugins.values().any(|ready| ready.acts_outside());
        let can_wait_outside = plugins.values().all(|ready| ready.can_wait_outside());
        let job = NewJob { spec, principal: principal.name, grants };
        Ok(Checked { job, acts_outside, can_wait_outside })
    }

    /// Refuses a `$file` that names no file that is seen, or that its plugin could not read.
    async fn check_files(
        &self,
        task: &TaskSpec,
        plugin: &ReadyPlugin,
        root: &str,
        visible: Visible<'_>,
    ) -> Result<(), EngineError> {
        for found in file::find(&task.inputs).unwrap_or_default() {
            let at = format!("{root}{}", found.id_at());
            if !plugin.plugin.manifest.capabilities.fs.is_in_read {
                let message = format!(
                    "`{}` reads no files: write `capabilities: {{ fs: {{ in: read }} }}` in its \
                     plugin.yaml",
                    task.executor
                );
                return Err(EngineError::InvalidInput(SpecFault::new(at, message)));
            }
            let upload = self.store.find_upload(found.file).await?;
            if !upload.is_some_and(|upload| visible.shows(&upload.principal)) {
                let message = format!("there is no file `{}`: upload it first", found.file);
                return Err(EngineError::InvalidInput(SpecFault::new(at, message)));
            }
        }
        Ok(())
    }

    /// The plugins that a job needs, by name.
    async fn plugins_of(
        self: &Arc<Self>,
        spec: &JobSpec,
        path: impl Fn(usize) -> String,
    ) -> Result<HashMap<String, Arc<ReadyPlugin>>, EngineError> {
        let (mut plugins, newest) = (HashMap::new(), self.registry.newest());
        for (index, task) in spec.tasks.iter().enumerate() {
            let (name, is_tool) = (&task.executor, task.is_tool);
            if !plugins.contains_key(name)
                && let Some(plugin) = self.ready_plugin_at(name, newest).await?
            {
                plugins.insert(name.clone(), plugin);
            }
            let is_named_right = |ready: &Arc<ReadyPlugin>| ready.plugin.tool.is_some() == is_tool;
            if !plugins.get(name).is_some_and(is_named_right) {
                let key = if is_tool { "tool" } else { "executor" };
                let at = format!("{}/{key}", path(index));
                let message = self.unknown(name, is_tool).await?;
                return Err(EngineError::UnknownExecutor(SpecFault::new(at, message)));
            }
        }
        Ok(plugins)
    }
}

/// The span of a submission. The store records its job once it has an id.
pub(crate) fn span() -> Span {
    tracing::info_span!(target: TARGET, "submit", job = Empty)
}

/// What tells two submissions apart, but for who sends them: the sha256 of their JSON, whose keys are
/// sorted, so that neither their order nor white space counts.
fn hash(submission: &NewSubmission) -> Result<Digest, EngineError> {
    let text = serde_json::to_vec(&(&submission.job, &submission.grants));
    let text = text.map_err(|error| {
        EngineError::InvalidJob(SpecFault::new("", format!("it has no JSON form: {error}")))
    })?;
    Ok(Digest(Sha256::digest(&text).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(job: &str) -> Digest {
        let job = serde_json::from_str(job).unwrap();
        let submission = NewSubmission {
            job,
            principal: Principal::admin("ada"),
            grants: Vec::new(),
            hops: Hops::default(),
        };
        hash(&submission).unwrap()
    }

    #[test]
    fn the_order_of_keys_does_not_tell_submissions_apart() {
        let job = of(r#"{"executor": "x", "inputs": {"a": 1, "b": [1, 2]}}"#);
        assert_eq!(job, of(r#"{"inputs":{"b":[1,2],"a":1},"executor":"x"}"#));
        assert_ne!(job, of(r#"{"inputs":{"b":[2,1],"a":1},"executor":"x"}"#));
    }
}
