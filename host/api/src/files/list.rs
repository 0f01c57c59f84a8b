//! `files.list`: what the tasks of a job left.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::file::TaskFile;
use apflow_model::id::JobId;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lists the files that the tasks of a job left, in the order the tasks ended.
#[derive(Debug)]
pub struct ListFiles {
    /// The job.
    pub id: JobId,
    /// How many, from 1 to 1000; 1000 if not said.
    pub limit: Option<u32>,
    /// What the page before ended with.
    pub cursor: Option<i64>,
}

/// A page of files.
#[derive(Debug, Serialize)]
pub struct FileList {
    /// The files.
    pub files: Vec<TaskFile>,
    /// What to ask for the next page with. None on the last one.
    pub cursor: Option<i64>,
}

const LIMIT_MAX: u32 = 1_000;

impl Operation for ListFiles {
    const NAME: &'static str = "files.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = FileList;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<FileList, ApiError> {
        let limit = self.limit.unwrap_or(LIMIT_MAX);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = format!("`limit` is {limit}: expected 1 to {LIMIT_MAX}");
            return Err(ApiError::InvalidRequest(message));
        }
        let page = engine.list_files(self.id, self.cursor, limit, caller.sees()).await?;
        let page = page.ok_or(ApiError::UnknownJob(self.id))?;
        Ok(FileList { files: page.files, cursor: page.next })
    }
}

impl Remote for ListFiles {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/jobs/{id}/files";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let (limit, cursor) = (input.take("limit")?, input.take("cursor")?);
        Ok(Self { id: input.require("id")?, limit, cursor })
    }
}
