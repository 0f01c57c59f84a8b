//! The writer's connection, which is made again when it is lost.
//!
//! It knows nothing of what is written.

use std::sync::Arc;

use crate::address::Address;
use crate::connect;
use crate::connection::{Connection, Own, Query, query};
use crate::dialect::{BEGIN, BEGIN_UNSYNCED, Trouble, sync_of_file};
use crate::error::StoreError;
use crate::hearing::Hearing;

/// The writer's connection.
#[derive(Debug)]
pub(crate) struct Link {
    address: Address,
    /// None once it was lost.
    own: Option<Own>,
    /// What waits for the next statement on a file.
    before: Option<Query>,
    /// Whether commits to a file wait for the disk.
    is_synced: bool,
    hearing: Arc<Hearing>,
}

impl Link {
    /// Keeps a connection that was made to `address`.
    pub(crate) fn new(address: Address, own: Own, hearing: Arc<Hearing>) -> Self {
        Self { address, own: Some(own), before: None, is_synced: true, hearing }
    }

    /// The connection: a new one when the last was lost.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] as long as none can be made.
    pub(crate) async fn connection(&mut self) -> Result<Connection<'_>, StoreError> {
        let own = if let Some(own) = self.own.take() {
            own
        } else {
            self.is_synced = true;
            Box::pin(connect::writer(&self.address)).await.map_err(StoreError::unreachable)?
        };
        Ok(self.own.insert(own).connection_after(&mut self.before))
    }

    /// Begins a transaction: on a new connection when the last one turns out to be lost, since
    /// nothing was asked of it yet. Its commit waits for the disk if it is to be synced.
    ///
    /// # Errors
    ///
    /// As [`Link::connection`], and when it cannot be begun.
    pub(crate) async fn begin(&mut self, is_synced: bool) -> Result<Connection<'_>, StoreError> {
        let sql = if is_synced { BEGIN } else { BEGIN_UNSYNCED };
        let mut connection = self.connection().await?;
        if let Connection::Sqlite(_) = connection {
            self.sync_file(is_synced).await?;
            query(sql).later(&mut self.connection().await?).await?;
            return self.connection().await;
        }
        let begun = connection.run(sql).await.map_err(StoreError::from);
        match begun {
            Err(error) if error.trouble() == Some(Trouble::Lost) => {
                self.lose();
                self.connection().await?.run(sql).await?;
            }
            begun => begun?,
        }
        self.connection().await
    }

    async fn sync_file(&mut self, is_synced: bool) -> Result<(), StoreError> {
        if self.is_synced != is_synced {
            self.connection().await?.run_anew(sync_of_file(is_synced)).await?;
            self.is_synced = is_synced;
        }
        Ok(())
    }

    /// Makes a transaction count, and with `hints` tells the other processes so in the same round
    /// trip.
    pub(crate) async fn commit(&mut self, hints: bool) -> Result<(), StoreError> {
        let signed = Arc::clone(&self.hearing);
        let mut connection = self.connection().await?;
        Ok(connection.commit(hints.then_some(signed.own.as_str())).await?)
    }

    /// The connection, unless it was lost. What waited for its next statement is dropped.
    pub(crate) fn made(&mut self) -> Option<Connection<'_>> {
        self.before = None;
        self.own.as_mut().map(Own::connection)
    }

    /// Drops a connection that is of no more use. The next one is made when it is needed.
    pub(crate) fn lose(&mut self) {
        (self.own, self.before) = (None, None);
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        let Some(own) = self.own else { return };
        if let Err(error) = own.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}
