//! The store: one connection that writes and a pool of readers on one database.
//!
//! It does not guard a file against a second host: the lock on its folder does. A server has any
//! number of hosts, each with a session of its own.

use std::sync::{Arc, Mutex, PoisonError};

use apflow_model::cache::CacheLimits;
use apflow_model::clock::Timestamp;
use apflow_model::concurrency::Admission;
use apflow_model::cost_policy::CostRules;
use apflow_model::hops::HostId;
use apflow_model::id::IdSource;
use apflow_model::metric::Page;

use crate::address::Address;
use crate::connect;
use crate::connection::{Connection, Readers, query};
use crate::dialect::NODE;
use crate::error::StoreError;
use crate::hearing::Hearing;
use crate::lanes::{Known, Rounds};
use crate::link::Link;
use crate::notes::Notes;
use crate::write::WriteGroup;
use crate::writer::Writer;
use crate::{row, schema};

/// The database of one host.
///
/// Cheap to clone; all clones write through the same queue.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use apflow_model::clock::Timestamp;
/// use apflow_model::fair::Limits;
/// use apflow_model::job::JobSpec;
/// use apflow_store::{Address, NewJob, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let store = Store::open(&Address::File(folder.path().join("apflow.db"))).await?;
/// let now = Timestamp::from_unix_ms(1_800_000_000_000);
/// let session = store.open_session("here".to_owned(), now, Duration::from_secs(15)).await?;
///
/// let spec = JobSpec::parse(serde_json::json!({"executor": "noop_executor"}))?;
/// let job = NewJob { spec, principal: "ada".to_owned(), grants: Vec::new() };
/// let job = store.submit(job, now).await?;
///
/// let claimed = store.claim(session, now, 16, Limits::default()).await?;
/// assert_eq!(claimed.tasks[0].task, job.tasks[0].id);
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    writer: Writer,
    notes: Notes,
    readers: Readers,
    ids: Arc<Mutex<IdSource>>,
    address: Address,
    keeps_checkpoints: bool,
    admission: Admission,
    cache_limits: CacheLimits,
    cost_rules: CostRules,
    rounds: Arc<tokio::sync::Mutex<Rounds>>,
    lanes: Arc<Known>,
    hearing: Arc<Hearing>,
    host: HostId,
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
        let host = read_host(&mut own.connection()).await?;
        let readers = connect::readers(address).await.map_err(StoreError::unopened(address))?;
        let hearing = Hearing::new();
        let writer = Writer::start(Link::new(address.clone(), own, Arc::clone(&hearing)));
        Ok(Self {
            address: address.clone(),
            keeps_checkpoints: false,
            notes: Notes::start(writer.clone()),
            writer,
            readers,
            ids: Arc::new(Mutex::new(ids)),
            admission: Admission::default(),
            cache_limits: CacheLimits::default(),
            cost_rules: CostRules::default(),
            rounds: Arc::default(),
            lanes: Arc::default(),
            hearing,
            host,
        })
    }

    /// Keeps the checkpoints of tasks that complete from now on, until
    /// [`Store::drop_checkpoints`] drops them. Otherwise they are dropped with the end itself.
    #[must_use]
    pub fn keep_checkpoints(self) -> Self {
        Self { keeps_checkpoints: true, ..self }
    }

    /// The same store, which takes in no job that has more tasks than `admission` leaves room for.
    #[must_use]
    pub fn admitting(self, admission: Admission) -> Self {
        Self { admission, ..self }
    }

    /// The same store, which keeps no more results of tools than `limits` allow.
    #[must_use]
    pub fn caching(self, limits: CacheLimits) -> Self {
        Self { cache_limits: limits, ..self }
    }

    /// The same store, whose budgets are governed by `rules`. Else there is no policy and no price.
    #[must_use]
    pub fn governed_by(self, rules: CostRules) -> Self {
        Self { cost_rules: rules, ..self }
    }

    /// Who this host is: the same for every process of the database, for as long as that is there.
    pub fn host(&self) -> &HostId {
        &self.host
    }

    /// Whether other hosts may run tasks of the same database: it is on a server.
    pub fn is_shared(&self) -> bool {
        matches!(self.readers, Readers::Postgres(_))
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
        self.notes.flush().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Shows what was counted since the database was opened.
    pub fn show_metrics(&self, page: &mut Page) {
        self.writer.metrics().show(self.writer.waiting(), page);
    }

    /// How many tasks may be open.
    pub(crate) fn admission(&self) -> Admission {
        self.admission
    }

    /// How many results of tools may be kept.
    pub(crate) fn cache_limits(&self) -> CacheLimits {
        self.cache_limits
    }

    /// What the calls of models are governed by.
    pub(crate) fn cost_rules(&self) -> &CostRules {
        &self.cost_rules
    }

    /// How far the claims of this process have come.
    pub(crate) fn rounds(&self) -> &Arc<tokio::sync::Mutex<Rounds>> {
        &self.rounds
    }

    /// The lanes that this process has met.
    pub(crate) fn known_lanes(&self) -> &Known {
        &self.lanes
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

    /// What this process hears of others.
    pub(crate) fn hearing(&self) -> &Arc<Hearing> {
        &self.hearing
    }

    /// Lines of the audit that nobody waits for.
    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Where to write.
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

async fn read_host(connection: &mut Connection<'_>) -> Result<HostId, StoreError> {
    let (host,): (String,) = query("SELECT id FROM host").read_one(connection).await?;
    host.parse().map_err(StoreError::corrupt)
}

/// A source of ids above all that are in the database, even when the clock went back.
async fn continue_ids(connection: &mut Connection<'_>) -> Result<IdSource, StoreError> {
    const LARGEST: &str = "SELECT max(id) FROM \
                           (SELECT max(id) AS id FROM job UNION ALL SELECT max(id) FROM task \
                            UNION ALL SELECT max(id) FROM upload \
                            UNION ALL SELECT max(id) FROM api_token) AS ids";
    let (largest,): (Option<i64>,) = query(LARGEST).read_one(connection).await?;
    let (node,) = query(NODE).read_one(connection).await?;
    let mut source = IdSource::new(row::narrow(node, "node")?);
    // An id is its millisecond, shifted: any id of the next one is larger.
    source.next(Timestamp::from_unix_ms((largest.unwrap_or_default() >> 22) + 1));
    Ok(source)
}
