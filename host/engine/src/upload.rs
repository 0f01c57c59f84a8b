//! Takes uploads in, lists and removes them, and hands their bytes out.
//!
//! All files of one upload are kept, or none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apflow_model::clock::Timestamp;
use apflow_model::file::{self, Upload};
use apflow_model::id::FileId;
use apflow_model::plugin::Digest;
use apflow_store::{NewUpload, Removal, UploadPage};
use bytes::Bytes;
use cap_std::fs::File;
use tokio::sync::mpsc::Receiver;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::files::{Incoming, on_disk};
use crate::room::HeldRoom;

/// The most files of one upload.
pub const FILES_PER_UPLOAD_MAX: usize = 64;

/// Files as a caller uploads them.
pub struct NewFiles {
    /// Who uploads them.
    pub principal: String,
    /// How many bytes they have together, where the caller said it.
    pub size: Option<u64>,
    /// The files, piece by piece.
    pub pieces: Receiver<Piece>,
}

/// A piece of an upload.
#[derive(Debug)]
pub enum Piece {
    /// A file begins. The one before it is whole.
    File {
        /// The name that tasks find it under.
        name: String,
        /// The sha256 that its bytes must have, where the caller said it.
        sha256: Option<Digest>,
    },
    /// The next bytes of the file.
    Bytes(Bytes),
    /// There are no more. An upload that ends without this was cut short.
    End,
}

/// A file of an upload, while it comes in.
struct Part {
    name: String,
    expected: Option<Digest>,
    incoming: Incoming,
}

/// An upload, opened.
#[derive(Debug)]
pub struct UploadContent {
    /// What is known of it.
    pub upload: Upload,
    /// Its bytes. They can be read to their end even when it is removed meanwhile.
    pub bytes: File,
}

impl Engine {
    /// Takes files in. When this returns, they survive a crash. Memory holds a few pieces of them.
    ///
    /// # Errors
    ///
    /// [`EngineError::FileTooLarge`], [`EngineError::FileQuotaExceeded`],
    /// [`EngineError::DigestMismatch`], [`EngineError::InvalidUpload`], [`EngineError::CutShort`]
    /// when no more pieces come and none was the end, [`EngineError::DiskFull`],
    /// [`EngineError::DataDir`] and [`EngineError::Store`]. Nothing is kept then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the upload up.
    pub async fn upload(self: &Arc<Self>, new: NewFiles) -> Result<Vec<Upload>, EngineError> {
        let NewFiles { principal, size, mut pieces } = new;
        let mut room = HeldRoom::new(self, principal.clone());
        let parts = self.receive(&mut pieces, size, &mut room).await?;
        let bytes = parts.iter().map(|part| part.incoming.size()).sum();
        // It may be about to expire, if the last of it took its time.
        room.hold(parts.len() as u64, bytes, Some(0)).await?;
        // Until their rows are there, nobody removes these bytes with an older upload of them.
        let _uploading = self.uploading.read().await;
        let place = move || parts.into_iter().map(|part| place(part, &principal)).collect();
        let new = on_disk(place).await?;
        let uploads = self.store.add_uploads(room.id(), new, self.now()).await?;
        room.fill();
        self.metrics.uploaded.add(uploads.iter().map(|upload| upload.size).sum());
        Ok(uploads)
    }

    /// Receives the files of an upload, each whole and as its caller expects it.
    async fn receive(
        &self,
        pieces: &mut Receiver<Piece>,
        size: Option<u64>,
        room: &mut HeldRoom,
    ) -> Result<Vec<Part>, EngineError> {
        let bytes_max = self.settings.files.file_bytes_max;
        let mut parts: Vec<Part> = Vec::new();
        let mut bytes_before = 0;
        loop {
            let piece = pieces.recv().await.ok_or(EngineError::CutShort)?;
            if matches!(piece, Piece::File { .. } | Piece::End)
                && let Some(part) = parts.last()
            {
                part.check()?;
                bytes_before += part.incoming.size();
            }
            match piece {
                Piece::File { name, sha256 } => {
                    let name = file::check_name(&name).map_err(EngineError::InvalidUpload)?;
                    if parts.len() == FILES_PER_UPLOAD_MAX {
                        return Err(EngineError::InvalidUpload(format!(
                            "there are more than {FILES_PER_UPLOAD_MAX} files: send the rest apart"
                        )));
                    }
                    if parts.is_empty() && size.is_some_and(|size| size > bytes_max) {
                        return Err(EngineError::FileTooLarge(bytes_max));
                    }
                    let bytes = bytes_before + size.unwrap_or_default();
                    room.hold(parts.len() as u64 + 1, bytes, size.map(|_| 0)).await?;
                    parts.push(Part { name, expected: sha256, incoming: self.begin().await? });
                }
                Piece::Bytes(piece) => {
                    let Some(part) = parts.pop() else { continue };
                    let size = part.incoming.size().saturating_add(piece.len() as u64);
                    if size > bytes_max {
                        return Err(EngineError::FileTooLarge(bytes_max));
                    }
                    room.hold(parts.len() as u64 + 1, bytes_before + size, None).await?;
                    // One piece at a time: a caller who is slow holds no thread meanwhile.
                    parts.push(on_disk(move || part.write(&piece)).await?);
                }
                Piece::End if parts.is_empty() => {
                    let message = "there is no file in it".to_owned();
                    return Err(EngineError::InvalidUpload(message));
                }
                Piece::End => return Ok(parts),
            }
        }
    }

    /// Begins a file beside those that are whole.
    async fn begin(&self) -> Result<Incoming, EngineError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let beside = format!("{}-{count}.new", std::process::id());
        let files = Arc::clone(&self.files);
        on_disk(move || files.receive(beside)).await
    }

    /// Lists the uploads of a caller, or of all, the newest first, from the one after `before` on.
    /// `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_uploads(
        &self,
        principal: Option<&str>,
        before: Option<FileId>,
        limit: u32,
    ) -> Result<UploadPage, EngineError> {
        Ok(self.store.list_uploads(principal, before, limit).await?)
    }

    /// Finds an upload.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn find_upload(&self, id: FileId) -> Result<Option<Upload>, EngineError> {
        Ok(self.store.find_upload(id).await?)
    }

    /// Opens an upload.
    ///
    /// # Errors
    ///
    /// [`EngineError::DataDir`] when its bytes cannot be opened.
    pub async fn open_upload(&self, upload: Upload) -> Result<UploadContent, EngineError> {
        let (files, digest) = (Arc::clone(&self.files), upload.sha256);
        let bytes = on_disk(move || files.open_upload(&digest)).await?;
        Ok(UploadContent { upload, bytes })
    }

    /// Removes an upload. False when there is none.
    ///
    /// # Errors
    ///
    /// [`EngineError::FileInUse`], and it stays; [`EngineError::Store`] and
    /// [`EngineError::DataDir`].
    pub async fn remove_upload(&self, id: FileId) -> Result<bool, EngineError> {
        // The same bytes cannot come again between the end of their row and that of their file.
        let _turn = self.uploading.write().await;
        match self.store.remove_upload(id).await? {
            Removal::InUse => Err(EngineError::FileInUse(id)),
            Removal::Unknown => Ok(false),
            Removal::Removed(unused) => {
                let files = Arc::clone(&self.files);
                on_disk(move || unused.iter().try_for_each(|one| files.forget_upload(one))).await?;
                Ok(true)
            }
        }
    }

    /// When an upload is removed, unless a job names it before. None for never.
    pub fn upload_expires_at(&self, upload: &Upload) -> Option<Timestamp> {
        self.live().retention.uploads_days.until(upload.used_at)
    }
}

impl Part {
    fn write(mut self, piece: &[u8]) -> std::io::Result<Self> {
        self.incoming.write(piece)?;
        Ok(self)
    }

    /// Whether it has the bytes that its caller meant.
    fn check(&self) -> Result<(), EngineError> {
        let found = self.incoming.digest();
        match self.expected {
            Some(expected) if expected != found => {
                Err(EngineError::DigestMismatch { name: self.name.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }
}

/// Keeps a file that has come whole.
fn place(part: Part, principal: &str) -> std::io::Result<NewUpload> {
    let (size, sha256) = part.incoming.finish()?;
    Ok(NewUpload { name: part.name, size, sha256, principal: principal.to_owned() })
}
