//! A database in a file, and what is true of files alone.

use std::future::{Ready, ready};
use std::path::PathBuf;

use apflow_store::{Address, Store, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::host::Host;

/// A database of one test.
pub(crate) struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    pub(crate) fn make() -> Ready<Self> {
        ready(Self { folder: tempfile::tempdir().unwrap() })
    }

    pub(crate) fn address(&self) -> Address {
        Address::File(self.path())
    }

    /// Changes it behind the store's back.
    pub(crate) async fn run(&self, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.path());
        let mut connection = options.connect().await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("apflow.db")
    }
}

/// Takes a database back to the schema without lanes.
pub(crate) const BEFORE_LANES: &str = "\
    DROP TRIGGER task_added; DROP TRIGGER task_moved; DROP TRIGGER task_removed; \
    DROP INDEX task_deadline; DROP INDEX task_ready; \
    ALTER TABLE task DROP COLUMN deadline; ALTER TABLE task DROP COLUMN lane_id; \
    DROP TABLE tally; DROP TABLE lane; \
    CREATE INDEX task_ready ON task (priority, run_at, id) WHERE state = 2; \
    DELETE FROM _sqlx_migrations WHERE version = 4";

#[tokio::test]
async fn a_file_in_no_folder_cannot_be_opened() {
    let host = Host::start().await;
    let address = Address::File(host.database.path().join("below/apflow.db"));
    let refused = Store::open(&address).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unopened { .. }), "{refused}");
}
