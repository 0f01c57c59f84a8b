//! `files.upload`: takes files in, for tasks to read.

use std::sync::Arc;

use apflow_engine::{Engine, NewFiles, Piece};
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;

use super::ShownUpload;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;

/// Takes files in. They are kept when this answers: all of them, or none.
///
/// Their bytes come as a stream, so it is no verb of the table.
#[derive(Debug)]
pub struct UploadFile {
    /// How many bytes they have together, where the caller said it.
    pub size: Option<u64>,
    /// The files, piece by piece.
    pub pieces: Receiver<Piece>,
}

/// What was uploaded.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Uploaded {
    /// One file.
    One(ShownUpload),
    /// Any other number, in the order they came.
    Several {
        /// The files.
        files: Vec<ShownUpload>,
    },
}

impl UploadFile {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] =
        &[Code::PayloadTooLarge, Code::FileQuotaExceeded, Code::DigestMismatch, Code::DiskFull];
    /// The path that it is called by.
    pub const PATH: &'static str = "/api/v1/files";
}

impl Operation for UploadFile {
    const NAME: &'static str = "files.upload";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Uploaded;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Uploaded, ApiError> {
        let principal = caller.name.clone();
        let Self { size, pieces } = self;
        let uploads = engine.upload(NewFiles { principal, size, pieces }).await?;
        let mut files: Vec<_> =
            uploads.into_iter().map(|upload| ShownUpload::new(engine, upload)).collect();
        Ok(match files.pop() {
            Some(only) if files.is_empty() => Uploaded::One(only),
            last => Uploaded::Several { files: files.into_iter().chain(last).collect() },
        })
    }
}
