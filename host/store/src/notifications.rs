//! What cost policies notify of, until it was posted.
//!
//! It posts nothing. Rows come with the decisions of policies, in their transactions.

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;

use crate::connection::{Connection, Row, query};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::Write;

/// Something to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its number. One that was forgotten may be given again.
    pub id: i64,
    /// When the policy asked for it.
    pub at: Timestamp,
    /// The job that it is about.
    pub job: JobId,
    /// The policy that asks for it.
    pub policy: String,
    /// Where it goes.
    pub webhook: String,
    /// The JSON to post.
    pub body: String,
    /// How often it was taken, with this time.
    pub tries: u32,
}

impl Store {
    /// Takes what is due at `now`, the longest due first: up to `limit`. Nobody else takes it before
    /// `until`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is taken then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped: what it takes is due
    /// again at `until`.
    pub async fn take_notifications(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Notification>, StoreError> {
        // A look costs the writer nothing.
        if self
            .readers()
            .fetch_optional(query(DUE).bind(now.unix_ms()).bind(1_u32))
            .await?
            .is_none()
        {
            return Ok(Vec::new());
        }
        self.write(Take { now, until, limit }).await
    }

    /// Has a notification wait until `until`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn delay_notification(&self, id: i64, until: Timestamp) -> Result<(), StoreError> {
        self.write(Delay { id, until }).await
    }

    /// Forgets a notification: it was posted, or is given up.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn forget_notification(&self, id: i64) -> Result<(), StoreError> {
        self.write(Forget { id }).await
    }
}

const DUE: &str = "\
    SELECT id FROM notification WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2";

const TAKE: &str = "\
    UPDATE notification SET next_at = $2, tries = tries + 1 \
    WHERE id IN (SELECT id FROM notification WHERE next_at <= $1 ORDER BY next_at, id LIMIT $3) \
    RETURNING id, at, job_id, policy, webhook, body, tries";

const DELAY: &str = "UPDATE notification SET next_at = $2 WHERE id = $1";

const FORGET: &str = "DELETE FROM notification WHERE id = $1";

struct Take {
    now: Timestamp,
    until: Timestamp,
    limit: u32,
}

impl Write for Take {
    type Output = Vec<Notification>;

    fn makes_work(_: &Vec<Notification>) -> bool {
        false
    }

    async fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Vec<Notification>, StoreError> {
        let take = query(TAKE).bind(self.now.unix_ms()).bind(self.until.unix_ms()).bind(self.limit);
        take.fetch_all(connection).await?.iter().map(read).collect()
    }
}

struct Delay {
    id: i64,
    until: Timestamp,
}

impl Write for Delay {
    type Output = ();

    fn makes_work((): &()) -> bool {
        false
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        let delay = query(DELAY).bind(self.id).bind(self.until.unix_ms());
        delay.execute(connection).await?;
        Ok(())
    }
}

struct Forget {
    id: i64,
}

impl Write for Forget {
    type Output = ();

    fn makes_work((): &()) -> bool {
        false
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(FORGET).bind(self.id).execute(connection).await?;
        Ok(())
    }
}

fn read(row: &Row) -> Result<Notification, StoreError> {
    Ok(Notification {
        id: row::column(row, "id")?,
        at: row::moment(row, "at")?,
        job: JobId(row::column(row, "job_id")?),
        policy: row::column(row, "policy")?,
        webhook: row::column(row, "webhook")?,
        body: row::column(row, "body")?,
        tries: row::number(row, "tries")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn what_is_due_is_found_by_its_time() {
        let steps = plan(DUE.into()).await;
        let by_time =
            |step: &String| step.starts_with("SEARCH") && step.contains("notification_due");
        assert!(steps.iter().all(by_time), "{steps:?}");
        for sql in [TAKE, DELAY, FORGET] {
            let steps = plan(sql.into()).await;
            assert!(!steps.iter().any(|step| step.starts_with("SCAN notification")), "{steps:?}");
        }
    }
}
