//! A database on a server, and what is true of servers alone.

use apflow_store::{Address, Store, StoreError};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::host::{Host, at, completed};
use crate::server;

/// A database of one test.
pub(crate) struct Database {
    url: String,
}

impl Database {
    pub(crate) async fn make() -> Self {
        let made = tokio::task::spawn_blocking(server::make_database).await.unwrap();
        // Without a server, none of these facts can be tried.
        Self { url: made.unwrap_or_else(|| std::process::exit(0)) }
    }

    pub(crate) fn address(&self) -> Address {
        self.url.parse().unwrap()
    }

    /// Changes it behind the store's back.
    pub(crate) async fn run(&self, sql: &'static str) {
        let url = self.url.clone();
        let running = tokio::task::spawn_blocking(move || server::run_in(&url, &[sql]));
        running.await.unwrap();
    }

    /// Changes it behind the back of the store and of its own rules.
    pub(crate) async fn break_with(&self, sql: &'static str) {
        let url = self.url.clone();
        let running = tokio::task::spawn_blocking(move || server::run_in(&url, &[DROP_RULES, sql]));
        running.await.unwrap();
    }

    /// The number that a statement answers.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// The address with another user and database.
    fn other(&self, user: &str, database: &str) -> Address {
        let (_, folder) = self.url.split_once('?').unwrap();
        format!("postgres://{user}@localhost/{database}?{folder}").parse().unwrap()
    }
}

/// Drops what keeps rows from being wrong.
const DROP_RULES: &str = "\
    DO $$ DECLARE rule RECORD; BEGIN \
      FOR rule IN SELECT conname, CAST(conrelid AS regclass) AS owner FROM pg_constraint \
                  WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace LOOP \
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.owner, rule.conname); \
      END LOOP; \
    END $$";

/// Ends every connection but its own, as a restart of the server does.
const DISCONNECT: &str = "\
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn what_keeps_a_database_from_being_opened_is_said_without_the_password() {
    let database = Database::make().await;
    let nowhere: Address = "postgres://ada:secret@localhost/a?host=/nowhere".parse().unwrap();
    for (address, why) in [
        (database.other("guarded:secret", "ready"), "password authentication failed"),
        (database.other("apflow:secret", "absent"), "does not exist"),
        (nowhere, "No such file"),
    ] {
        let refused = Store::open(&address).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unopened { .. }), "{refused:?}");
        let source = std::error::Error::source(&refused).unwrap().to_string();
        assert!(source.contains(why), "{source}");
        assert!(!format!("{refused} {refused:?} {source}").contains("secret"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(1).await;
    host.database.run(DISCONNECT).await;
    host.settle(&claimed, 2, completed()).await;
    assert!(host.job(job.id).await.ended_at.is_some());
    assert!(host.store.trouble().is_none());
}

#[tokio::test]
async fn one_store_at_a_time_has_the_right_to_dispatch() {
    let host = Host::start().await;
    host.store.take_dispatch().await.unwrap();
    host.store.take_dispatch().await.unwrap();
    let other = Store::open(&host.database.address()).await.unwrap();
    assert!(matches!(other.take_dispatch().await, Err(StoreError::DispatchTaken)));
    other.open_session(at(1)).await.expect("it may write all the same");
    host.store.close().await;
    other.take_dispatch().await.unwrap();
}

#[tokio::test]
async fn a_store_whose_right_to_dispatch_went_to_another_writes_no_more() {
    let host = Host::start().await;
    host.store.take_dispatch().await.unwrap();
    let other = Store::open(&host.database.address()).await.unwrap();
    host.database.run(DISCONNECT).await;
    other.take_dispatch().await.unwrap();
    for ms in 1..=2 {
        let refused = host.store.open_session(at(ms)).await;
        assert!(matches!(refused, Err(StoreError::DispatchTaken)), "{refused:?}");
    }
    assert!(matches!(host.store.trouble(), Some(StoreError::DispatchTaken)));
    other.close().await;
    host.store.open_session(at(3)).await.unwrap();
    assert!(host.store.trouble().is_none());
}
