//! `uploads.list`: what callers uploaded, newest first, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::FileId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShownUpload;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists uploads, newest first: the caller's own, and those of others for who may manage jobs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListUploads {
    /// Uploaded by this principal.
    pub principal: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: Page<FileId>,
}

/// A page of uploads.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UploadList {
    /// The uploads.
    pub files: Vec<ShownUpload>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<FileId>,
}

impl Operation for ListUploads {
    const NAME: &'static str = "uploads.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = UploadList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<UploadList, ApiError> {
        let limit = self.page.limit()?;
        let Ok(whose) = caller.sees().narrow(self.principal) else {
            return Ok(UploadList { files: Vec::new(), cursor: None });
        };
        let page = engine.list_uploads(whose.as_deref(), self.page.cursor, limit).await?;
        let shown = |upload| ShownUpload::new(engine, upload);
        Ok(UploadList { files: page.uploads.into_iter().map(shown).collect(), cursor: page.next })
    }
}

impl Remote for ListUploads {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/files";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { principal: input.take("principal")?, page: Page::read(input)? })
    }
}
