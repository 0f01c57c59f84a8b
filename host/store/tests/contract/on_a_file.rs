//! A database in a file, and what is true of files alone.

use std::future::{Ready, ready};
use std::path::PathBuf;

use apflow_model::state::JobState;
use apflow_store::{Address, Store, StoreError};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::host::{Host, at, completed};

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

    /// Changes it behind the back of the store and of its own rules.
    pub(crate) async fn break_with(&self, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.path()).foreign_keys(false);
        let options = options.pragma("ignore_check_constraints", "ON");
        let mut connection = options.connect().await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The number that a statement answers.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut connection =
            SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap();
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// The texts that a statement answers.
    async fn texts(&self, sql: &'static str) -> Vec<String> {
        let mut connection =
            SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap();
        let texts = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        texts
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

#[tokio::test]
async fn a_file_shrinks_when_jobs_are_removed() {
    let host = Host::start().await;
    let text = "x".repeat(100_000);
    for ms in 0..20 {
        host.submit(json!({"executor": "x", "inputs": {"text": text}})).await;
        host.settle(&host.claim_one(ms).await, ms, completed()).await;
    }
    let pages = async || host.database.number("SELECT page_count FROM pragma_page_count").await;
    let before = pages().await;
    host.store.purge_ended(JobState::Completed, at(100), at(100)).await.unwrap();
    while !host.store.purge_slice(None).await.unwrap().is_last {}
    assert_eq!(pages().await, before, "the pages are unused, and still the file's");
    let mut left = vec![host.store.give_back_pages().await.unwrap()];
    while left.last() != Some(&0) {
        left.push(host.store.give_back_pages().await.unwrap());
    }
    assert!(left.len() > 1, "step by step: {left:?}");
    assert!(pages().await < before / 4, "{} of {before} pages are left", pages().await);
}

/// Whoever adds a table that hangs on jobs or tasks thinks of its end: its rows go slice by slice in
/// `purge.rs`, unless there are few of them for each job or task, and none is large.
#[tokio::test]
async fn every_table_that_hangs_on_a_job_is_thought_of() {
    let host = Host::start().await;
    let tables = host
        .database
        .texts(
            "SELECT DISTINCT tables.name FROM sqlite_schema AS tables \
             JOIN pragma_foreign_key_list(tables.name) AS keys \
             WHERE tables.type = 'table' AND keys.\"table\" IN ('job', 'task') ORDER BY 1",
        )
        .await;
    let thought_of = [
        "approval",
        "attempt",
        "budget",
        "budget_wait",
        "chain_place",
        "checkpoint",
        "dependency",
        "event",
        "reservation",
        "task",
        "task_file",
        "task_input",
        "task_output",
        "task_upload",
    ];
    assert_eq!(tables, thought_of);
}

#[tokio::test]
async fn a_damaged_file_is_found() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    host.store.close().await;
    // From now on the index lacks a row.
    host.spoil(
        "PRAGMA writable_schema = ON; \
         UPDATE sqlite_schema SET sql = replace(sql, 'state = 1', 'state < 9') \
         WHERE name = 'task_scheduled'",
    )
    .await;
    let host = host.restart().await;
    let findings = host.store.examine().await.unwrap().findings;
    assert_eq!((findings.len(), &*findings[0].check), (1, "database-damaged"), "{findings:?}");
    assert!(findings[0].examples[0].contains("task_scheduled"), "{findings:?}");
    assert_eq!(host.store.repair("database-damaged", at(1)).await.unwrap(), 0);
}
