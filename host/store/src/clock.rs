//! What time it is on the server, for hosts whose own clocks differ.
//!
//! Nothing else here asks for the time: every write is handed its moment.

use apflow_model::clock::Timestamp;

use crate::connection::{Either, query};
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// What time it is on the server. None on a file, whose host has the only clock.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] and [`StoreError::Database`].
    pub async fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str =
            "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";
        if let Either::Sqlite(_) = self.readers() {
            return Ok(None);
        }
        let now: Option<(i64,)> = self.readers().read_optional(query(SQL)).await?;
        Ok(now.map(|(now,)| Timestamp::from_unix_ms(now)))
    }
}
