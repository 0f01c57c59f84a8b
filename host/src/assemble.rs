//! The only file that sees every floor: store + sandbox + engine -> verbs.

use std::sync::Arc;

use apflow_api::{Api, ApiError};
use apflow_engine::{
    Builtin, Components, Consents, DispatchLock, Engine, EngineError, Settings, SystemClock,
};
use apflow_sandbox::{CodeCache, Sandbox};
use apflow_store::Store;
use cap_std::fs::Dir;

use crate::config::{self, Config};
use crate::first_party;

/// How many attempts run at once: enough to keep the machine busy while some wait for the network.
const ATTEMPTS_MAX: u32 = 64;
/// How many instances there is room for: every attempt, and those that describe plugins.
const INSTANCES_MAX: u32 = 128;

/// A host on a data directory.
pub(crate) struct Host {
    /// Its verbs.
    pub(crate) api: Api,
    engine: Arc<Engine>,
    folder: Dir,
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
        let consents = Consents::new(folder.try_clone().map_err(unusable)?);
        let cache = CodeCache::open(folder.open_dir("code").map_err(unusable)?);
        let sandbox = Sandbox::new(apflow_sandbox::Settings {
            instances_max: INSTANCES_MAX,
            cache: Some(cache.map_err(EngineError::Sandbox)?),
            environment: config.environment.clone(),
        });
        let store = Store::open(&path.join("apflow.db")).await.map_err(EngineError::Store)?;
        let engine = Engine::new(
            Settings { attempts_max: ATTEMPTS_MAX, ..Settings::default() },
            store,
            sandbox.map_err(EngineError::Sandbox)?,
            (components, consents),
            builtins()?,
            Arc::new(SystemClock),
        );
        engine.install_builtins(false).await?;
        Ok(Self { api: Api::new(Arc::clone(&engine)), engine, folder })
    }

    /// Dispatches tasks from now on, as the only host of the data directory.
    pub(crate) async fn start(&self) -> Result<(), ApiError> {
        let lock = DispatchLock::acquire(&self.folder)?;
        self.engine.install_builtins(true).await?;
        Ok(self.engine.start(lock).await?)
    }
}

fn builtins() -> Result<Vec<Builtin>, EngineError> {
    let installed = first_party::INSTALLED.iter();
    installed.map(|plugin| Builtin::new(plugin.component, plugin.manifest)).collect()
}
