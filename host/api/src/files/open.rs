//! `files.open`: one file that a task left.

use std::sync::Arc;

use apflow_engine::{Content, Engine};
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::file::TaskFile;
use apflow_model::id::JobId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::Input;

/// Opens a file that a task left.
///
/// Its bytes are answered as a stream, so it is no verb of the table.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OpenFile {
    /// The job.
    pub id: JobId,
    /// The caller's reference to the task. Where it is left out, no other task of the job may have left
    /// a file of the same name.
    #[schemars(example = &"fetch")]
    pub task: Option<String>,
    /// The file's path below the task's `/out`.
    #[schemars(example = &"report.csv")]
    pub name: String,
}

/// A file that was opened.
#[derive(Debug, Serialize)]
pub struct OpenedFile {
    /// What is known of it.
    #[serde(flatten)]
    pub file: TaskFile,
    /// Its bytes.
    #[serde(skip)]
    pub bytes: cap_std::fs::File,
    /// When it was written.
    #[serde(skip)]
    pub modified_at: Timestamp,
}

impl OpenFile {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] =
        &[Code::UnknownFile, Code::PreconditionFailed, Code::RangeNotSatisfiable];
    /// The path that it is called by.
    pub const PATH: &'static str = "/api/v1/jobs/{id}/files/{task}/{*name}";

    /// The path that a file in no folder is called by, which a single task left.
    pub const PATH_OF_ONLY: &'static str = "/api/v1/jobs/{id}/files/{name}";

    /// Reads the fields of the path.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] for what cannot be read, or is left over.
    pub fn read(mut input: Input) -> Result<Self, ApiError> {
        let (task, name) = (input.take("task")?, input.require("name")?);
        let id = input.require("id")?;
        input.finish()?;
        Ok(Self { id, task, name })
    }
}

impl Operation for OpenFile {
    const NAME: &'static str = "files.open";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = OpenedFile;

    fn target(&self) -> Option<String> {
        let Self { id, task, name } = self;
        Some(match task {
            Some(task) => format!("{id}/{task}/{name}"),
            None => format!("{id}/{name}"),
        })
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<OpenedFile, ApiError> {
        let Self { id, task, name } = self;
        let opened = engine.open_file(id, task.as_deref(), &name, caller.sees()).await?;
        let content = opened.ok_or_else(|| match task {
            Some(task) => ApiError::UnknownFile { job: id, task, name },
            None => ApiError::UnknownOrSharedFile { job: id, name },
        })?;
        let Content { file, bytes, modified_at } = content;
        Ok(OpenedFile { file, bytes, modified_at })
    }
}
