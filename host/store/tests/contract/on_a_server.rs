//! A database on a server, and what is true of servers alone.

use std::time::Duration;

use apflow_store::{Address, NewJob, Store, StoreError};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::host::{Host, at, completed, spec};
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

/// Takes a database back to the schema without lanes.
pub(crate) const BEFORE_LANES: &str = "\
    DROP TRIGGER task_added ON task; DROP TRIGGER task_moved ON task; \
    DROP TRIGGER task_removed ON task; DROP FUNCTION count_tasks; \
    DROP INDEX task_deadline; DROP INDEX task_ready; \
    ALTER TABLE task DROP COLUMN deadline; ALTER TABLE task DROP COLUMN lane_id; \
    DROP TABLE tally; DROP TABLE lane; \
    CREATE INDEX task_ready ON task (priority, run_at, id) WHERE state = 2; \
    DELETE FROM _sqlx_migrations WHERE version = 4";
/// Drops what keeps rows from being wrong.
const DROP_RULES: &str = "\
    DO $$ DECLARE rule RECORD; BEGIN \
      FOR rule IN SELECT conname, CAST(conrelid AS regclass) AS owner FROM pg_constraint \
                  WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace LOOP \
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.owner, rule.conname); \
      END LOOP; \
    END $$";

/// Ends every connection but its own, as a restart of the server does, and waits until they are gone.
const DISCONNECT: &str = "\
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// How many rows were read so far. A connection counts at the latest when it ends.
const ROWS_READ: &str = "\
    SELECT CAST(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS BIGINT) \
    FROM pg_stat_user_tables WHERE relname IN ('budget', 'dependency', 'event', 'task')";

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
async fn a_submit_on_one_host_is_hinted_to_the_others() {
    let host = Host::start().await;
    let other = Store::open(&host.database.address()).await.unwrap();
    let (mut own, mut hints) = (host.store.hints(), other.hints());
    for hints in [&mut own, &mut hints] {
        // That it listens from now on, and may have missed something.
        hints.next().await;
    }
    host.submit(json!({"executor": "x"})).await;
    hints.next().await;
    let claimed = host.claim_one(1).await;
    host.settle(&claimed, 2, completed()).await;
    hints.next().await;
    let told = tokio::time::timeout(Duration::from_millis(100), own.next()).await;
    assert!(told.is_err(), "nobody is told what it did itself");
}

#[tokio::test]
async fn hints_come_again_after_a_lost_connection() {
    let host = Host::start().await;
    let mut hints = host.store.hints();
    hints.next().await;
    host.database.run(DISCONNECT).await;
    hints.next().await;
    let other = Store::open(&host.database.address()).await.unwrap();
    while tokio::time::timeout(Duration::from_millis(200), hints.next()).await.is_ok() {}
    let spec = spec(json!({"executor": "x"}));
    let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
    other.submit(job, at(0)).await.unwrap();
    hints.next().await;
}

#[tokio::test]
async fn a_server_tells_its_time() {
    let host = Host::start().await;
    let first = host.store.server_time().await.unwrap().unwrap();
    let second = host.store.server_time().await.unwrap().unwrap();
    assert!(second >= first && first > at(0).before(Duration::from_hours(24 * 365)));
}

#[tokio::test]
async fn a_write_that_others_keep_waiting_fails_and_passes_by_itself() {
    let host = Host::start().await;
    let mut other = PgConnection::connect(&host.database.url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(107135382613879)").execute(&mut other).await.unwrap();
    let spec = spec(json!({"executor": "x"}));
    let new = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
    let refused = host.store.submit(new, at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(host.store.trouble().is_some());
    other.close().await.unwrap();
    host.submit(json!({"executor": "x"})).await;
    assert!(host.store.trouble().is_none());
}

#[tokio::test]
async fn a_process_that_stands_still_in_a_commit_does_not_stop_the_others() {
    let host = Host::start().await;
    // As the writer's own connection: with its limits, and stopped between two statements.
    let still = format!("{}&options[idle_in_transaction_session_timeout]=5000", host.database.url);
    let mut still = PgConnection::connect(&still).await.unwrap();
    let begin = "BEGIN; SELECT pg_advisory_xact_lock(107135382613879)";
    sqlx::raw_sql(begin).execute(&mut still).await.unwrap();
    host.submit(json!({"executor": "x"})).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_anew() {
    let host = Host::start().await;
    let mut other = PgConnection::connect(&host.database.url).await.unwrap();
    let writer = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                  AND query LIKE '%COMMIT'";
    let (writer,): (i32,) = sqlx::query_as(writer).fetch_one(&mut other).await.unwrap();
    signal(writer, "-STOP");
    host.submit(json!({"executor": "x"})).await;
    signal(writer, "-CONT");
    assert_eq!(host.claim(1, 10).await.len(), 1);
}

#[tokio::test]
async fn few_rows_are_read_for_one_task_however_many_there_are() {
    let host = Host::start().await;
    let link = |n: usize| {
        let before = (n > 0).then(|| (n - 1).to_string());
        json!({"id": n.to_string(), "executor": "x", "dependencies": before.as_slice()})
    };
    let chain: Vec<_> = (0..1_000).map(link).collect();
    let job = host.submit(json!({"tasks": chain, "token_budget": 9})).await;
    // The server believes from now on that next to none are ready or running.
    host.database.run("ANALYZE").await;
    let task = |n: usize| json!({"id": n.to_string(), "executor": "x"});
    host.submit(json!({"tasks": (0..1_000).map(task).collect::<Vec<_>>()})).await;

    let read = rows_read(&host, async { assert_eq!(host.claim(1, 1).await.len(), 1) }).await;
    assert!(read < 100, "a claim read {read} rows");
    let claimed = host.claim(1, 900).await;
    let read = rows_read(&host, host.settle(&claimed[500], 2, completed())).await;
    assert!(read < 100, "an end read {read} rows");
    let spans = [(job.id, 0, 1)];
    let read = rows_read(&host, host.store.list_spans(&spans)).await;
    assert!(read < 100, "a look at one event read {read} rows");
}

/// How many rows the server reads for what is done.
async fn rows_read<T>(host: &Host, done: impl Future<Output = T>) -> i64 {
    host.database.run(DISCONNECT).await;
    let before = host.database.number(ROWS_READ).await;
    done.await;
    host.database.run(DISCONNECT).await;
    host.database.number(ROWS_READ).await - before
}

/// Sends a signal to one of the server's processes.
#[expect(clippy::disallowed_methods, reason = "a process is stopped as an operator would stop it")]
fn signal(process: i32, signal: &str) {
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([signal, &process.to_string()]).status().unwrap().success());
}
