//! The least that a durable write costs: a row of its own, and a commit.
//!
//! Benchmarks measure requests against it.

use crate::address::Address;
use crate::connect;
use crate::connection::{Own, query};
use crate::error::StoreError;

/// A table of texts, in a database that nobody else uses. It is connected to as a
/// [`Store`](crate::Store) is.
#[derive(Debug)]
pub struct BareTable {
    own: Own,
}

impl BareTable {
    /// Connects to a database, and makes the table in it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unopened`] and [`StoreError::Database`].
    pub async fn open(address: &Address) -> Result<Self, StoreError> {
        let mut own = connect::writer(address).await.map_err(StoreError::unopened(address))?;
        own.connection().run("CREATE TABLE IF NOT EXISTS bare (body TEXT NOT NULL)").await?;
        Ok(Self { own })
    }

    /// Writes a row. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn write(&mut self, body: &str) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO bare (body) VALUES ($1)";
        query(SQL).bind(body).execute(&mut self.own.connection()).await?;
        Ok(())
    }

    /// Closes the connection.
    pub async fn close(self) {
        // It is of no more use either way.
        drop(self.own.close().await);
    }
}
