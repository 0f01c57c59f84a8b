//! The only file that sees every floor: store + sandbox + engine -> verbs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_api::{Api, ApiError};
use apflow_engine::{
    Breakers, Builtin, Components, Consents, DataDir, DispatchLock, Engine, EngineError, Files,
    Settings, SystemClock,
};
use apflow_model::secret::{Destinations, Secret};
use apflow_sandbox::{CodeCache, CompileIn, CompileLimits, PortFuture, Sandbox, SecretSource};
use apflow_store::{Address, Store, StoreError};
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::config::{self, Config};
use crate::first_party;
use crate::secret::Vault;

/// How many instances there is room for beside those of attempts: they describe plugins.
const INSTANCES_SPARE: u32 = 64;

/// A host on a data directory.
pub(crate) struct Host {
    /// Its verbs.
    pub(crate) api: Api,
    engine: Arc<Engine>,
    folder: Dir,
    database: Address,
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
        let consents = Consents::new(folder.try_clone().map_err(unusable)?);
        let cache = CodeCache::open(folder.open_dir("code").map_err(unusable)?);
        let database = address(config).map_err(EngineError::Store)?;
        let mut store = Store::open(&database).await.map_err(EngineError::Store)?;
        if config.file.retention.checkpoints_hours.span().is_some() {
            store = store.keep_checkpoints();
        }
        let clock = Arc::new(SystemClock);
        let breakers = Breakers::new(store.clone(), clock.clone(), config.file.breakers);
        let attempts_max = config.file.attempts_max.unwrap_or_default().0;
        let sandbox = Sandbox::new(apflow_sandbox::Settings {
            instances_max: attempts_max + INSTANCES_SPARE,
            compile_in: compile_in(config.compile_timeout).map_err(unusable)?,
            cache: Some(cache.map_err(EngineError::Sandbox)?),
            environment: config.environment.clone(),
            secrets: Arc::new(Source(config.secrets.clone())),
            gate: breakers.clone(),
        });
        let engine = Engine::new(
            Settings {
                name: name(),
                attempts_max,
                lease: config.file.lease_seconds.unwrap_or_default().span(),
                quarantine: config.file.quarantine.unwrap_or_default(),
                idempotency: config.file.idempotency_hours.unwrap_or_default().duration(),
                concurrency: Arc::new(config.file.concurrency.clone()),
                admission: config.file.admission,
                retention: config.file.retention,
                files: config.file.files,
                tools: config.file.tools,
                ..Settings::default()
            },
            DataDir { store, components, consents, files },
            sandbox.map_err(EngineError::Sandbox)?,
            builtins()?,
            clock,
            breakers,
        );
        engine.follow_clock().await?;
        engine.install_builtins(false).await?;
        Ok(Self { api: Api::new(Arc::clone(&engine)), engine, folder, database })
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

/// What people know this process by: its machine and its number there.
fn name() -> String {
    let machine = Dir::open_ambient_dir("/proc/sys/kernel", ambient_authority())
        .and_then(|folder| folder.read_to_string("hostname"));
    // Elsewhere than on Linux, the number has to do.
    let machine = machine.unwrap_or_default();
    format!("{}/{}", machine.trim(), std::process::id())
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
    installed.map(|plugin| Builtin::new(plugin.component, &plugin.definition())).collect()
}
