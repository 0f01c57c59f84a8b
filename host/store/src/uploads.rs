//! The rows of uploads, and the room that is kept for those which are still coming in.
//!
//! It does not hold their bytes: those are files of the data directory. How much a caller may have
//! is passed in.

use std::collections::HashSet;

use apflow_model::clock::Timestamp;
use apflow_model::file::{Quota, Upload};
use apflow_model::id::FileId;
use apflow_model::plugin::Digest;

use crate::chain;
use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::files::FILES_PER_PAGE_MAX;
use crate::row;
use crate::store::Store;
use crate::write::Write;

/// An uploaded file to be stored. Its bytes are in place already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// The name that a task finds it under.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The sha256 of its bytes.
    pub sha256: Digest,
    /// Who uploaded it.
    pub principal: String,
}

/// A page of uploads, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadPage {
    /// The uploads.
    pub uploads: Vec<Upload>,
    /// What to pass as `before` for the next page. None on the last one.
    pub next: Option<FileId>,
}

/// The room that an upload asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Which upload: a number that [`Store::name_room`] gave.
    pub id: FileId,
    /// Whose it is.
    pub principal: String,
    /// How many files it has by now.
    pub files: u64,
    /// How many bytes it must have room for.
    pub bytes: u64,
    /// How many it would like to have room for, from `bytes`.
    pub bytes_wanted: u64,
    /// When the room is given back unless it is asked for again.
    pub expires_at: Timestamp,
}

/// What became of the wish to remove an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone. The digest of its bytes when no other upload has the same.
    Removed(Option<Digest>),
    /// A job that has not ended names it, so it stays.
    InUse,
    /// There is no such upload.
    Unknown,
}

impl Store {
    /// A number for the room of an upload.
    pub fn name_room(&self, now: Timestamp) -> FileId {
        FileId(self.ids(now, 1)[0])
    }

    /// Keeps room for an upload, instead of what was kept for it before. Returns for how many bytes:
    /// as many as it would like, or as are left.
    ///
    /// # Errors
    ///
    /// [`StoreError::QuotaExceeded`] when there is not as much as it must have, and
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn keep_room(
        &self,
        room: Room,
        quota: Quota,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(KeepRoom { room, quota, now }).await
    }

    /// Gives the room of an upload back that is given up.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; the room is given back when it expires then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn give_room_back(&self, id: FileId) -> Result<(), StoreError> {
        self.write(GiveRoomBack(id)).await
    }

    /// Stores the rows of uploaded files, in place of the room that was kept for them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn add_uploads(
        &self,
        room: FileId,
        new: Vec<NewUpload>,
        now: Timestamp,
    ) -> Result<Vec<Upload>, StoreError> {
        let ids = self.ids(now, new.len());
        let uploads = ids.into_iter().zip(new).map(|(id, new)| {
            let NewUpload { name, size, sha256, principal } = new;
            let id = FileId(id);
            Upload { id, name, size, sha256, principal, created_at: now, used_at: now }
        });
        let uploads: Vec<_> = uploads.collect();
        if let Some(first) = uploads.first() {
            chain::name_target(first.id);
        }
        self.write(AddUploads { room, uploads: uploads.clone() }).await?;
        Ok(uploads)
    }

    /// Finds an uploaded file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_upload(&self, id: FileId) -> Result<Option<Upload>, StoreError> {
        const SQL: &str = "SELECT * FROM upload WHERE id = $1";
        let found = self.readers().fetch_optional(query(SQL).bind(id.0)).await?;
        found.as_ref().map(read).transpose()
    }

    /// Lists the uploads of a caller, or of all, that came before the one with the id `before`.
    ///
    /// `limit` is brought into 1 to [`FILES_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_uploads(
        &self,
        principal: Option<&str>,
        before: Option<FileId>,
        limit: u32,
    ) -> Result<UploadPage, StoreError> {
        let limit = limit.clamp(1, FILES_PER_PAGE_MAX);
        let before = before.map_or(i64::MAX, |id| id.0);
        let list = match principal {
            Some(principal) => query(LIST_OF).bind(before).bind(limit + 1).bind(principal),
            None => query(LIST).bind(before).bind(limit + 1),
        };
        let rows = self.readers().fetch_all(list).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let uploads: Vec<_> = rows.iter().take(wanted).map(read).collect::<Result<_, _>>()?;
        let next = uploads.last().filter(|_| rows.len() > wanted).map(|upload| upload.id);
        Ok(UploadPage { uploads, next })
    }

    /// Removes an upload that no open job names.
    ///
    /// The same bytes must not be uploaded again before their file is removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is removed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn remove_upload(&self, id: FileId) -> Result<Removal, StoreError> {
        self.write(RemoveUpload(id)).await
    }

    /// The sha256 of every uploaded file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn uploaded_digests(&self) -> Result<HashSet<Digest>, StoreError> {
        const SQL: &str = "SELECT DISTINCT sha256 FROM upload";
        let rows: Vec<(String,)> = self.readers().read_all(query(SQL)).await?;
        rows.iter().map(|(digest,)| digest.parse().map_err(StoreError::corrupt)).collect()
    }
}

const LIST: &str = "SELECT * FROM upload WHERE id < $1 ORDER BY id DESC LIMIT $2";

const LIST_OF: &str =
    "SELECT * FROM upload WHERE principal = $3 AND id < $1 ORDER BY id DESC LIMIT $2";

fn read(row: &Row) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: FileId(row::column(row, "id")?),
        name: row::column(row, "name")?,
        size: row::number(row, "size")?,
        sha256: row::column::<&str>(row, "sha256")?.parse().map_err(StoreError::corrupt)?,
        principal: row::column(row, "principal")?,
        created_at: row::moment(row, "created_at")?,
        used_at: row::moment(row, "used_at")?,
    })
}

struct KeepRoom {
    room: Room,
    quota: Quota,
    now: Timestamp,
}

const FORGET_ROOMS: &str = "DELETE FROM upload_room WHERE expires_at <= $1";

/// What the uploads of a caller take up, and those which are coming in beside this one.
const USED: &str = "\
    SELECT CAST(sum(files) AS BIGINT), CAST(sum(bytes) AS BIGINT) FROM ( \
      SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes FROM upload WHERE principal = $1 \
      UNION ALL \
      SELECT coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM upload_room \
      WHERE principal = $1 AND id <> $2 AND expires_at > $3) AS used";

const KEEP_ROOM: &str = "\
    INSERT INTO upload_room (id, principal, files, bytes, expires_at) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (id) DO UPDATE \
    SET files = excluded.files, bytes = excluded.bytes, expires_at = excluded.expires_at";

impl Write for KeepRoom {
    type Output = u64;

    /// The upload is the change, once it is there.
    fn is_change(_: &u64) -> bool {
        false
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let Self { room, quota, now } = self;
        let used = query(USED).bind(&room.principal).bind(room.id.0).bind(now.unix_ms());
        let (files, bytes): (i64, i64) = used.read_one(connection).await?;
        let files_left = quota.files_max.saturating_sub(files.unsigned_abs());
        let bytes_left = quota.bytes_max.saturating_sub(bytes.unsigned_abs());
        if room.files > files_left || room.bytes > bytes_left {
            return Err(StoreError::QuotaExceeded {
                files: files.unsigned_abs(),
                bytes: bytes.unsigned_abs(),
                quota: *quota,
            });
        }
        query(FORGET_ROOMS).bind(now.unix_ms()).execute(connection).await?;
        let kept = room.bytes_wanted.max(room.bytes).min(bytes_left);
        query(KEEP_ROOM)
            .bind(room.id.0)
            .bind(&room.principal)
            .bind(row::count(room.files))
            .bind(row::count(kept))
            .bind(room.expires_at.unix_ms())
            .execute(connection)
            .await?;
        Ok(kept)
    }
}

struct GiveRoomBack(FileId);

const GIVE_ROOM_BACK: &str = "DELETE FROM upload_room WHERE id = $1";

impl Write for GiveRoomBack {
    type Output = ();

    fn is_change((): &()) -> bool {
        false
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(GIVE_ROOM_BACK).bind(self.0.0).execute(connection).await?;
        Ok(())
    }
}

struct AddUploads {
    room: FileId,
    uploads: Vec<Upload>,
}

const ADD_UPLOADS: Sql = sql!(
    "INSERT INTO upload (id, name, size, sha256, principal, created_at, used_at) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT), value->>3, value->>4, \
            CAST(value->>5 AS BIGINT), CAST(value->>5 AS BIGINT) FROM ",
    ROWS,
    " AS given"
);

impl Write for AddUploads {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(GIVE_ROOM_BACK).bind(self.room.0).execute(connection).await?;
        let row = |upload: &Upload| {
            let Upload { id, name, size, sha256, principal, created_at, .. } = upload;
            let (name, principal) = (name.clone(), principal.clone());
            (id.0, name, row::count(*size), sha256.to_string(), principal, created_at.unix_ms())
        };
        let rows: Vec<_> = self.uploads.iter().map(row).collect();
        query(ADD_UPLOADS).bind(row::text(&rows)?).execute(connection).await?;
        Ok(())
    }
}

struct RemoveUpload(FileId);

const REMOVE_UPLOAD: &str = "\
    DELETE FROM upload WHERE id = $1 AND NOT EXISTS ( \
      SELECT 1 FROM task_upload JOIN task ON task.id = task_upload.task_id \
      JOIN job ON job.id = task.job_id \
      WHERE task_upload.upload_id = upload.id AND job.ended_at IS NULL) \
    RETURNING sha256";

const IS_THERE: &str = "SELECT id FROM upload WHERE id = $1";

const HAS_BYTES: &str = "SELECT id FROM upload WHERE sha256 = $1 LIMIT 1";

impl Write for RemoveUpload {
    type Output = Removal;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Removal, StoreError> {
        let removed = query(REMOVE_UPLOAD).bind(self.0.0);
        let removed: Option<(String,)> = removed.read_optional(connection).await?;
        let Some((sha256,)) = removed else {
            let there = query(IS_THERE).bind(self.0.0).fetch_optional(connection).await?;
            return Ok(if there.is_some() { Removal::InUse } else { Removal::Unknown });
        };
        let others = query(HAS_BYTES).bind(&sha256).fetch_optional(connection).await?;
        let digest = sha256.parse().map_err(StoreError::corrupt)?;
        Ok(Removal::Removed(others.is_none().then_some(digest)))
    }
}

/// Notes which tasks name which uploads. One that was removed meanwhile is left out: the attempt says
/// that it is gone.
pub(crate) const NAME: Sql = sql!(
    "\
    INSERT INTO task_upload (task_id, upload_id) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS named WHERE EXISTS (SELECT 1 FROM upload WHERE id = CAST(value->>1 AS BIGINT))"
);

/// Notes when uploads were last named.
pub(crate) const USE: Sql = sql!(
    "\
    UPDATE upload SET used_at = CAST(named.value->>2 AS BIGINT) FROM ",
    ROWS,
    " AS named WHERE upload.id = CAST(named.value->>1 AS BIGINT)"
);

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::address::Address;
    use crate::connection::Either;

    /// However many files others have, a caller's are found by indexes.
    #[tokio::test]
    async fn what_a_caller_uploaded_is_found_by_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let Either::Sqlite(readers) = store.readers() else { panic!("it is a file") };
        for sql in [LIST, LIST_OF, FORGET_ROOMS, USED, GIVE_ROOM_BACK, REMOVE_UPLOAD, HAS_BYTES] {
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
            let rows = plan.fetch_all(readers).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let reads_all = |step: &&String| {
                step.starts_with("SCAN") && !step.contains("(subquery") && !step.contains("used")
            };
            assert!(steps.iter().find(reads_all).is_none(), "{sql}: {steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {steps:?}");
        }
    }
}
