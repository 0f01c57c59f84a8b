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

    /// Reads rows of numbers behind the store's back.
    pub(crate) async fn read(&self, sql: &'static str) -> Vec<(i64, i64, i64)> {
        let options = SqliteConnectOptions::new().filename(self.path());
        let mut connection = options.connect().await.unwrap();
        let rows = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("apflow.db")
    }
}

#[tokio::test]
async fn a_file_in_no_folder_cannot_be_opened() {
    let host = Host::start().await;
    let address = Address::File(host.database.path().join("below/apflow.db"));
    let refused = Store::open(&address).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unopened { .. }), "{refused}");
}
