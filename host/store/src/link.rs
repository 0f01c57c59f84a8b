//! The writer's connection, which is made again when it is lost.
//!
//! It knows nothing of what is written.

use std::time::{Duration, Instant};

use crate::address::Address;
use crate::connect;
use crate::connection::{Connection, Own, query};
use crate::dialect::{BEGIN, GIVE_DISPATCH_BACK, TAKE_DISPATCH, Trouble};
use crate::error::StoreError;

/// How long to wait for the right to dispatch: a server takes a moment to see that the process which
/// had it was killed.
const DISPATCH_WAIT_MAX: Duration = Duration::from_secs(2);
const DISPATCH_TRY_EVERY: Duration = Duration::from_millis(20);

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

    /// Begins a transaction: on a new connection when the last one turns out to be lost, since
    /// nothing was asked of it yet.
    ///
    /// # Errors
    ///
    /// As [`Link::connection`], and when it cannot be begun.
    pub(crate) async fn begin(&mut self) -> Result<Connection<'_>, StoreError> {
        let begun = self.connection().await?.run(BEGIN).await.map_err(StoreError::from);
        match begun {
            Err(error) if error.trouble() == Some(Trouble::Lost) => {
                self.lose();
                self.connection().await?.run(BEGIN).await?;
            }
            begun => begun?,
        }
        self.connection().await
    }

    /// The connection, unless it was lost.
    pub(crate) fn made(&mut self) -> Option<Connection<'_>> {
        self.own.as_mut().map(Own::connection)
    }

    async fn connect(&self) -> Result<Own, StoreError> {
        let connected = connect::writer(&self.address).await;
        let mut own = connected.map_err(StoreError::unreachable)?;
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
        if self.dispatches {
            return Ok(());
        }
        // A look at the database first: a connection that is lost is not asked.
        self.begin().await?.run("ROLLBACK").await?;
        let start = Instant::now();
        while let Some(own) = &mut self.own
            && !take_dispatch(own).await?
        {
            if start.elapsed() > DISPATCH_WAIT_MAX {
                return Err(StoreError::DispatchTaken);
            }
            tokio::time::sleep(DISPATCH_TRY_EVERY).await;
        }
        self.dispatches = true;
        Ok(())
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        let Some(mut own) = self.own else { return };
        if self.dispatches
            && let Err(error) = own.connection().run(GIVE_DISPATCH_BACK).await
        {
            tracing::debug!(%error, "the right to dispatch ends with the connection");
        }
        if let Err(error) = own.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

async fn take_dispatch(own: &mut Own) -> Result<bool, StoreError> {
    let (taken,) = query(TAKE_DISPATCH).read_one(&mut own.connection()).await?;
    Ok(taken)
}
