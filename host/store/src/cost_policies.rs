//! Cost policies that were put by API. Those of `policies.yaml` are not here.

use apflow_model::clock::Timestamp;
use apflow_model::cost_policy::CostPolicy;

use crate::connection::{Connection, Row, query};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::Write;

/// The most policies that are kept: each host of the database has all of them in its memory.
pub const COST_POLICIES_MAX: u32 = 1_000;

/// A policy that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPolicy {
    /// The policy.
    pub policy: CostPolicy,
    /// When it was put.
    pub changed_at: Timestamp,
    /// Who put it.
    pub changed_by: String,
}

impl Store {
    /// Stores a policy, in the place of what had its name before. False when it has a new name, and
    /// [`COST_POLICIES_MAX`] are kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn put_cost_policy(&self, kept: KeptPolicy) -> Result<bool, StoreError> {
        self.write(Put { kept }).await
    }

    /// Removes the policy of this name. Returns what was there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn remove_cost_policy(&self, name: &str) -> Result<Option<KeptPolicy>, StoreError> {
        self.write(Remove { name: name.to_owned() }).await
    }

    /// Lists all of them, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_cost_policies(&self) -> Result<Vec<KeptPolicy>, StoreError> {
        const LIST: &str = "SELECT * FROM cost_policy ORDER BY name";
        self.readers().fetch_all(query(LIST)).await?.iter().map(read).collect()
    }
}

struct Put {
    kept: KeptPolicy,
}

impl Write for Put {
    type Output = bool;

    fn is_change(is_stored: &bool) -> bool {
        *is_stored
    }

    // A task that is parked may go on by another policy: the engine looks again by itself.
    fn makes_work(_: &bool) -> bool {
        false
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        const OTHERS: &str = "SELECT count(*) FROM cost_policy WHERE name <> $1";
        const PUT: &str = "\
            INSERT INTO cost_policy (name, thresholds, changed_at, changed_by) \
            VALUES ($1, $2, $3, $4) \
            ON CONFLICT (name) DO UPDATE SET thresholds = excluded.thresholds, \
              changed_at = excluded.changed_at, changed_by = excluded.changed_by";
        let KeptPolicy { policy, changed_at, changed_by } = &self.kept;
        let (others,): (i64,) = query(OTHERS).bind(&policy.name).read_one(connection).await?;
        if others >= i64::from(COST_POLICIES_MAX) {
            return Ok(false);
        }
        let put = query(PUT)
            .bind(&policy.name)
            .bind(row::text(&policy.thresholds)?)
            .bind(changed_at.unix_ms())
            .bind(changed_by);
        put.execute(connection).await?;
        Ok(true)
    }
}

struct Remove {
    name: String,
}

impl Write for Remove {
    type Output = Option<KeptPolicy>;

    fn is_change(removed: &Option<KeptPolicy>) -> bool {
        removed.is_some()
    }

    fn makes_work(_: &Option<KeptPolicy>) -> bool {
        false
    }

    async fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Option<KeptPolicy>, StoreError> {
        const REMOVE: &str = "DELETE FROM cost_policy WHERE name = $1 RETURNING *";
        let removed = query(REMOVE).bind(&self.name).fetch_optional(connection).await?;
        removed.as_ref().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<KeptPolicy, StoreError> {
    let (name, thresholds) = (row::column(row, "name")?, row::json(row, "thresholds")?);
    Ok(KeptPolicy {
        policy: CostPolicy { name, thresholds },
        changed_at: row::moment(row, "changed_at")?,
        changed_by: row::column(row, "changed_by")?,
    })
}
