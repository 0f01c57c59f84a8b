//! The engine as the verbs see it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::clock::{Clock, Timestamp};
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Job;
use apflow_model::retention::Retention;
use apflow_model::state::JobState;
use apflow_sandbox::{Sandbox, Stop};
use apflow_store::{JobFilter, JobPage, Store};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, Notify, RwLock, broadcast};
use tokio::task::{JoinHandle, JoinSet};

use crate::builtin::Builtin;
use crate::components::Components;
use crate::consents::Consents;
use crate::error::EngineError;
use crate::files::Files;
use crate::lock::DispatchLock;
use crate::registry::Registry;
use crate::watch::{Hub, Live};

/// How often a waiting caller looks a job up, in case it missed the news of its end.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What an engine is made with.
pub struct Settings {
    /// How many attempts may run at once, from 1.
    pub attempts_max: u32,
    /// The longest that [`Engine::close`] waits for running attempts.
    pub grace: Duration,
    /// The most bytes that one uploaded file may have.
    pub upload_bytes_max: u64,
    /// How long what is over is kept.
    pub retention: Retention,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts_max: 64,
            grace: Duration::from_secs(10),
            upload_bytes_max: 1 << 30,
            retention: Retention::default(),
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
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) hub: Hub,
    /// Rung when there may be something to dispatch.
    pub(crate) bell: Notify,
    /// The attempts that run here, to be stopped when their job is cancelled.
    pub(crate) running: std::sync::Mutex<HashMap<(TaskId, u32), Stop>>,
    pub(crate) dispatcher: Mutex<Option<Dispatcher>>,
}

/// The task that dispatches, while it runs.
pub(crate) struct Dispatcher {
    pub(crate) stop: Arc<Notify>,
    pub(crate) running: JoinHandle<()>,
    pub(crate) background: JoinSet<()>,
    pub(crate) lock: DispatchLock,
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
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            store,
            sandbox: Arc::new(sandbox),
            components,
            files: Arc::new(files),
            uploading: RwLock::new(()),
            consents,
            clock,
            registry: Registry::new(builtins),
            hub: Hub::new(),
            bell: Notify::new(),
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
        let mut news = self.hub.subscribe();
        loop {
            match self.store.job_state(id).await? {
                None => return Ok(None),
                Some(state) if state.is_end() => return Ok(self.store.find_job(id).await?),
                Some(_) => {}
            }
            let ended = async {
                loop {
                    match news.recv().await {
                        Ok(Live::JobEnded { job, .. }) if job == id => return,
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => std::future::pending().await,
                    }
                }
            };
            // Running out of time is fine: the loop looks again.
            drop(tokio::time::timeout(LOOK_AGAIN, ended).await);
        }
    }

    /// Where a job stands. None when there is no such job.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn job_state(&self, id: JobId) -> Result<Option<JobState>, EngineError> {
        Ok(self.store.job_state(id).await?)
    }

    /// Listens to what happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Live> {
        self.hub.subscribe()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
