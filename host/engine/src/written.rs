//! What the commands of a job wrote to their standard streams, and what they ended with.
//!
//! The output of a command that went well says it; of one that did not, the history of its job does.

use std::collections::HashMap;

use apflow_model::event::{Event, Happening};
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, Task};
use apflow_model::plugin::World;
use apflow_store::EVENTS_PER_PAGE_MAX;
use serde_json::Value;

use crate::engine::Engine;
use crate::error::EngineError;

/// What the last attempt of a command wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Its standard output. None when only what the tool read from it was kept.
    pub stdout: Option<String>,
    /// Its standard error.
    pub stderr: Option<String>,
    /// What it ended with. None when it did not end by itself.
    pub exit_code: Option<i32>,
}

impl Engine {
    /// What each command of a job wrote in its last attempt. Tasks of executors and requests, and
    /// tasks that never began, are left out.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn written(&self, job: &Job) -> Result<HashMap<TaskId, Written>, EngineError> {
        let (mut written, mut untold) = (HashMap::new(), Vec::new());
        for task in &job.tasks {
            let Some(attempt) = task.attempts.last() else { continue };
            if self.world(&task.executor).await? != Some(World::Command) {
                continue;
            }
            let said = said(task);
            if said.stdout.is_none() {
                untold.push((task, attempt.n));
            }
            written.insert(task.id, said);
        }
        let mut streams = self.streams(job.id, &untold).await?;
        for (task, attempt) in untold {
            let Some(said) = written.get_mut(&task.id) else { continue };
            let (stdout, stderr) = streams.remove(&(task.id, attempt)).unwrap_or_default();
            said.stderr.get_or_insert(stderr);
            // A result that was kept and given again is no writing.
            if task.output.is_none() || !stdout.is_empty() {
                said.stdout = Some(stdout);
            }
        }
        Ok(written)
    }

    /// Which kind of program a plugin is. None when it is not there.
    async fn world(&self, name: &str) -> Result<Option<World>, EngineError> {
        match self.registry.world(name) {
            Some(world) => Ok(Some(world)),
            None => Ok(self.store.find_plugin(name).await?.map(|plugin| plugin.world)),
        }
    }

    /// The standard output and the standard error of these attempts, from the history of their job.
    async fn streams(
        &self,
        job: JobId,
        attempts: &[(&Task, u32)],
    ) -> Result<HashMap<(TaskId, u32), (String, String)>, EngineError> {
        let mut streams: HashMap<_, (String, String)> =
            attempts.iter().map(|(task, n)| ((task.id, *n), Default::default())).collect();
        let mut after = (!streams.is_empty()).then_some(0);
        while let Some(n) = after {
            let page = self.store.list_events(job, n, EVENTS_PER_PAGE_MAX).await?;
            after = page.last().map(|event| event.n);
            for Event { task_id, attempt, what, .. } in page {
                let of_task = task_id.and_then(|id| streams.get_mut(&(id, attempt)));
                let Some((stdout, stderr)) = of_task else { continue };
                if let Happening::Stdout { text } = &what {
                    stdout.push_str(text);
                } else if let Happening::Stderr { text } = &what {
                    stderr.push_str(text);
                }
            }
        }
        Ok(streams)
    }
}

/// What the output or the fault of a task says of what its command wrote.
fn said(task: &Task) -> Written {
    let Some(output) = &task.output else {
        let exit_code = task.fault.as_ref().and_then(|fault| fault.exit_code);
        return Written { exit_code, ..Written::default() };
    };
    let text = |key: &str| output.get(key).and_then(Value::as_str).map(str::to_owned);
    let exit_code = output.get("exit_code").and_then(Value::as_i64);
    Written {
        // A tool calls it `text`.
        stdout: text("stdout").or_else(|| text("text")),
        stderr: text("stderr"),
        exit_code: exit_code.and_then(|code| i32::try_from(code).ok()),
    }
}
