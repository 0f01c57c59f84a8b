//! Results of tools that are kept, to be given again.
//!
//! It decides neither what may be given again nor for how long: the engine passes keys and moments
//! in. A result is kept in the transaction that settles the attempt which it comes from.

use std::collections::BTreeMap;

use apflow_model::cache::{CacheLimits, KeptResult, KeptResults, RESULT_BYTES_MAX, ResultCursor};
use apflow_model::clock::Timestamp;
use apflow_model::plugin::Digest;
use serde_json::Value;

use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// The most results that one list shows.
pub const RESULTS_PER_PAGE_MAX: u32 = 1_000;

/// How many of the oldest results go at once while there are too many.
const RESULTS_PER_ROUND: u32 = 64;

/// How many results that have expired one commit forgets.
const EXPIRED_PER_COMMIT_MAX: u32 = 1_000;

/// A result to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResult {
    /// What it is found by.
    pub key: Digest,
    /// Until when it may be given again.
    pub expires_at: Timestamp,
}

/// A result that may be given again.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedResult {
    /// What the tool returned.
    pub output: Value,
    /// When its run ended.
    pub kept_at: Timestamp,
}

impl Store {
    /// Finds a result that has not expired at `now`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_result(
        &self,
        key: &Digest,
        now: Timestamp,
    ) -> Result<Option<CachedResult>, StoreError> {
        const SQL: &str =
            "SELECT output, kept_at FROM cached_result WHERE key = $1 AND expires_at > $2";
        let find = query(SQL).bind(key.to_string()).bind(now.unix_ms());
        let found = self.readers().fetch_optional(find).await?;
        let read = |row: &Row| {
            Ok(CachedResult {
                output: row::json(row, "output")?,
                kept_at: row::moment(row, "kept_at")?,
            })
        };
        found.as_ref().map(read).transpose()
    }

    /// Lists results, the newest first: of one tool, or of all, after `after`. `limit` is brought into 1
    /// to [`RESULTS_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_results(
        &self,
        tool: Option<&str>,
        after: Option<&ResultCursor>,
        limit: u32,
    ) -> Result<KeptResults, StoreError> {
        let limit = limit.clamp(1, RESULTS_PER_PAGE_MAX);
        let kept_at = after.map_or(i64::MAX, |after| after.kept_at.unix_ms());
        let key = after.map(|after| after.key.to_string()).unwrap_or_default();
        let list = query(if tool.is_some() { LIST_OF_TOOL } else { LIST });
        let list = list.bind(limit + 1).bind(kept_at).bind(key);
        let list = match tool {
            Some(tool) => list.bind(tool),
            None => list,
        };
        let rows = self.readers().fetch_all(list).await?;
        let mut results = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = results.len() > wanted;
        results.truncate(wanted);
        let total: Option<(i64, i64)> = self.readers().read_optional(query(TOTAL)).await?;
        let (total, bytes) = total.unwrap_or_default();
        Ok(KeptResults {
            total: total.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
            cursor: results.last().filter(|_| has_more).map(ResultCursor::after),
            results,
        })
    }

    /// Forgets all results: of one tool, or of all. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is forgotten then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn clear_results(&self, tool: Option<String>) -> Result<u64, StoreError> {
        self.write(Clear { tool }).await
    }

    /// Forgets results that have expired before `now`, at most 1000. Returns how many: there may be
    /// more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is forgotten then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn forget_results(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(ForgetExpired { now }).await
    }
}

const LIST: &str = "\
    SELECT key, tool, bytes, kept_at, expires_at FROM cached_result \
    WHERE (kept_at, key) < ($2, $3) ORDER BY kept_at DESC, key DESC LIMIT $1";

const LIST_OF_TOOL: &str = "\
    SELECT key, tool, bytes, kept_at, expires_at FROM cached_result \
    WHERE tool = $4 AND (kept_at, key) < ($2, $3) ORDER BY kept_at DESC, key DESC LIMIT $1";

const TOTAL: &str = "SELECT results, bytes FROM cached_total WHERE id = 1";

const CLEAR: &str = "DELETE FROM cached_result";

const CLEAR_TOOL: &str = "DELETE FROM cached_result WHERE tool = $1";

const FORGET: &str = "\
    DELETE FROM cached_result WHERE key IN ( \
      SELECT key FROM cached_result WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";

const FORGET_OLDEST: &str = "\
    DELETE FROM cached_result WHERE key IN ( \
      SELECT key FROM cached_result ORDER BY kept_at, key LIMIT $1)";

fn read(row: &Row) -> Result<KeptResult, StoreError> {
    Ok(KeptResult {
        key: row::column::<&str>(row, "key")?.parse().map_err(StoreError::corrupt)?,
        tool: row::column(row, "tool")?,
        bytes: row::number(row, "bytes")?,
        kept_at: row::moment(row, "kept_at")?,
        expires_at: row::moment(row, "expires_at")?,
    })
}

/// A result with the attempt that it comes from.
pub(crate) struct Keep<'a> {
    pub(crate) tool: &'a str,
    pub(crate) new: &'a NewResult,
    pub(crate) output: &'a Value,
    /// When the attempt ended.
    pub(crate) at: Timestamp,
}

const KEEP: Sql = sql!(
    "\
    INSERT INTO cached_result (key, tool, output, bytes, kept_at, expires_at) \
    SELECT value->>0, value->>1, value->>2, CAST(value->>3 AS BIGINT), \
           CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) FROM ",
    ROWS,
    " AS given WHERE TRUE \
    ON CONFLICT (key) DO UPDATE SET output = excluded.output, bytes = excluded.bytes, \
      kept_at = excluded.kept_at, expires_at = excluded.expires_at"
);

/// Keeps results, and forgets the oldest as long as there are more than `limits` allow. Of two with
/// one key the later counts; one that is too large is left out.
pub(crate) async fn keep(
    connection: &mut Connection<'_>,
    results: &[Keep<'_>],
    limits: CacheLimits,
) -> Result<(), StoreError> {
    let mut rows = BTreeMap::new();
    for Keep { tool, new, output, at } in results {
        let body = row::text(output)?;
        let bytes = body.len();
        if bytes <= RESULT_BYTES_MAX {
            let (key, expires_at) = (new.key.to_string(), new.expires_at.unix_ms());
            rows.insert(new.key, (key, *tool, body, bytes, at.unix_ms(), expires_at));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.into_values().collect();
    query(KEEP).bind(row::text(&rows)?).execute(connection).await?;
    loop {
        let (results, bytes): (i64, i64) = query(TOTAL).read_one(connection).await?;
        let over = results.unsigned_abs().saturating_sub(limits.results_max);
        let is_full = bytes.unsigned_abs() > limits.bytes_max;
        if results <= 0 || (over == 0 && !is_full) {
            return Ok(());
        }
        // Only as many as are too many, as long as that is known.
        let round = if is_full { 1 } else { over.min(RESULTS_PER_ROUND.into()) };
        query(FORGET_OLDEST).bind(row::count(round)).execute(connection).await?;
    }
}

/// Forgets the results of a tool that is there no more, or not as it was.
pub(crate) async fn forget_tool(
    connection: &mut Connection<'_>,
    tool: &str,
) -> Result<u64, StoreError> {
    Ok(query(CLEAR_TOOL).bind(tool).execute(connection).await?)
}

struct Clear {
    tool: Option<String>,
}

impl Write for Clear {
    type Output = u64;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        match &self.tool {
            Some(tool) => forget_tool(connection, tool).await,
            None => Ok(query(CLEAR).execute(connection).await?),
        }
    }
}

struct ForgetExpired {
    now: Timestamp,
}

impl Write for ForgetExpired {
    type Output = u64;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let forget = query(FORGET).bind(self.now.unix_ms()).bind(EXPIRED_PER_COMMIT_MAX);
        Ok(forget.execute(connection).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn results_are_found_by_their_indexes() {
        for (sql, index) in [
            (LIST, "cached_result_by_age"),
            (LIST_OF_TOOL, "cached_result_by_tool"),
            (CLEAR_TOOL, "cached_result_by_tool"),
            (FORGET, "cached_result_by_expiry"),
            (FORGET_OLDEST, "cached_result_by_age"),
        ] {
            let steps = plan(sql.into()).await;
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:?}");
            assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{steps:?}");
        }
    }
}
