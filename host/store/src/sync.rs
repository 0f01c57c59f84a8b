//! Waiting for the disk, and not waiting.
//!
//! Most writes are on the disk once they are answered. Those that are not outlive a crash of the
//! process, since the system has their bytes, but not the loss of power.

use apflow_model::clock::Timestamp;
use apflow_model::job::Job;

use crate::connection::Connection;
use crate::dialect::PROBE;
use crate::error::StoreError;
use crate::plan::NewJob;
use crate::store::Store;
use crate::write::{Turn, Write};

impl Store {
    /// Stores a job as [`Store::submit`] does, for a caller who is told nothing of it before it has
    /// ended: its end takes it along to the disk. Until then it survives a crash of the process, and
    /// the loss of power only after [`Store::sync`] or another synced write. What its tasks do must
    /// not be seen outside of the database before they have ended.
    ///
    /// # Errors
    ///
    /// As [`Store::submit`].
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_until_ended(&self, job: NewJob, now: Timestamp) -> Result<Job, StoreError> {
        let (job, mut rows) = self.plan(&job, now).await?;
        rows.is_synced = false;
        self.write(rows).await?;
        Ok(job)
    }

    /// Waits until all that was written before is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] and [`StoreError::Database`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.write(Sync).await
    }
}

/// Changes nothing. Its commit takes all earlier ones along to the disk.
struct Sync;

impl Write for Sync {
    type Output = ();

    const TURN: Turn = Turn::Audit;

    fn is_change((): &()) -> bool {
        false
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        // A commit without any change would not wait for the disk.
        Ok(connection.run(PROBE).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::connection::query;
    use crate::row;

    /// Reads how far commits wait for the disk.
    struct Look {
        is_synced: bool,
    }

    impl Write for Look {
        type Output = i64;

        fn is_synced(&self) -> bool {
            self.is_synced
        }

        async fn apply(&self, connection: &mut Connection<'_>) -> Result<i64, StoreError> {
            let rows = query("PRAGMA synchronous").fetch_all(connection).await?;
            row::number(&rows[0], "synchronous")
        }
    }

    const NORMAL: i64 = 1;
    const FULL: i64 = 2;

    #[tokio::test]
    async fn a_commit_waits_for_the_disk_unless_nothing_in_it_needs_that() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Address::File(folder.path().join("apflow.db"))).await.unwrap();
        let look = async |is_synced| store.write(Look { is_synced }).await.unwrap();
        for _ in 0..2 {
            assert_eq!(look(true).await, FULL);
            assert_eq!(look(false).await, NORMAL);
            assert_eq!(look(false).await, NORMAL);
        }
        let (first, second) = tokio::join!(look(false), look(true));
        assert_eq!((first, second), (FULL, FULL), "they share a commit");
        assert_eq!(look(false).await, NORMAL);
        store.sync().await.unwrap();
        assert_eq!(look(true).await, FULL);
    }
}
