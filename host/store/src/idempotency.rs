//! The keys of callers, and the jobs that they stand for.
//!
//! It does not read what was submitted: that two submissions are the same is told by their hashes.

use std::collections::{HashMap, HashSet};

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::plugin::Digest;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::{Answers, Write};

/// A key, and the submission that it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// What the caller made up for the job. Every principal has keys of its own.
    pub key: IdempotencyKey,
    /// The sha256 of the submission.
    pub hash: Digest,
    /// Until when the key stands for the job.
    pub expires_at: Timestamp,
}

impl Store {
    /// The job that a key stands for already. None when it is free.
    ///
    /// # Errors
    ///
    /// [`StoreError::IdempotencyConflict`] when it stands for another submission, and
    /// [`StoreError::Database`].
    pub async fn find_by_key(
        &self,
        principal: &str,
        once: &Once,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        const SQL: &str = "SELECT hash, job_id FROM idempotency \
                           WHERE principal = $1 AND key = $2 AND expires_at > $3";
        let find = query(SQL).bind(principal).bind(once.key.as_str()).bind(now.unix_ms());
        let found: Option<(String, i64)> = self.readers().read_optional(find).await?;
        let Some((hash, job)) = found else { return Ok(None) };
        if hash == once.hash.to_string() {
            Ok(Some(JobId(job)))
        } else {
            Err(StoreError::IdempotencyConflict)
        }
    }

    /// Forgets keys that have expired, the oldest first, at most `limit` of them. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_keys(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(Forget { now, limit }).await
    }
}

/// A key that a submission wants to stand for its job.
pub(crate) struct Wanted {
    pub(crate) principal: String,
    pub(crate) once: Once,
    pub(crate) job: JobId,
    pub(crate) now: Timestamp,
}

/// A key that has expired is as good as none.
const TAKE: Sql = sql!(
    "\
    INSERT INTO idempotency (principal, key, hash, job_id, expires_at) \
    SELECT value->>0, value->>1, value->>2, CAST(value->>3 AS BIGINT), \
           CAST(value->>4 AS BIGINT) FROM ",
    ROWS,
    " AS given WHERE TRUE \
    ON CONFLICT (principal, key) DO UPDATE SET \
      hash = excluded.hash, job_id = excluded.job_id, expires_at = excluded.expires_at \
    WHERE idempotency.expires_at <= $2"
);

const SHOW: Sql = sql!(
    "\
    SELECT idempotency.principal, idempotency.key, idempotency.hash, idempotency.job_id FROM ",
    ROWS,
    " AS wanted JOIN idempotency \
      ON idempotency.principal = wanted.value->>0 AND idempotency.key = wanted.value->>1"
);

/// Takes the keys that submissions of one group want. Each is answered with the job that its key
/// stands for already, or with none when the key is its own now; so is one that wants no key.
///
/// When several want one key, the first has it.
pub(crate) async fn take(
    connection: &mut Connection<'_>,
    wanted: &[Option<&Wanted>],
) -> Result<Answers<Option<JobId>>, StoreError> {
    let mut seen = HashSet::new();
    let first: Vec<&Wanted> =
        wanted.iter().flatten().copied().filter(|wanted| seen.insert(name(wanted))).collect();
    let Some(now) = first.iter().map(|wanted| wanted.now).max() else {
        return Ok(wanted.iter().map(|_| Ok(None)).collect());
    };
    let rows = row::items(first.iter().map(|Wanted { principal, once, job, .. }| {
        Ok((principal, once.key.as_str(), once.hash.to_string(), job.0, once.expires_at.unix_ms()))
    }))?;
    let rows = format!("[{rows}]");
    query(TAKE).bind(&rows).bind(now.unix_ms()).execute(connection).await?;
    let taken: Vec<(String, String, String, i64)> =
        query(SHOW).bind(rows).read_all(connection).await?;
    let taken: HashMap<_, _> = taken
        .into_iter()
        .map(|(principal, key, hash, job)| ((principal, key), (hash, JobId(job))))
        .collect();
    let answer = |wanted: &Wanted| {
        let owner = (wanted.principal.clone(), wanted.once.key.as_str().to_owned());
        match taken.get(&owner) {
            Some((_, job)) if *job == wanted.job => Ok(None),
            Some((hash, job)) if *hash == wanted.once.hash.to_string() => Ok(Some(*job)),
            Some(_) => Err(StoreError::IdempotencyConflict),
            None => Err(StoreError::corrupt("a key is gone that was just taken")),
        }
    };
    Ok(wanted.iter().map(|wanted| wanted.map_or(Ok(None), answer)).collect())
}

fn name(wanted: &Wanted) -> (&str, &str) {
    (&wanted.principal, wanted.once.key.as_str())
}

struct Forget {
    now: Timestamp,
    limit: u32,
}

const FORGET: &str = "\
    DELETE FROM idempotency WHERE (principal, key) IN ( \
      SELECT principal, key FROM idempotency WHERE expires_at <= $1 \
      ORDER BY expires_at LIMIT $2)";

impl Write for Forget {
    type Output = u64;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let forget = query(FORGET).bind(self.now.unix_ms()).bind(self.limit);
        Ok(forget.execute(connection).await?)
    }
}
