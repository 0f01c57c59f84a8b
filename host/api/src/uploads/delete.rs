//! `uploads.delete`: removes a file that a caller uploaded.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::FileId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Removes an upload, unless a job that has not ended names it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeleteUpload {
    /// The upload.
    pub id: FileId,
}

/// An upload that was removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeletedUpload {
    /// Which.
    pub deleted: FileId,
}

impl Operation for DeleteUpload {
    const NAME: &'static str = "uploads.delete";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = DeletedUpload;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(
        self,
        engine: &Arc<Engine>,
        caller: &Principal,
    ) -> Result<DeletedUpload, ApiError> {
        let id = super::find(engine, caller, self.id).await?.id;
        if !engine.remove_upload(id).await? {
            return Err(ApiError::UnknownUpload(id));
        }
        Ok(DeletedUpload { deleted: id })
    }
}

impl Remote for DeleteUpload {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/files/{id}";
    const ERRORS: &'static [Code] = &[Code::UnknownFile, Code::FileInUse];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
