//! The only file that sees every floor: store + sandbox + engine -> verbs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_api::{Api, ApiError};
use apflow_engine::{
    Breakers, Builtin, Components, Consents, DataDir, DispatchLock, Engine, EngineError, Files,
    Live, Post, SystemClock,
};
use apflow_model::clock::Clock;
use apflow_model::cost_policy::CostRules;
use apflow_model::provider;
use apflow_model::secret::{Destinations, Secret};
use apflow_sandbox::{
    CodeCache, CompileIn, CompileLimits, OwnClient, PortFuture, Sandbox, SecretSource,
};
use apflow_store::{Address, Store, StoreError};
use cap_std::fs::Dir;
use tokio::task::JoinSet;

use crate::config::{self, Config, ConfigFile};
use crate::first_party::{self, FirstParty};
use crate::http::Fetch;
use crate::policies;
use crate::reload::Reloads;
use crate::secret::Vault;
use crate::settings::Settings;
use crate::telemetry::{self, spans};
use crate::webhook::{Signer, WebhookSecret};

/// How many instances there is room for beside those of attempts: they describe plugins.
const INSTANCES_SPARE: u32 = 64;

/// The most that a provider of identities may answer, in bytes.
const FETCH_BYTES_MAX: usize = 1 << 20;
/// How long it may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long whoever is notified of something may take to answer.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// A host on a data directory.
pub(crate) struct Host {
    /// Its verbs.
    pub(crate) api: Api,
    engine: Arc<Engine>,
    folder: Dir,
    database: Address,
    /// Ends with it.
    _following: JoinSet<()>,
}

impl Host {
    /// Opens a host, does something with it, and closes it whatever came of that.
    pub(crate) async fn with<T, E: From<ApiError>>(
        config: &Config,
        work: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let host = Self::open(config).await?;
        let done = work(&host).await;
        host.engine.close().await;
        done
    }

    /// Opens the data directory, and makes it when it is not there.
    async fn open(config: &Config) -> Result<Self, ApiError> {
        let path = &config.data_dir;
        let unusable = |source| EngineError::DataDir { what: path.display().to_string(), source };
        let folder = config::open_folder(path).map_err(unusable)?;
        folder.create_dir_all("plugins").map_err(unusable)?;
        folder.create_dir_all("code").map_err(unusable)?;
        let components = Components::new(folder.open_dir("plugins").map_err(unusable)?);
        let files = Files::open(&folder, path).map_err(unusable)?;
        let consents = Consents::new(folder.try_clone().map_err(unusable)?)
            .granting(provider::EXECUTOR, config.models.providers.grants());
        let cache = CodeCache::open(folder.open_dir("code").map_err(unusable)?);
        let database = address(config).map_err(EngineError::Store)?;
        let mut store = Store::open(&database).await.map_err(EngineError::Store)?;
        if config.file.retention.checkpoints_hours.span().is_some() {
            store = store.keep_checkpoints();
        }
        let clock = Arc::new(SystemClock);
        let breakers = Breakers::new(store.clone(), clock.clone(), config.file.breakers);
        let attempts_max = config.file.attempts_max.0;
        let sandbox = Sandbox::new(apflow_sandbox::Settings {
            instances_max: attempts_max + INSTANCES_SPARE,
            compile_in: compile_in(config.compile_timeout).map_err(unusable)?,
            cache: Some(cache.map_err(EngineError::Sandbox)?),
            environment: config.environment.clone(),
            secrets: Arc::new(Source(config.secrets.clone())),
            gate: breakers.clone(),
        });
        let engine = Engine::new(
            apflow_engine::Settings {
                name: telemetry::name(),
                attempts_max,
                grace: config.file.http.drain_seconds.seconds(),
                lease: config.file.lease_seconds.span(),
                admission: config.file.admission,
                live: live(&config.file),
                files: config.file.files,
                tools: config.file.tools,
                audit: config.file.audit,
                policies: Arc::clone(&config.policies),
                cost: CostRules { pricing: config.models.pricing(), ..CostRules::default() },
                post: Some(webhooks(config.file.webhook_secret.as_ref())),
                trace: config.file.telemetry.propagate.then_some(spans::current),
            },
            DataDir { store, components, consents, files },
            sandbox.map_err(EngineError::Sandbox)?,
            builtins()?,
            clock,
            breakers,
        );
        engine.follow_clock().await?;
        engine.read_cost_policies().await?;
        engine.install_builtins(false).await?;
        let mut following = JoinSet::new();
        following.spawn(policies::follow(config.settings_dir.clone(), config.policies.clone()));
        let api = Api::new(Arc::clone(&engine));
        Ok(Self { api, engine, folder, database, _following: following })
    }

    /// Dispatches tasks from now on: as the only host of a database in a file and of its data
    /// directory, or as one of any number on a server.
    pub(crate) async fn start(&self) -> Result<(), ApiError> {
        let lock = match &self.database {
            Address::File(path) => Some(self.lock(path)?),
            Address::Server(_) => None,
        };
        self.engine.install_builtins(true).await?;
        Ok(self.engine.start(lock).await?)
    }

    /// What can be reloaded of it.
    pub(crate) fn reloads(&self, config: &Config) -> Arc<Reloads> {
        let engine = Arc::clone(&self.engine);
        let settings = Settings::new(config, move |file: &ConfigFile| engine.adopt(live(file)));
        Arc::new(Reloads::new(vec![Box::new(settings)]))
    }

    /// Takes no more jobs in, and waits for running attempts. What there is can be read until the
    /// host is closed.
    pub(crate) async fn drain(&self) {
        self.engine.drain().await;
    }

    /// Stops the attempts that are waited for.
    pub(crate) fn hurry(&self) {
        self.engine.hurry();
    }

    fn lock(&self, database: &Path) -> Result<DispatchLock, EngineError> {
        let lock = DispatchLock::acquire(&self.folder)?;
        let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else {
            return Ok(lock);
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let unusable = |source| EngineError::DataDir { what: folder.display().to_string(), source };
        let folder = config::open_folder(folder).map_err(unusable)?;
        lock.and_database(&folder, &name.to_string_lossy())
    }
}

/// The settings that the engine takes anew while it works.
fn live(file: &ConfigFile) -> Live {
    Live {
        concurrency: Arc::new(file.concurrency.clone()),
        idempotency: file.idempotency_hours.duration(),
        quarantine: file.quarantine,
        retention: file.retention,
    }
}

/// Whether no other process runs the tasks of the data directory.
pub(crate) fn is_free(config: &Config) -> bool {
    let folder = config::open_folder(&config.data_dir);
    folder.is_ok_and(|folder| DispatchLock::acquire(&folder).is_ok())
}

/// How the host asks a provider of identities for its keys.
pub(crate) fn fetch() -> Fetch {
    let client = OwnClient::default();
    Arc::new(move |url| {
        let client = client.clone();
        Box::pin(async move {
            let got = client.get(&url, FETCH_BYTES_MAX, FETCH_TIMEOUT).await;
            got.map(Vec::from).map_err(|error| format!("`{url}`: {error}"))
        })
    })
}

/// How the host posts what cost policies notify of. Where it goes, a policy says, which the operator
/// wrote: so private addresses are fine.
fn webhooks(secret: Option<&WebhookSecret>) -> Post {
    let (client, signer) = (OwnClient::default(), Signer::new(secret));
    Arc::new(move |call| {
        let (client, headers) = (client.clone(), signer.headers(&call, SystemClock.now()));
        Box::pin(async move {
            let posted = client.post(&call.url, &headers, call.body.into(), POST_TIMEOUT).await;
            posted.map_err(|error| error.to_string())
        })
    })
}

/// The vault as the sandbox asks for it.
struct Source(Vault);

impl SecretSource for Source {
    fn destinations(&self, name: &str) -> Option<&Destinations> {
        self.0.find(name).map(|rule| &rule.to)
    }

    fn read<'a>(&'a self, name: &'a str) -> PortFuture<'a, Result<Secret, String>> {
        Box::pin(self.0.read(name))
    }
}

/// Lets this program compile in a process of its own.
pub(crate) fn compile_in(timeout: Duration) -> io::Result<CompileIn> {
    // Where the system names the running program itself, an update of its file does not matter.
    let program = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe()?
    };
    let limits = CompileLimits { timeout, ..CompileLimits::default() };
    Ok(CompileIn::Child { program, limits })
}

/// Where the database is: where the operator says, else in the data directory.
pub(crate) fn address(config: &Config) -> Result<Address, StoreError> {
    match &config.database_url {
        Some(url) => Ok(url.parse::<Address>()?),
        None => Ok(Address::File(config.data_dir.join("apflow.db"))),
    }
}

fn builtins() -> Result<Vec<Builtin>, EngineError> {
    let installed = first_party::INSTALLED.iter().chain(&first_party::TOOLS);
    let made =
        |plugin: &FirstParty| Builtin::new(plugin.component, plugin.digest, &plugin.definition());
    installed.map(made).collect()
}
