//! The engine as the verbs see it.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_model::audit::AuditRules;
use apflow_model::breaker::BreakerKey;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::concurrency::Admission;
use apflow_model::cost_policy::CostRules;
use apflow_model::file_settings::FileSettings;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Job;
use apflow_model::lease::LeaseSeconds;
use apflow_model::policies::CurrentPolicies;
use apflow_model::tool_settings::ToolSettings;
use apflow_model::trace::TraceContext;
use apflow_model::visible::Visible;
use apflow_sandbox::{Sandbox, Stop, StopReason};
use apflow_store::{JobFilter, JobPage, Store};
use tokio::sync::{Mutex, Notify, RwLock, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use crate::breakers::{Breakers, ListedBreaker};
use crate::builtin::Builtin;
use crate::clock::SharedClock;
use crate::components::Components;
use crate::consents::Consents;
use crate::eager::Starter;
use crate::error::EngineError;
use crate::files::Files;
use crate::hub::Hub;
use crate::live::Live;
use crate::lock::DispatchLock;
use crate::looks::Looks;
use crate::metrics::Metrics;
use crate::newcomers::Newcomers;
use crate::purse::Purse;
use crate::rates::Rates;
use crate::registry::Registry;
use crate::remembered::Remembered;
use crate::stage::Drain;
use crate::webhook::Post;

/// What an engine is made with.
pub struct Settings {
    /// Which host this is, for people.
    pub name: String,
    /// How many attempts may run at once, from 1.
    pub attempts_max: u32,
    /// The longest that [`Engine::drain`] waits for running attempts.
    pub grace: Duration,
    /// How much callers may upload.
    pub files: FileSettings,
    /// How many tasks may be open.
    pub admission: Admission,
    /// How long its tasks stay its own after it was last heard of.
    pub lease: Duration,
    /// What is taken anew while it works.
    pub live: Live,
    /// How tools are taken care of.
    pub tools: ToolSettings,
    /// What is written into the audit, and how long it is kept.
    pub audit: AuditRules,
    /// What roles may do, at each moment.
    pub policies: Arc<CurrentPolicies>,
    /// What the calls of models are governed by. The policies in force are put there: those of
    /// `policies`, and those of the database.
    pub cost: CostRules,
    /// Posts what cost policies notify of. None where nobody is told.
    pub post: Option<Post>,
    /// Tells where the current span stands, for the HTTP requests of guests. None where they do not
    /// say so.
    pub trace: Option<fn() -> Option<TraceContext>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            attempts_max: 128,
            grace: Duration::from_secs(10),
            files: FileSettings::default(),
            lease: LeaseSeconds::default().span(),
            admission: Admission::default(),
            live: Live::default(),
            tools: ToolSettings::default(),
            audit: AuditRules::default(),
            policies: Arc::default(),
            cost: CostRules::default(),
            post: None,
            trace: None,
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
    pub(crate) live: std::sync::RwLock<Arc<Live>>,
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
    /// What this process holds of budgets.
    pub(crate) purse: Arc<Purse>,
    pub(crate) rates: Rates,
    pub(crate) looks: Looks,
    /// The tokens that callers showed lately.
    pub(crate) remembered: Remembered,
    pub(crate) hub: Hub,
    /// The jobs that were taken in last.
    pub(crate) newcomers: Newcomers,
    pub(crate) metrics: Metrics,
    /// Rung when there may be something to dispatch.
    pub(crate) bell: Notify,
    /// One for each attempt that may run.
    pub(crate) places: Arc<Semaphore>,
    /// The attempts that run here, to be stopped when their job is cancelled.
    running: std::sync::Mutex<HashMap<(TaskId, u32), Stop>>,
    pub(crate) dispatcher: Mutex<Option<Dispatcher>>,
    starter: std::sync::Mutex<Option<Starter>>,
    /// None where the database is on a server, which any number of hosts share.
    pub(crate) lock: Mutex<Option<DispatchLock>>,
    pub(crate) drain: Drain,
}

/// The task that dispatches, while it runs.
pub(crate) struct Dispatcher {
    pub(crate) stop: Arc<Notify>,
    pub(crate) running: JoinHandle<()>,
    pub(crate) background: JoinSet<()>,
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
            store: store
                .admitting(settings.admission)
                .caching(settings.tools.cache)
                .governed_by(settings.cost.clone()),
            live: std::sync::RwLock::new(Arc::new(settings.live.clone())),
            settings,
            sandbox: Arc::new(sandbox),
            components,
            files: Arc::new(files),
            uploading: RwLock::new(()),
            consents,
            clock: Arc::new(SharedClock::new(clock)),
            registry: Registry::new(builtins),
            breakers,
            purse: Arc::default(),
            rates: Rates::default(),
            looks: Looks::default(),
            remembered: Remembered::default(),
            hub: Hub::default(),
            newcomers: Newcomers::default(),
            metrics: Metrics::default(),
            bell: Notify::new(),
            places,
            running: std::sync::Mutex::default(),
            dispatcher: Mutex::default(),
            starter: std::sync::Mutex::default(),
            lock: Mutex::default(),
            drain: Drain::default(),
        })
    }

    /// Whether work can be taken in and ended: the host stays, and the database can be written.
    ///
    /// # Errors
    ///
    /// [`EngineError::Draining`] once the host is about to end, [`EngineError::Store`] as long as the
    /// database cannot be written. That passes by itself.
    pub fn check(&self) -> Result<(), EngineError> {
        self.admit_jobs()?;
        self.store.trouble().map_or(Ok(()), |trouble| Err(trouble.into()))
    }

    /// Counts the installed plugins, and those of them that are quarantined.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database cannot be read.
    pub async fn count_plugins(&self) -> Result<(u64, u64), EngineError> {
        let counts = self.store.count_plugins().await?;
        Ok((counts.all, counts.quarantined))
    }

    /// Finds a job with its tasks. None when there is none that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn find_job(
        &self,
        id: JobId,
        visible: Visible<'_>,
    ) -> Result<Option<Job>, EngineError> {
        Ok(self.store.find_job(id).await?.filter(|job| visible.shows(&job.principal)))
    }

    /// Lists the jobs that are seen, newest first. `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_jobs(
        &self,
        mut filter: JobFilter,
        before: Option<JobId>,
        limit: u32,
        visible: Visible<'_>,
    ) -> Result<JobPage, EngineError> {
        let Ok(principal) = visible.narrow(filter.principal) else {
            return Ok(JobPage { jobs: Vec::new(), next: None });
        };
        filter.principal = principal;
        Ok(self.store.list_jobs(&filter, before, limit).await?)
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
        Ok(self.breakers.reset(key).await?)
    }

    /// Forgets all that is known against anything. Answers how many breakers there were.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn reset_breakers(&self) -> Result<u64, EngineError> {
        Ok(self.breakers.reset_all().await?)
    }

    /// Takes settings anew. What was begun by the old ones goes on by them.
    pub fn adopt(&self, live: Live) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        // A limit may have been lifted that tasks waited for.
        self.bell.notify_one();
    }

    /// The settings of this moment.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The present moment, the same on every host of the database.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who begins attempts without a claim. None while no tasks are run here.
    pub(crate) fn starter(&self) -> MutexGuard<'_, Option<Starter>> {
        self.starter.lock().unwrap_or_else(PoisonError::into_inner)
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
