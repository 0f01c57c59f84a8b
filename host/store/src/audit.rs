//! The audit: adding, listing and removing its lines. No statement changes one.
//!
//! It does not say how they are chained: `chain` does.

use apflow_model::audit::{Decision, Flaw, Line, Record};
use apflow_model::clock::Timestamp;

use crate::chain::{self, Append, CHAIN, Chain, digest};
use crate::connection::{Connection, Query, Row, query};
use crate::error::StoreError;
use crate::purge::ROWS_PER_SLICE_MAX;
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// The most lines one page holds.
pub const LINES_PER_PAGE_MAX: u32 = 1_000;

/// The most lines that one page is chosen from.
const LINES_PER_LOOK: i64 = 20_000;

/// Which lines to list. What is not said is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Who called.
    pub principal: Option<String>,
    /// The verb.
    pub verb: Option<String>,
    /// What the verb was about.
    pub target: Option<String>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Decided at this moment or later.
    pub since: Option<Timestamp>,
    /// Decided before this moment.
    pub until: Option<Timestamp>,
}

/// A page of lines, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The lines. It may be less than was asked for, and none, while there are more.
    pub lines: Vec<Line>,
    /// What to pass as `before` for the next page. None on the last one.
    pub next: Option<u64>,
}

impl Store {
    /// Does some work, and records it in the same transaction as the first change that it makes: a
    /// crash leaves both or neither. The record comes back when nothing was changed.
    pub async fn recorded<T>(record: Record, work: impl Future<Output = T>) -> (T, Option<Record>) {
        chain::recorded(record, work).await
    }

    /// Adds a line. When this returns, it survives a crash.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is added then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn record(&self, record: Record) -> Result<(), StoreError> {
        self.write(Append(vec![record])).await
    }

    /// Adds a line that nobody waits for, with others of its kind. It waits for room only.
    ///
    /// A crash within the next 200 ms may lose it. One that cannot be stored is in the log.
    pub async fn note(&self, record: Record) {
        self.notes().add(record).await;
    }

    /// Where the chain begins and ends, with all that this process has noted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn audit_chain(&self) -> Result<Chain, StoreError> {
        self.notes().flush().await;
        let row = self.readers().fetch_optional(query(CHAIN)).await?;
        chain::read(row.as_ref())
    }

    /// Lists lines, newest first, with numbers below `before`. `limit` is brought into 1 to
    /// [`LINES_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_audit(
        &self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<AuditPage, StoreError> {
        let chain = self.audit_chain().await?;
        let limit = limit.clamp(1, LINES_PER_PAGE_MAX);
        let end = row::count(chain.last.n.saturating_add(1));
        let before = before.map_or(end, |before| row::count(before).min(end));
        // Numbers have no gaps, so these are all lines there are of them.
        let from = (before - LINES_PER_LOOK).max(row::count(chain.removed.n) + 1);
        let rows = self.readers().fetch_all(page(filter, from, before, limit)).await?;
        let lines = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let is_full = u32::try_from(lines.len()).is_ok_and(|count| count >= limit);
        let end = lines.last().filter(|_| is_full).map_or(from.unsigned_abs(), |last| last.n);
        let has_more = end > chain.removed.n + 1 && !self.is_before(filter.since, end).await?;
        Ok(AuditPage { lines, next: has_more.then_some(end) })
    }

    /// Whether a line, and so those before it, was decided before a moment.
    async fn is_before(&self, since: Option<Timestamp>, n: u64) -> Result<bool, StoreError> {
        let Some(since) = since else { return Ok(false) };
        let find = query(MOMENT).bind(row::count(n));
        let found: Option<(i64,)> = self.readers().read_optional(find).await?;
        Ok(found.is_some_and(|(at,)| at < since.unix_ms()))
    }

    /// Lists the lines with numbers above `after`, in their order: at most [`LINES_PER_PAGE_MAX`]. One
    /// that cannot be read is not as it was written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn audit_after(&self, after: u64) -> Result<Vec<Result<Line, Flaw>>, StoreError> {
        let next = query(AFTER).bind(row::count(after)).bind(LINES_PER_PAGE_MAX);
        let rows = self.readers().fetch_all(next).await?;
        let line = |row| match read(row) {
            Ok(line) => Ok(Ok(line)),
            Err(_) => Ok(Err(Flaw::Changed { n: row::number(row, "n")? })),
        };
        rows.iter().map(line).collect()
    }

    /// Removes the lines from the front that were decided before `before`, up to the first that was
    /// not, and [`ROWS_PER_SLICE_MAX`] at most. Returns how many: there may be more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is removed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn forget_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(Forget { before }).await
    }
}

const MOMENT: &str = "SELECT at FROM audit_line WHERE n = $1";

const AFTER: &str = "SELECT * FROM audit_line WHERE n > $1 ORDER BY n LIMIT $2";

/// A page of the lines from `from` on, and below `before`.
fn page(filter: &AuditFilter, from: i64, before: i64, limit: u32) -> Query {
    let AuditFilter { principal, verb, target, decision, since, until } = filter;
    let mut list = Query::build("SELECT * FROM audit_line WHERE n >= ");
    list.push_bind(from).push(" AND n < ").push_bind(before);
    let texts = [
        (" AND principal = ", principal.clone()),
        (" AND verb = ", verb.clone()),
        (" AND target = ", target.clone()),
        (" AND decision = ", decision.map(|decision| decision.name().to_owned())),
    ];
    for (part, text) in texts {
        if let Some(text) = text {
            list.push(part).push_bind(text);
        }
    }
    if let Some(since) = since {
        list.push(" AND at >= ").push_bind(since.unix_ms());
    }
    if let Some(until) = until {
        list.push(" AND at < ").push_bind(until.unix_ms());
    }
    list.push(" ORDER BY n DESC LIMIT ").push_bind(limit);
    list
}

struct Forget {
    before: Timestamp,
}

const FRONT: &str = "SELECT n, at, hash FROM audit_line ORDER BY n LIMIT $1";

const REMOVE: &str = "DELETE FROM audit_line WHERE n <= $1";

const ANCHOR: &str = "UPDATE audit_chain SET removed_n = $1, removed_hash = $2 WHERE id = 1";

impl Write for Forget {
    type Output = u64;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let front = query(FRONT).bind(ROWS_PER_SLICE_MAX);
        let front: Vec<(i64, i64, String)> = front.read_all(connection).await?;
        let old = front.iter().take_while(|(_, at, _)| *at < self.before.unix_ms());
        let (mut count, mut removed) = (0, None);
        for (n, _, hash) in old {
            (count, removed) = (count + 1, Some((*n, hash.clone())));
        }
        if let Some((n, hash)) = removed {
            query(REMOVE).bind(n).execute(connection).await?;
            query(ANCHOR).bind(n).bind(hash).execute(connection).await?;
        }
        Ok(count)
    }
}

fn read(row: &Row) -> Result<Line, StoreError> {
    let decision: &str = row::column(row, "decision")?;
    let record = Record {
        at: row::moment(row, "at")?,
        principal: row::column(row, "principal")?,
        role: row::column(row, "role")?,
        verb: row::column(row, "verb")?,
        target: row::column(row, "target")?,
        decision: decision.parse().map_err(StoreError::corrupt)?,
        code: row::column(row, "code")?,
        reason: row::column(row, "reason")?,
        request: row::column(row, "request")?,
        peer: row::column(row, "peer")?,
    };
    Ok(Line { n: row::number(row, "n")?, record, hash: digest(row, "hash")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn lines_are_found_by_their_numbers() {
        for sql in [CHAIN, AFTER, FRONT, REMOVE, ANCHOR] {
            let steps = plan(sql.into()).await;
            let is_sort = |step: &String| step.contains("TEMP B-TREE");
            assert!(!steps.iter().any(is_sort), "{sql}: {steps:?}");
        }
        for sql in [CHAIN, MOMENT, AFTER, REMOVE, ANCHOR] {
            let steps = plan(sql.into()).await;
            assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{sql}: {steps:?}");
        }
    }
}
