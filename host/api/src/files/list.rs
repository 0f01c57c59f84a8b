//! `files.list`: what the tasks of a job left.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::file::TaskFile;
use apflow_model::id::JobId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the files that the tasks of a job left, in the order the tasks ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListFiles {
    /// The job.
    pub id: JobId,
    /// Which page.
    #[serde(flatten)]
    pub page: Page<i64, 1_000>,
}

/// A page of files.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileList {
    /// The files.
    pub files: Vec<TaskFile>,
    /// What to ask for the next page with. None on the last one.
    pub cursor: Option<i64>,
}

impl Operation for ListFiles {
    const NAME: &'static str = "files.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = FileList;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<FileList, ApiError> {
        let limit = self.page.limit()?;
        let page = engine.list_files(self.id, self.page.cursor, limit, caller.sees()).await?;
        let page = page.ok_or(ApiError::UnknownJob(self.id))?;
        Ok(FileList { files: page.files, cursor: page.next })
    }
}

impl Remote for ListFiles {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/jobs/{id}/files";
    const ERRORS: &'static [Code] = &[Code::UnknownJob];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")?, page: Page::read(input)? })
    }
}
