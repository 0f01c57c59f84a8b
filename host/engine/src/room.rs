//! The room that an upload takes up of its caller's quota while it comes in.
//!
//! It grows in steps, so that a large upload whose size nobody said costs few writes, and it is
//! given back when the upload is given up.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::id::FileId;
use apflow_store::Room;

use crate::engine::Engine;
use crate::error::{EngineError, chain};

/// The least that is asked for beyond what has come, in bytes.
const STEP_BYTES_MIN: u64 = 1 << 20;
/// How long room is kept that nobody asks for again: that of an upload whose host was killed.
const KEPT_FOR: Duration = Duration::from_hours(1);
/// How long before that it is asked for again, by an upload that still comes in.
const RENEWED_BEFORE: Duration = Duration::from_mins(30);

/// Room for an upload of one or more files. It is given back when this is dropped.
pub(crate) struct HeldRoom {
    engine: Arc<Engine>,
    id: FileId,
    principal: String,
    files: u64,
    /// For how many bytes.
    bytes: u64,
    expires_at: Timestamp,
}

impl HeldRoom {
    /// Room for an upload that has no file yet.
    pub(crate) fn new(engine: &Arc<Engine>, principal: String) -> Self {
        let now = engine.now();
        let id = engine.store.name_room(now);
        Self { engine: Arc::clone(engine), id, principal, files: 0, bytes: 0, expires_at: now }
    }

    /// What the store knows it by.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Sees to it that there is room for this much. `more` is how many bytes will come beyond
    /// `bytes`, where somebody knows.
    ///
    /// # Errors
    ///
    /// [`EngineError::FileQuotaExceeded`] and [`EngineError::Store`].
    pub(crate) async fn hold(
        &mut self,
        files: u64,
        bytes: u64,
        more: Option<u64>,
    ) -> Result<(), EngineError> {
        let now = self.engine.now();
        let is_held = files <= self.files && bytes <= self.bytes;
        if is_held && now < self.expires_at.before(RENEWED_BEFORE) {
            return Ok(());
        }
        let more = more.unwrap_or_else(|| bytes.max(STEP_BYTES_MIN));
        let expires_at = now.after(KEPT_FOR);
        let room = Room {
            id: self.id,
            principal: self.principal.clone(),
            files,
            bytes,
            bytes_wanted: bytes.saturating_add(more),
            expires_at,
        };
        let kept = self.engine.store.keep_room(room, self.engine.settings.files.quota, now).await;
        self.bytes = kept.map_err(EngineError::of_upload)?;
        (self.files, self.expires_at) = (files, expires_at);
        Ok(())
    }

    /// Says that the rows of the upload have taken the place of the room.
    pub(crate) fn fill(mut self) {
        self.files = 0;
    }
}

impl Drop for HeldRoom {
    fn drop(&mut self) {
        let (store, id) = (self.engine.store.clone(), self.id);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.files == 0 {
            return;
        }
        runtime.spawn(async move {
            if let Err(error) = store.give_room_back(id).await {
                tracing::warn!(error = chain(&error), "room of an upload is kept for a while");
            }
        });
    }
}
