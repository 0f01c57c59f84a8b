//! Files in and out: takes uploads in, and hands out what tasks left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apflow_model::file::{TaskFile, Upload};
use apflow_model::id::JobId;
use apflow_model::visible::Visible;
use apflow_store::{FilePage, NewUpload};
use bytes::Bytes;
use cap_std::fs::File;
use tokio::sync::mpsc::Receiver;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::files::{Incoming, on_disk};

/// A file as a caller uploads it.
pub struct NewFile {
    /// Its name, checked.
    pub name: String,
    /// Who uploads it.
    pub principal: String,
    /// Its size in bytes, where the caller said it.
    pub size: Option<u64>,
    /// Its bytes, piece by piece.
    pub pieces: Receiver<Piece>,
}

/// A piece of a file that is uploaded.
#[derive(Debug)]
pub enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// There are no more. A file that ends without this was cut short.
    End,
}

/// A file that a task left, opened.
#[derive(Debug)]
pub struct Content {
    /// What is known of it.
    pub file: TaskFile,
    /// Its bytes.
    pub bytes: File,
}

impl Engine {
    /// Takes a file in. When this returns, it survives a crash. Memory holds a few pieces of it.
    ///
    /// # Errors
    ///
    /// [`EngineError::FileTooLarge`], [`EngineError::CutShort`] when no more pieces come and none
    /// was the end, [`EngineError::DataDir`] and [`EngineError::Store`]. Nothing is kept then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the upload up.
    pub async fn upload(self: &Arc<Self>, new: NewFile) -> Result<Upload, EngineError> {
        let bytes_max = self.settings.upload_bytes_max;
        if new.size.is_some_and(|size| size > bytes_max) {
            return Err(EngineError::FileTooLarge(bytes_max));
        }
        let NewFile { name, principal, mut pieces, .. } = new;
        let incoming = self.receive(&mut pieces, bytes_max).await?;
        // Until its row is there, nobody removes these bytes with an older upload of them.
        let _uploading = self.uploading.read().await;
        let (size, sha256) = on_disk(move || incoming.finish()).await?;
        let upload = NewUpload { name, size, sha256, principal };
        let upload = self.store.add_upload(upload, self.now()).await?;
        self.metrics.uploaded.add(size);
        Ok(upload)
    }

    async fn receive(
        &self,
        pieces: &mut Receiver<Piece>,
        bytes_max: u64,
    ) -> Result<Incoming, EngineError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let beside = format!("{}-{count}.new", std::process::id());
        let files = Arc::clone(&self.files);
        let mut incoming = on_disk(move || files.receive(beside)).await?;
        loop {
            let piece = match pieces.recv().await {
                Some(Piece::Bytes(piece)) => piece,
                Some(Piece::End) => return Ok(incoming),
                None => return Err(EngineError::CutShort),
            };
            if incoming.size().saturating_add(piece.len() as u64) > bytes_max {
                return Err(EngineError::FileTooLarge(bytes_max));
            }
            // One piece at a time: a caller who is slow holds no thread meanwhile.
            incoming = on_disk(move || incoming.write(&piece).map(|()| incoming)).await?;
        }
    }

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

    /// Opens what a task left. `task` is the caller's reference to it.
    ///
    /// None when there is no such file that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`], and [`EngineError::DataDir`] when the file cannot be opened.
    pub async fn open_file(
        self: &Arc<Self>,
        job: JobId,
        task: &str,
        name: &str,
        visible: Visible<'_>,
    ) -> Result<Option<Content>, EngineError> {
        if !self.sees_job(job, visible).await? {
            return Ok(None);
        }
        let Some(file) = self.store.find_file(job, task, name).await? else { return Ok(None) };
        let (files, task, name) = (Arc::clone(&self.files), file.task_id, file.name.clone());
        let bytes = on_disk(move || files.open_kept(job, task, &name)).await?;
        Ok(Some(Content { file, bytes }))
    }
}
