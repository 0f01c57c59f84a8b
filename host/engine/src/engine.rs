//! The engine as the verbs see it.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_model::breaker::BreakerKey;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::concurrency::{Admission, Concurrency};
use apflow_model::file_settings::FileSettings;
use apflow_model::id::{JobId, TaskId};
use apflow_model::idempotency::IdempotencyHours;
use apflow_model::job::Job;
use apflow_model::lease::LeaseSeconds;
use apflow_model::quarantine::QuarantineRule;
use apflow_model::retention::Retention;
use apflow_model::tool_settings::ToolSettings;
use apflow_sandbox::{Sandbox, Stop, StopReason};
use apflow_store::{JobFilter, JobPage, Store};
use tokio::sync::{Mutex, Notify, RwLock, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use crate::breakers::{Breakers, ListedBreaker};
use crate::builtin::Builtin;
use crate::clock::SharedClock;
use crate::components::Components;
use crate::consents::Consents;
use crate::error::EngineError;
use crate::files::Files;
use crate::hub::Hub;
use crate::lock::DispatchLock;
use crate::looks::Looks;
use crate::registry::Registry;

/// How often a waiting caller looks a job up, in case it missed the news of its end.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What an engine is made with.
pub struct Settings {
    /// Which host this is, for people.
    pub name: String,
    /// How many attempts may run at once, from 1.
    pub attempts_max: u32,
    /// The longest that [`Engine::close`] waits for running attempts.
    pub grace: Duration,
    /// How much callers may upload.
    pub files: FileSettings,
    /// How long an idempotency key stands for its job.
    pub idempotency: Duration,
    /// How many tasks may run at once, on all hosts of the database together.
    pub concurrency: Arc<Concurrency>,
    /// How many tasks may be open.
    pub admission: Admission,
    /// How long its tasks stay its own after it was last heard of.
    pub lease: Duration,
    /// When a component is not run any more because hosts ended while it ran.
    pub quarantine: QuarantineRule,
    /// How long what is over is kept.
    pub retention: Retention,
    /// How tools are taken care of.
    pub tools: ToolSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            attempts_max: 128,
            grace: Duration::from_secs(10),
            files: FileSettings::default(),
            lease: LeaseSeconds::default().span(),
            quarantine: QuarantineRule::default(),
            idempotency: IdempotencyHours::default().duration(),
            concurrency: Arc::default(),
            admission: Admission::default(),
            retention: Retention::default(),
            tools: ToolSettings::default(),
        }
    }
}

/// What an engine keeps.
pub struct DataDir {
    /// The database.
    pub store: Store,
    /// The components of plugins.
    pub components: Components,
    /// What each plugin is granted.
    pub consents: Consents,
    /// The files of callers and tasks.
    pub files: Files,
}

/// Runs jobs.
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) components: Components,
    pub(crate) files: Arc<Files>,
    /// Held to read while an upload gets its row, and to write while uploads are removed.
    pub(crate) uploading: RwLock<()>,
    pub(crate) consents: Consents,
    pub(crate) clock: Arc<SharedClock>,
    pub(crate) registry: Registry,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) looks: Looks,
    pub(crate) hub: Hub,
    /// Rung when there may be something to dispatch.
    pub(crate) bell: Notify,
    /// One for each attempt that may run.
    pub(crate) places: Arc<Semaphore>,
    /// The attempts that run here, to be stopped when their job is cancelled.
    running: std::sync::Mutex<HashMap<(TaskId, u32), Stop>>,
    pub(crate) dispatcher: Mutex<Option<Dispatcher>>,
}

/// The task that dispatches, while it runs.
pub(crate) struct Dispatcher {
    pub(crate) stop: Arc<Notify>,
    pub(crate) running: JoinHandle<()>,
    pub(crate) background: JoinSet<()>,
    /// None where the database is on a server, which any number of hosts share.
    pub(crate) lock: Option<DispatchLock>,
}

impl Engine {
    /// Makes an engine. It installs nothing before [`Engine::install_builtins`] and dispatches
    /// nothing before [`Engine::start`].
    pub fn new(
        settings: Settings,
        DataDir { store, components, consents, files }: DataDir,
        sandbox: Sandbox,
        builtins: Vec<Builtin>,
        clock: Arc<dyn Clock>,
        breakers: Arc<Breakers>,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(settings.attempts_max as usize));
        Arc::new(Self {
            store: store.admitting(settings.admission).caching(settings.tools.cache),
            settings,
            sandbox: Arc::new(sandbox),
            components,
            files: Arc::new(files),
            uploading: RwLock::new(()),
            consents,
            clock: Arc::new(SharedClock::new(clock)),
            registry: Registry::new(builtins),
            breakers,
            looks: Looks::default(),
            hub: Hub::default(),
            bell: Notify::new(),
            places,
            running: std::sync::Mutex::default(),
            dispatcher: Mutex::default(),
        })
    }

    /// Whether work can be taken in and ended: the database can be written.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] as long as it cannot. It passes by itself.
    pub fn check(&self) -> Result<(), EngineError> {
        self.store.trouble().map_or(Ok(()), |trouble| Err(trouble.into()))
    }

    /// Finds a job with its tasks.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>, EngineError> {
        Ok(self.store.find_job(id).await?)
    }

    /// Lists jobs, newest first. `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_jobs(
        &self,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, EngineError> {
        Ok(self.store.list_jobs(filter, before, limit).await?)
    }

    /// Waits until a job has ended.
    ///
    /// None when there is no such job.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn wait(&self, id: JobId) -> Result<Option<Job>, EngineError> {
        let end = self.hub.end_of(id);
        loop {
            // From here on the end is heard, so none slips by between the look and the wait.
            let ended = end.bell.notified();
            match self.store.job_state(id).await? {
                None => return Ok(None),
                Some(state) if state.is_end() => return Ok(self.store.find_job(id).await?),
                Some(_) => {}
            }
            // Running out of time is fine: the loop looks again.
            drop(tokio::time::timeout(LOOK_AGAIN, ended).await);
        }
    }

    /// Lists the breakers that are open or have counted failures, by key.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_breakers(&self) -> Result<Vec<ListedBreaker>, EngineError> {
        Ok(self.breakers.list().await?)
    }

    /// Forgets all that is known against what a breaker guards. False when there was nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn reset_breaker(&self, key: &BreakerKey) -> Result<bool, EngineError> {
        let is_reset = self.breakers.reset(key).await?;
        self.bell.notify_one();
        Ok(is_reset)
    }

    /// Forgets all that is known against anything. Answers how many breakers there were.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn reset_breakers(&self) -> Result<u64, EngineError> {
        let count = self.breakers.reset_all().await?;
        self.bell.notify_one();
        Ok(count)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The attempts that run here, to be stopped when they shall not go on.
    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<(TaskId, u32), Stop>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops every attempt that runs here.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        self.running().values().for_each(|stop| stop.now(reason));
    }
}
