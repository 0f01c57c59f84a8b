//! `files.upload`: takes a file in, for tasks to read.

use std::sync::Arc;

use apflow_engine::{Engine, NewFile, Piece};
use apflow_model::access::{Permission, Principal};
use apflow_model::file::{self, Upload};
use schemars::JsonSchema;
use tokio::sync::mpsc::Receiver;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;

/// The form of a name, as [`file::check_name`] has it.
const NAME: &str = r"^(?!\.\.?$)[^/\\\x00-\x1f\x7f-\x9f]+$";

/// Takes a file in. It is kept when this answers.
///
/// Its bytes come as a stream, so it is no verb of the table.
#[derive(Debug, JsonSchema)]
pub struct UploadFile {
    /// The name that a task finds it under.
    #[schemars(length(max = 255), regex(pattern = NAME), example = &"report.csv")]
    pub name: String,
    /// Its size in bytes, where the caller said it.
    #[schemars(skip)]
    pub size: Option<u64>,
    /// Its bytes, piece by piece.
    #[schemars(skip)]
    pub pieces: Receiver<Piece>,
}

impl UploadFile {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] = &[Code::PayloadTooLarge];
    /// The path that it is called by.
    pub const PATH: &'static str = "/api/v1/files";
}

impl Operation for UploadFile {
    const NAME: &'static str = "files.upload";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Upload;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Upload, ApiError> {
        let name = file::check_name(&self.name).map_err(ApiError::InvalidRequest)?;
        let principal = caller.name.clone();
        let Self { size, pieces, .. } = self;
        Ok(engine.upload(NewFile { name, principal, size, pieces }).await?)
    }
}
