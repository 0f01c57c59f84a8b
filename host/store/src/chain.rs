//! The end of the audit's chain, to which lines are added in the transaction of what they tell of.
//!
//! How a line is sealed to the one before is `apflow_model::audit`'s to say. There is one writer at
//! a time, on a file and on a server, so there is one chain.

use std::cell::RefCell;
use std::fmt::Display;

use apflow_model::audit::{Head, Line, Record};
use apflow_model::plugin::Digest;
use serde_json::{Value, json};

use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::write::{Answers, Turn, WriteGroup};

/// Where the chain begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The last line that was removed since it was kept long enough.
    pub removed: Head,
    /// The last line.
    pub last: Head,
}

tokio::task_local! {
    /// What the next change of this task is recorded as, until one is.
    static PENDING: RefCell<Option<Record>>;
}

/// What a change is to be recorded as, that this task makes now.
pub(crate) fn pending() -> Option<Record> {
    PENDING.try_with(|pending| pending.borrow().clone()).ok().flatten()
}

/// Says that a change was recorded.
pub(crate) fn forget_pending() {
    // Nothing is pending where nothing is recorded.
    PENDING.try_with(|pending| pending.replace(None)).ok();
}

/// Says what the change is about that this task is to make, if nobody said so yet: it has an id now.
pub(crate) fn name_target(id: impl Display) {
    let name = |pending: &RefCell<Option<Record>>| {
        if let Some(record) = pending.borrow_mut().as_mut() {
            record.target.get_or_insert_with(|| id.to_string());
        }
    };
    PENDING.try_with(name).ok();
}

/// Does some work. The record comes back unless a change that it made was recorded as that.
pub(crate) async fn recorded<T>(
    record: Record,
    work: impl Future<Output = T>,
) -> (T, Option<Record>) {
    let work = async {
        let done = work.await;
        (done, PENDING.with(RefCell::take))
    };
    PENDING.scope(RefCell::new(Some(record)), work).await
}

pub(crate) const CHAIN: &str = "SELECT * FROM audit_chain WHERE id = 1";

const INSERT: Sql = sql!(
    "\
    INSERT INTO audit_line (n, at, principal, role, verb, target, decision, code, reason, \
                            request, peer, hash) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, value->>3, value->>4, \
           value->>5, value->>6, value->>7, value->>8, value->>9, value->>10, value->>11 FROM ",
    EACH,
    " AS line"
);

/// Fails when the chain does not end with $3: its columns are never null.
const MOVE: &str = "\
    UPDATE audit_chain \
    SET last_n = CASE WHEN last_hash = $3 THEN CAST($1 AS BIGINT) END, last_hash = $2 WHERE id = 1";

/// Adds a line for each of these records. Answers which is the last then, as far as is known.
///
/// `last` is the last line that this process knows of. Another may have added some since: then what
/// is stored on top of it fails, and must be tried again without.
pub(crate) async fn append(
    connection: &mut Connection<'_>,
    records: &[&Record],
    last: Option<Head>,
) -> Result<Option<Head>, StoreError> {
    if records.is_empty() {
        return Ok(last);
    }
    let end = if let (Connection::Sqlite(_), Some(last)) = (&connection, last) {
        // It saves a turn, and others seldom write.
        last
    } else {
        let row = query(CHAIN).fetch_optional(connection).await?;
        read(row.as_ref())?.last
    };
    let mut last = end;
    let mut lines = Vec::new();
    for record in records {
        let line = last.line((*record).clone());
        last = Head { n: line.n, hash: line.hash };
        lines.push(line);
    }
    let rows =
        row::array([row::items(lines.iter().map(|line| Ok(columns(line))))?.as_str()].into_iter());
    query(INSERT).bind(rows).later(connection).await?;
    let moved = query(MOVE).bind(row::count(last.n)).bind(last.hash.to_string());
    moved.bind(end.hash.to_string()).later(connection).await?;
    Ok(Some(last))
}

/// The columns of a line, in the order of [`INSERT`].
fn columns(line: &Line) -> Value {
    let Line { n, record, hash } = line;
    let Record { at, principal, role, verb, target, .. } = record;
    let Record { decision, code, reason, request, peer, .. } = record;
    let (at, decision) = (at.unix_ms(), decision.name());
    json!([n, at, principal, role, verb, target, decision, code, reason, request, peer, hash])
}

/// Lines to be added, and nothing else to be changed.
pub(crate) struct Append(pub(crate) Vec<Record>);

impl WriteGroup for Append {
    type Output = ();

    const TURN: Turn = Turn::Audit;

    fn records(&self) -> &[Record] {
        &self.0
    }

    async fn apply_group(
        writes: &[Self],
        _: &mut Connection<'_>,
    ) -> Result<Answers<()>, StoreError> {
        Ok(writes.iter().map(|_| Ok(())).collect())
    }
}

/// Reads the row of the chain.
pub(crate) fn read(row: Option<&Row>) -> Result<Chain, StoreError> {
    let row = row.ok_or_else(|| StoreError::corrupt("the audit has no chain"))?;
    let head = |n: &str, hash: &str| {
        Ok::<_, StoreError>(Head { n: row::number(row, n)?, hash: digest(row, hash)? })
    };
    Ok(Chain { removed: head("removed_n", "removed_hash")?, last: head("last_n", "last_hash")? })
}

/// Reads a column that holds a seal.
pub(crate) fn digest(row: &Row, name: &str) -> Result<Digest, StoreError> {
    let text: &str = row::column(row, name)?;
    text.parse().map_err(StoreError::corrupt)
}
