//! `uploads.open`: the bytes of a file that a caller uploaded.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::file::Upload;
use apflow_model::id::FileId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::Input;

/// Opens an upload.
///
/// Its bytes are answered as a stream, so it is no verb of the table.
#[derive(Debug, JsonSchema)]
pub struct OpenUpload {
    /// The upload.
    pub id: FileId,
}

/// An upload that was opened.
#[derive(Debug, Serialize)]
pub struct OpenedUpload {
    /// What is known of it.
    #[serde(flatten)]
    pub upload: Upload,
    /// Its bytes.
    #[serde(skip)]
    pub bytes: cap_std::fs::File,
}

impl OpenUpload {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] =
        &[Code::UnknownFile, Code::PreconditionFailed, Code::RangeNotSatisfiable];
    /// The path that it is called by.
    pub const PATH: &'static str = "/api/v1/files/{id}";

    /// Reads the fields of the path.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] for what cannot be read, or is left over.
    pub fn read(mut input: Input) -> Result<Self, ApiError> {
        let id = input.require("id")?;
        input.finish()?;
        Ok(Self { id })
    }
}

impl Operation for OpenUpload {
    const NAME: &'static str = "uploads.open";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = OpenedUpload;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<OpenedUpload, ApiError> {
        let upload = super::find(engine, caller, self.id).await?;
        let content = engine.open_upload(upload).await?;
        Ok(OpenedUpload { upload: content.upload, bytes: content.bytes })
    }
}
