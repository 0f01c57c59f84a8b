//! Verbs on what callers uploaded.

mod delete;
mod list;
mod open;
mod shown;
mod upload;

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::Principal;
use apflow_model::file::Upload;
use apflow_model::id::FileId;

use crate::error::ApiError;

pub use delete::{DeleteUpload, DeletedUpload};
pub use list::{ListUploads, UploadList};
pub use open::{OpenUpload, OpenedUpload};
pub use shown::ShownUpload;
pub use upload::{UploadFile, Uploaded};

/// Finds an upload that the caller may see: its own, and that of others for who may manage jobs.
async fn find(engine: &Arc<Engine>, caller: &Principal, id: FileId) -> Result<Upload, ApiError> {
    let found = engine.find_upload(id).await?;
    let is_seen = |upload: &Upload| caller.sees().shows(&upload.principal);
    found.filter(is_seen).ok_or(ApiError::UnknownUpload(id))
}
