//! What a claim sees to before all else, in one question.

use apflow_model::clock::Timestamp;

use crate::connection::{Query, Row, query};
use crate::error::StoreError;
use crate::plugins::PluginRevision;
use crate::sessions::SessionId;

pub(crate) const LOOK: &str = "\
    SELECT EXISTS (SELECT 1 FROM session \
                   WHERE id = $1 AND ended_at IS NULL AND lease_until >= $2), \
           (SELECT min(deadline) FROM task \
            WHERE deadline IS NOT NULL AND state < 8 AND state <> 3), \
           (SELECT min(run_at) FROM task WHERE state = 1), \
           EXISTS (SELECT 1 FROM tally WHERE state = 2), \
           EXISTS (SELECT 1 FROM breaker WHERE open_until IS NOT NULL), \
           EXISTS (SELECT 1 FROM tool_rule), \
           EXISTS (SELECT 1 FROM task WHERE needs_approval AND state = 2), \
           EXISTS (SELECT 1 FROM budget), \
           (SELECT n FROM plugin_revision WHERE id = 1)";

/// Asks what a claim of this session must see to now.
pub(crate) fn ask(session: SessionId, now: Timestamp) -> Query {
    query(LOOK).bind(session.0).bind(now.unix_ms())
}

/// What is to be seen to.
#[expect(clippy::struct_excessive_bools, reason = "each says what else is to be asked")]
pub(crate) struct Look {
    /// Whether the lease of the session is held.
    pub(crate) is_held: bool,
    /// The next deadline of a waiting task.
    pub(crate) deadline: Option<Timestamp>,
    /// When the next scheduled task is due.
    pub(crate) run_at: Option<Timestamp>,
    /// Whether a task is ready.
    pub(crate) is_ready: bool,
    /// Whether a breaker is open.
    pub(crate) is_guarded: bool,
    /// Whether tools have rules.
    pub(crate) is_ruled: bool,
    /// Whether a ready task needs an approval.
    pub(crate) needs_approval: bool,
    /// Whether there are budgets.
    pub(crate) is_budgeted: bool,
    /// What the plugins are.
    pub(crate) plugins: PluginRevision,
}

impl Look {
    pub(crate) fn read(rows: &[Row]) -> Result<Self, StoreError> {
        type Columns = (bool, Option<i64>, Option<i64>, bool, bool, bool, bool, bool, i64);
        let row: Columns = rows.first().ok_or(sqlx::Error::RowNotFound)?.read()?;
        let moment = |at: Option<i64>| at.map(Timestamp::from_unix_ms);
        Ok(Self {
            is_held: row.0,
            deadline: moment(row.1),
            run_at: moment(row.2),
            is_ready: row.3,
            is_guarded: row.4,
            is_ruled: row.5,
            needs_approval: row.6,
            is_budgeted: row.7,
            plugins: PluginRevision(row.8),
        })
    }
}
