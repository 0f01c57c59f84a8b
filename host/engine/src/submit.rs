//! Takes jobs in: everything is checked before anything is stored.

use std::collections::HashMap;
use std::sync::Arc;

use apflow_model::capability::Grant;
use apflow_model::file;
use apflow_model::job::{Job, JobSpec, SpecFault, TaskSpec};
use apflow_store::{NewJob, StoreError};
use serde_json::Value;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::ReadyPlugin;
use crate::{grants, schema};

/// How alike two names must be for one to be suggested for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

/// A job as a caller hands it in.
pub struct NewSubmission {
    /// The job, as JSON.
    pub job: Value,
    /// Who submits it.
    pub principal: String,
    /// What the operator allows this job alone.
    pub grants: Vec<Grant>,
}

impl Engine {
    /// Takes a job in. When this returns, the job survives a crash.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidJob`], [`EngineError::UnknownExecutor`], [`EngineError::InvalidInput`]
    /// and [`EngineError::GrantNotAsked`] for a job that is refused, [`EngineError::TooManyTasks`]
    /// while too many others have not ended, and [`EngineError::Store`]. Nothing is stored then.
    pub async fn submit(self: &Arc<Self>, submission: NewSubmission) -> Result<Job, EngineError> {
        let is_forest = submission.job.get("tasks").is_some();
        let spec = JobSpec::parse(submission.job).map_err(EngineError::InvalidJob)?;
        let path = |index| if is_forest { format!("/tasks/{index}") } else { String::new() };
        let plugins = self.plugins_of(&spec, path).await?;
        for (index, task) in spec.tasks.iter().enumerate() {
            let plugin = &plugins[&task.executor];
            if let Some((at, message)) = schema::certain_violation(&plugin.input, &task.inputs) {
                let at = format!("{}/inputs{at}", path(index));
                return Err(EngineError::InvalidInput(SpecFault::new(at, message)));
            }
            self.check_files(task, plugin, &format!("{}/inputs", path(index))).await?;
        }
        if !submission.grants.is_empty() {
            let asked: Vec<_> = plugins
                .values()
                .map(|ready| (&ready.plugin.manifest.name, &ready.plugin.manifest.capabilities))
                .collect();
            grants::check(&submission.grants, &asked)?;
        }
        let NewSubmission { principal, grants, .. } = submission;
        let job = NewJob { spec, principal, grants };
        let job = self.store.submit(job, self.now()).await.map_err(|error| {
            let is_full = matches!(error, StoreError::TooManyTasks { .. });
            if is_full { EngineError::TooManyTasks(error) } else { EngineError::Store(error) }
        })?;
        self.bell.notify_one();
        Ok(job)
    }

    /// Refuses a `$file` that names no file, or that its plugin could not read.
    async fn check_files(
        &self,
        task: &TaskSpec,
        plugin: &ReadyPlugin,
        root: &str,
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
            if self.store.find_upload(found.file).await?.is_none() {
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
        let mut plugins = HashMap::new();
        for (index, task) in spec.tasks.iter().enumerate() {
            let name = &task.executor;
            if plugins.contains_key(name) {
                continue;
            }
            let Some(plugin) = self.ready_plugin(name).await? else {
                let at = format!("{}/executor", path(index));
                let message = self.unknown(name).await?;
                return Err(EngineError::UnknownExecutor(SpecFault::new(at, message)));
            };
            plugins.insert(name.clone(), plugin);
        }
        Ok(plugins)
    }

    async fn unknown(&self, name: &str) -> Result<String, EngineError> {
        let installed = self.store.list_plugins().await?;
        let names = installed.iter().map(|plugin| plugin.manifest.name.as_str());
        let nearest = names
            .map(|other| (strsim::jaro_winkler(name, other), other))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|left, right| left.0.total_cmp(&right.0));
        let hint = match nearest {
            Some((_, other)) => format!("did you mean `{other}`?"),
            None => "`apflow-host plugins list` shows what is installed".to_owned(),
        };
        Ok(format!("there is no executor `{name}`: {hint}"))
    }
}
