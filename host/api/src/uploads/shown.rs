//! An upload as callers see it.

use apflow_engine::Engine;
use apflow_model::clock::Timestamp;
use apflow_model::file::Upload;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An upload, and how long it is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownUpload {
    /// The upload.
    #[serde(flatten)]
    pub upload: Upload,
    /// When it is removed, unless a job names it before, or one that names it has not ended. Null
    /// for never.
    pub expires_at: Option<Timestamp>,
}

impl ShownUpload {
    pub(super) fn new(engine: &Engine, upload: Upload) -> Self {
        Self { expires_at: engine.upload_expires_at(&upload), upload }
    }
}
