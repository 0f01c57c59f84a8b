//! Making connections, as each database takes its settings.
//!
//! It asks for no tables: `schema` makes those.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _};

use crate::address::Address;
use crate::connection::{Either, Own, Readers};

/// The most reads at once.
const READERS_MAX: u32 = 4;

/// How long to wait for another process that holds the database, for example a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a server limits the writer, in milliseconds. It waits no longer than this for another
/// process's commit or for a statement, and one that stands still within a transaction, because its
/// process was stopped or its machine is gone, is thrown out, so that the others go on.
const PATIENCE: [(&str, &str); 3] = [
    ("idle_in_transaction_session_timeout", "5000"),
    ("lock_timeout", "8000"),
    ("statement_timeout", "18000"),
];

/// How long to wait for a connection to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many 4 KiB pages the write-ahead log grows to before it is folded into the file.
const LOG_PAGES_PER_FOLD: &str = "4000";

/// The write-ahead log shrinks back to this many bytes after a burst.
const LOG_BYTES_KEPT_MAX: &str = "67108864";

/// What the writer keeps in memory: 32 MiB. A negative number counts KiB, not pages.
const WRITER_CACHE: &str = "-32768";

/// How many rows the thread of a file reads ahead: with fewer, it and its reader would take turns.
const ROWS_WAITING_MAX: usize = 2_048;

/// How a server goes about every statement. To compile one takes a server longer than nearly all run,
/// and it would compile small ones too: it takes what `enable_seqscan` holds it off from for very
/// dear, so that it seems worth the while.
const NOT_COMPILED: [(&str, &str); 1] = [("jit", "off")];

/// How a server goes about the writer's statements: each finds its rows by keys, so it is planned
/// once, and by the indexes, row by row, however few rows the server has counted in the tables. Else
/// it may read a whole table for each step of a long chain.
const ROWS_BY_KEY: [(&str, &str); 4] = [
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_seqscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Connects the writer.
pub(crate) async fn writer(address: &Address) -> Result<Own, sqlx::Error> {
    match address {
        Address::File(path) => {
            let options = file_options()
                .filename(path)
                .create_if_missing(true)
                .auto_vacuum(SqliteAutoVacuum::Incremental)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("cache_size", WRITER_CACHE)
                .pragma("wal_autocheckpoint", LOG_PAGES_PER_FOLD)
                .pragma("journal_size_limit", LOG_BYTES_KEPT_MAX);
            Ok(Either::Sqlite(Box::new(options.connect().await?)))
        }
        Address::Server(server) => {
            let options = server.options().clone().options(NOT_COMPILED);
            let options = options.options(ROWS_BY_KEY).options(PATIENCE);
            let connecting = PgConnection::connect_with(&options);
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            Ok(Either::Postgres(Box::new(connected.map_err(|_| sqlx::Error::PoolTimedOut)??)))
        }
    }
}

/// Connects the readers. The writer has made the database.
pub(crate) async fn readers(address: &Address) -> Result<Readers, sqlx::Error> {
    match address {
        Address::File(path) => {
            // A file does not go away, so it is not asked before each read whether it is there.
            let pool = SqlitePoolOptions::new().max_connections(READERS_MAX);
            let pool = pool.test_before_acquire(false);
            let options = file_options().filename(path).read_only(true);
            Ok(Either::Sqlite(pool.connect_with(options).await?))
        }
        Address::Server(server) => {
            // One more, which listens to the other processes.
            let pool = PgPoolOptions::new().max_connections(READERS_MAX + 1);
            let pool = pool.acquire_timeout(CONNECT_TIMEOUT);
            Ok(Either::Postgres(
                pool.connect_with(server.options().clone().options(NOT_COMPILED)).await?,
            ))
        }
    }
}

fn file_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_WAITING_MAX)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}
