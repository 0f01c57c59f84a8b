//! Lists what tasks left, and hands it out.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use apflow_model::clock::Timestamp;
use apflow_model::file::TaskFile;
use apflow_model::id::JobId;
use apflow_model::visible::Visible;
use apflow_store::FilePage;
use cap_std::fs::File;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::files::on_disk;

/// A file that a task left, opened.
#[derive(Debug)]
pub struct Content {
    /// What is known of it.
    pub file: TaskFile,
    /// Its bytes.
    pub bytes: File,
    /// When it was written. It is not written again.
    pub modified_at: Timestamp,
}

impl Engine {
    /// Lists what the tasks of a job left. `limit` is brought into 1 to 1000.
    ///
    /// None when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_files(
        &self,
        job: JobId,
        after: Option<i64>,
        limit: u32,
        visible: Visible<'_>,
    ) -> Result<Option<FilePage>, EngineError> {
        let owner = self.store.owner_of_job(job).await?;
        if !owner.is_some_and(|owner| visible.shows(&owner)) {
            return Ok(None);
        }
        Ok(Some(self.store.list_files(job, after, limit).await?))
    }

    /// Opens what a task left. `task` is the caller's reference to it; without one, no other task of the
    /// job may have left a file of that name.
    ///
    /// None when there is no such file that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`], and [`EngineError::DataDir`] when the file cannot be opened.
    pub async fn open_file(
        self: &Arc<Self>,
        job: JobId,
        task: Option<&str>,
        name: &str,
        visible: Visible<'_>,
    ) -> Result<Option<Content>, EngineError> {
        if !self.sees_job(job, visible).await? {
            return Ok(None);
        }
        let Some(file) = self.store.find_file(job, task, name).await? else { return Ok(None) };
        let (files, task, name) = (Arc::clone(&self.files), file.task_id, file.name.clone());
        let open = move || {
            let bytes = files.open_kept(job, task, &name)?;
            let modified = bytes.metadata()?.modified()?.into_std();
            Ok((bytes, modified))
        };
        let (bytes, modified) = on_disk(open).await?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let modified_at = Timestamp::from_unix_ms(i64::try_from(since).unwrap_or(i64::MAX));
        Ok(Some(Content { file, bytes, modified_at }))
    }
}
