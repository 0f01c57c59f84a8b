//! Makes installed plugins ready to run.

use std::borrow::Cow;
use std::sync::Arc;

use apflow_model::plugin::{Digest, Plugin};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::ReadyPlugin;

impl Engine {
    /// Makes an installed plugin ready to run. None when there is none of this name.
    pub(crate) async fn ready_plugin(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Option<Arc<ReadyPlugin>>, EngineError> {
        let Some(installed) = self.store.find_plugin(name).await? else {
            self.registry.forget(name);
            return Ok(None);
        };
        if let Some(ready) = self.registry.find(&installed) {
            return Ok(Some(ready));
        }
        let _making = self.registry.making.lock().await;
        if let Some(ready) = self.registry.find(&installed) {
            return Ok(Some(ready));
        }
        let engine = Arc::clone(self);
        let making = tokio::task::spawn_blocking(move || engine.make_ready(installed));
        Ok(Some(making.await??))
    }

    fn make_ready(&self, installed: Plugin) -> Result<Arc<ReadyPlugin>, EngineError> {
        let file = format!("the component of `{}`", installed.manifest.name);
        let refused = |source| EngineError::of_component(&file, source);
        let bytes = self.component_bytes(&installed.digest)?;
        if apflow_sandbox::digest(&bytes) != installed.digest {
            return Err(EngineError::ChangedComponent(installed.manifest.name));
        }
        let fuel = installed.manifest.limits.fuel.is_some();
        let compiled = self.sandbox.compile(&bytes, fuel).map_err(refused)?;
        let program = self.sandbox.link(&compiled, &installed.manifest).map_err(refused)?;
        Ok(self.registry.put(ReadyPlugin::new(installed, program)?))
    }

    fn component_bytes(&self, digest: &Digest) -> Result<Cow<'static, [u8]>, EngineError> {
        match self.registry.builtins.iter().find(|builtin| builtin.digest == *digest) {
            Some(builtin) => Ok(builtin.component.into()),
            None => Ok(self.components.read(digest)?.into()),
        }
    }
}
