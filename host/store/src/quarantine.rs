//! Components that take hosts down: counted by session, and not run any more over a threshold.
//!
//! It does not keep a task from being claimed: the engine fails it, so that its caller hears why.

use apflow_model::clock::Timestamp;
use apflow_model::id::TaskId;
use apflow_model::plugin::Digest;
use apflow_model::quarantine::QuarantineRule;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::Write;

impl Store {
    /// Lets the component of a plugin run again, and forgets the hosts that it took down. False
    /// when it was not quarantined, or there is no such plugin.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn release_plugin(&self, name: &str) -> Result<bool, StoreError> {
        self.write(Release { name: name.to_owned() }).await
    }
}

/// Takes note that a component is installed, so that its attempts can name it.
pub(crate) async fn know(connection: &mut Connection<'_>, digest: &str) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO component (digest) VALUES ($1) ON CONFLICT (digest) DO NOTHING";
    query(SQL).bind(digest).execute(connection).await?;
    Ok(())
}

const COUNT_BY_SESSION: Sql = sql!(
    "\
    INSERT INTO component_loss (component_id, session_id, at, attempts) \
    SELECT attempt.component_id, attempt.session_id, $2, count(*) FROM ",
    ROWS,
    " AS lost JOIN attempt ON attempt.task_id = CAST(lost.value->>0 AS BIGINT) \
                          AND attempt.n = CAST(lost.value->>1 AS BIGINT) \
    WHERE attempt.component_id IS NOT NULL \
    GROUP BY attempt.component_id, attempt.session_id \
    RETURNING component_id"
);

const FORGET_OLD: &str = "DELETE FROM component_loss WHERE component_id = $1 AND at <= $2";

const SHOW_LOSSES: &str = "\
    SELECT count(*), CAST(coalesce(sum(attempts), 0) AS BIGINT) FROM component_loss \
    WHERE component_id = $1";

/// No more are counted than the rule needs to know.
const COUNT_STARTED: &str = "\
    SELECT count(*) FROM ( \
      SELECT 1 FROM attempt WHERE component_id = $1 AND started_at > $2 LIMIT $3 \
    ) AS recent";

const QUARANTINE: &str = "\
    UPDATE component SET quarantined_at = $2 WHERE id = $1 AND quarantined_at IS NULL \
    RETURNING digest";

/// Counts the attempts that were lost with their sessions, and quarantines the components that
/// meet the rule by that. Returns those.
pub(crate) async fn count(
    connection: &mut Connection<'_>,
    lost: impl Iterator<Item = (TaskId, u32)>,
    now: Timestamp,
    rule: QuarantineRule,
) -> Result<Vec<Digest>, StoreError> {
    let rows = row::items(lost.map(|(task, attempt)| Ok((task.0, attempt))))?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let counted = query(COUNT_BY_SESSION).bind(format!("[{rows}]")).bind(now.unix_ms());
    let mut components: Vec<(i64,)> = counted.read_all(connection).await?;
    components.sort_unstable();
    components.dedup();
    let since = now.before(rule.within()).unix_ms();
    let mut quarantined = Vec::new();
    for (component,) in components {
        query(FORGET_OLD).bind(component).bind(since).execute(connection).await?;
        let (sessions, lost): (i64, i64) =
            query(SHOW_LOSSES).bind(component).read_one(connection).await?;
        let enough = lost.saturating_mul(QuarantineRule::ATTEMPTS_PER_LOSS_MAX).saturating_add(1);
        let started = query(COUNT_STARTED).bind(component).bind(since).bind(enough);
        let (started,): (i64,) = started.read_one(connection).await?;
        if rule.is_met(sessions, lost, started) {
            let quarantine = query(QUARANTINE).bind(component).bind(now.unix_ms());
            let digest: Option<(String,)> = quarantine.read_optional(connection).await?;
            quarantined.extend(digest.map(|(digest,)| digest));
        }
    }
    quarantined.iter().map(|digest| digest.parse().map_err(StoreError::corrupt)).collect()
}

struct Release {
    name: String,
}

impl Write for Release {
    type Output = bool;

    fn is_change(is_released: &bool) -> bool {
        *is_released
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        const LIFT: &str = "UPDATE component SET quarantined_at = NULL \
                            WHERE digest = (SELECT digest FROM plugin WHERE name = $1) \
                              AND quarantined_at IS NOT NULL RETURNING id";
        const FORGET: &str = "DELETE FROM component_loss WHERE component_id = $1";
        let lifted: Option<(i64,)> = query(LIFT).bind(&self.name).read_optional(connection).await?;
        let Some((component,)) = lifted else { return Ok(false) };
        query(FORGET).bind(component).execute(connection).await?;
        Ok(true)
    }
}
