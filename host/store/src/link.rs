//! The writer's connection, which is made again when it is lost.
//!
//! It knows nothing of what is written.

use std::sync::Arc;

use crate::address::Address;
use crate::connection::{Connection, Own, query};
use crate::dialect::{self, TAKE_DISPATCH};
use crate::error::StoreError;

/// The writer's connection.
#[derive(Debug)]
pub(crate) struct Link {
    address: Address,
    /// None once it was lost.
    own: Option<Own>,
    /// Whether this process dispatches, so that a new connection must take that right again.
    dispatches: bool,
}

impl Link {
    /// Keeps a connection that was made to `address`.
    pub(crate) fn new(address: Address, own: Own) -> Self {
        Self { address, own: Some(own), dispatches: false }
    }

    /// The connection: a new one when the last was lost.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] as long as none can be made, and
    /// [`StoreError::DispatchTaken`] when another process took the right to dispatch meanwhile.
    pub(crate) async fn connection(&mut self) -> Result<Connection<'_>, StoreError> {
        let own = match self.own.take() {
            Some(own) => own,
            None => self.connect().await?,
        };
        Ok(self.own.insert(own).connection())
    }

    /// The connection, unless it was lost.
    pub(crate) fn made(&mut self) -> Option<Connection<'_>> {
        self.own.as_mut().map(Own::connection)
    }

    async fn connect(&self) -> Result<Own, StoreError> {
        let connected = dialect::connect_writer(&self.address).await;
        // Whatever keeps it from being opened, it could be opened before.
        let mut own = connected.map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        if self.dispatches && !take_dispatch(&mut own).await? {
            return Err(StoreError::DispatchTaken);
        }
        Ok(own)
    }

    /// Drops a connection that is of no more use. The next one is made when it is needed.
    pub(crate) fn lose(&mut self) {
        self.own = None;
    }

    /// Takes the right to dispatch, which ends with the connection.
    ///
    /// # Errors
    ///
    /// [`StoreError::DispatchTaken`] while another process has it.
    pub(crate) async fn take_dispatch(&mut self) -> Result<(), StoreError> {
        self.connection().await?;
        if let Some(own) = &mut self.own
            && !self.dispatches
            && !take_dispatch(own).await?
        {
            return Err(StoreError::DispatchTaken);
        }
        self.dispatches = true;
        Ok(())
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        let Some(own) = self.own else { return };
        if let Err(error) = own.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

async fn take_dispatch(own: &mut Own) -> Result<bool, StoreError> {
    let (taken,) = query(TAKE_DISPATCH).read_one(&mut own.connection()).await?;
    Ok(taken)
}
