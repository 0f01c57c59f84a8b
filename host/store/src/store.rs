//! The store: one connection that writes and a pool of readers on one database.
//!
//! It does not guard a file against a second host: the lock on its folder does. On a server,
//! [`Store::take_dispatch`] does.

use std::sync::{Arc, Mutex, PoisonError};

use apflow_model::clock::Timestamp;
use apflow_model::id::IdSource;

use crate::address::Address;
use crate::connect;
use crate::connection::{Connection, Readers, query};
use crate::error::StoreError;
use crate::link::Link;
use crate::schema;
use crate::write::WriteGroup;
use crate::writer::Writer;

/// The database of one host.
///
/// Cheap to clone; all clones write through the same queue.
///
/// # Examples
///
/// ```
/// use apflow_model::clock::Timestamp;
/// use apflow_model::job::JobSpec;
/// use apflow_store::{Address, NewJob, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let store = Store::open(&Address::File(folder.path().join("apflow.db"))).await?;
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
    readers: Readers,
    ids: Arc<Mutex<IdSource>>,
    address: Address,
    keeps_checkpoints: bool,
}

impl Store {
    /// Opens the database at `address`, and brings its schema up to this version's.
    ///
    /// A file is created when it is not there; its folder must exist. A server's database must.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unopened`] when it cannot be opened, [`StoreError::SchemaTooNew`] when a newer
    /// version wrote it, [`StoreError::Migration`] when its schema cannot be brought up to date.
    pub async fn open(address: &Address) -> Result<Self, StoreError> {
        let mut own = connect::writer(address).await.map_err(StoreError::unopened(address))?;
        schema::upgrade(&mut own.connection()).await?;
        let ids = continue_ids(&mut own.connection()).await?;
        let readers = connect::readers(address).await.map_err(StoreError::unopened(address))?;
        let writer = Writer::start(Link::new(address.clone(), own));
        let ids = Arc::new(Mutex::new(ids));
        let address = address.clone();
        Ok(Self { writer, readers, ids, address, keeps_checkpoints: false })
    }

    /// Keeps the checkpoints of tasks that complete from now on, until
    /// [`Store::drop_checkpoints`] drops them. Otherwise they are dropped with the end itself.
    #[must_use]
    pub fn keep_checkpoints(self) -> Self {
        Self { keeps_checkpoints: true, ..self }
    }

    /// Takes the right to dispatch the tasks of the database, until it is closed or the process
    /// ends: [`Store::recover`] takes up what all others left, so there must be no other.
    ///
    /// A file has no such right to give: a lock on its folder takes its place.
    ///
    /// # Errors
    ///
    /// [`StoreError::DispatchTaken`] while another process has it.
    pub async fn take_dispatch(&self) -> Result<(), StoreError> {
        self.writer.take_dispatch().await
    }

    /// Why nothing can be written at present, as the last write or a look since then found. None
    /// when all is well.
    ///
    /// Every write fails then, with the same error. It passes by itself: the disk has room again,
    /// or the server is back.
    pub fn trouble(&self) -> Option<StoreError> {
        self.writer.trouble()
    }

    /// Commits what is queued, closes every connection and folds the log of a file back into it.
    ///
    /// Later calls, on this and on every clone, fail with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn keeps_checkpoints(&self) -> bool {
        self.keeps_checkpoints
    }

    /// Where the database is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Where to read.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    #[cfg(test)]
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
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
async fn continue_ids(connection: &mut Connection<'_>) -> Result<IdSource, StoreError> {
    const LARGEST: &str = "SELECT max(id) FROM \
                           (SELECT max(id) AS id FROM job UNION ALL SELECT max(id) FROM task \
                            UNION ALL SELECT max(id) FROM upload) AS ids";
    let (largest,): (Option<i64>,) = query(LARGEST).read_one(connection).await?;
    let mut source = IdSource::new(0);
    // An id is its millisecond, shifted: any id of the next one is larger.
    source.next(Timestamp::from_unix_ms((largest.unwrap_or_default() >> 22) + 1));
    Ok(source)
}
