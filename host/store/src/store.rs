//! The store: one writer connection and a pool of readers on one file.
//!
//! It does not guard the file against a second host: the data directory's lock does.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::id::IdSource;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

use crate::error::StoreError;
use crate::schema;
use crate::writer::{WriteGroup, Writer};

/// The most reads at once.
const READERS_MAX: u32 = 4;

/// How long to wait for another process that holds the file, for example a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many 4 KiB pages the write-ahead log grows to before it is folded into the file.
const LOG_PAGES_PER_FOLD: &str = "4000";

/// The write-ahead log shrinks back to this many bytes after a burst.
const LOG_BYTES_KEPT_MAX: &str = "67108864";

/// What the writer keeps in memory: 32 MiB. A negative number counts KiB, not pages.
const WRITER_CACHE: &str = "-32768";

/// The database of one host.
///
/// Cheap to clone; all clones write through the same queue.
///
/// # Examples
///
/// ```
/// use apflow_model::clock::Timestamp;
/// use apflow_model::job::JobSpec;
/// use apflow_store::{NewJob, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let store = Store::open(&folder.path().join("apflow.db")).await?;
/// let now = Timestamp::from_unix_ms(1_800_000_000_000);
/// let session = store.open_session(now).await?;
///
/// let spec = JobSpec::parse(serde_json::json!({"executor": "noop_executor"}))?;
/// let job = NewJob { spec, principal: "ada".to_owned(), grants: Vec::new() };
/// let job = store.submit(job, now).await?;
///
/// let claimed = store.claim(session, now, 16).await?;
/// assert_eq!(claimed[0].task, job.tasks[0].id);
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
    ids: Arc<Mutex<IdSource>>,
}

impl Store {
    /// Opens the database at `path`, creates it when it is not there, and brings its schema up to
    /// this version's. The folder of `path` must exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaTooNew`] when a newer version wrote the file, [`StoreError::Migration`]
    /// when its schema cannot be brought up to date, [`StoreError::Database`] when it cannot be
    /// opened.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let mut connection = options
            .clone()
            .create_if_missing(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", WRITER_CACHE)
            .pragma("wal_autocheckpoint", LOG_PAGES_PER_FOLD)
            .pragma("journal_size_limit", LOG_BYTES_KEPT_MAX)
            .connect()
            .await?;
        schema::upgrade(&mut connection).await?;
        let ids = continue_ids(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options.read_only(true))
            .await?;
        let ids = Arc::new(Mutex::new(ids));
        Ok(Self { writer: Writer::start(connection), readers, ids })
    }

    /// Commits what is queued, closes every connection and folds the log back into the file.
    ///
    /// Later calls, on this and on every clone, fail with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Where to read.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Applies a write and answers once it is durable.
    pub(crate) async fn write<W: WriteGroup>(&self, write: W) -> Result<W::Output, StoreError> {
        self.writer.write(write).await
    }

    /// Makes `count` ids, each larger than the one before.
    pub(crate) fn ids(&self, now: Timestamp, count: usize) -> Vec<i64> {
        let mut source = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        (0..count).map(|_| source.next(now)).collect()
    }
}

/// A source of ids above all that are in the database, even when the clock went back.
async fn continue_ids(connection: &mut SqliteConnection) -> Result<IdSource, StoreError> {
    const LARGEST: &str = "SELECT max(coalesce((SELECT max(id) FROM job), 0), \
                           coalesce((SELECT max(id) FROM task), 0), \
                           coalesce((SELECT max(id) FROM upload), 0))";
    let (largest,): (i64,) = sqlx::query_as(LARGEST).fetch_one(connection).await?;
    let mut source = IdSource::new(0);
    // An id is its millisecond, shifted: any id of the next one is larger.
    source.next(Timestamp::from_unix_ms((largest >> 22) + 1));
    Ok(source)
}
