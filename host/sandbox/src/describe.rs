//! Asks an executor what it is.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::event::LogLine;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::Descriptor;
use serde_json::Value;

use crate::attempt;
use crate::bindings::ExecutorPre;
use crate::bindings::apflow::plugin::types;
use crate::egress::Tls;
use crate::error::SandboxError;
use crate::link::Plugin;
use crate::port::{Checkpoint, CheckpointError, PortFuture, TaskPort};
use crate::state::State;
use crate::trap;

/// The longest that `describe` may take.
const DESCRIBE_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn executor(
    plugin: &Plugin,
    pre: &ExecutorPre<State>,
    tls: &Arc<Tls>,
    manifest: &Manifest,
) -> Result<Descriptor, SandboxError> {
    let mut store = attempt::store(plugin, tls, &Arc::default(), Arc::new(NoTask), DESCRIBE_MAX)
        .map_err(|fault| SandboxError::Undescribed(fault.message))?;
    let calling = async {
        let executor = pre.instantiate_async(&mut store).await?;
        executor.apflow_plugin_run().call_describe(&mut store).await
    };
    let called = tokio::time::timeout(DESCRIBE_MAX, calling).await;
    let described = called.map_err(|_| {
        SandboxError::Undescribed(format!("did not return within {} s", DESCRIBE_MAX.as_secs()))
    })?;
    let described = described.map_err(|error| {
        let state = store.data();
        let breach = state.limiter.breach.as_ref();
        let fault = trap::fault(&error, breach, None, u64::MAX, &state.stderr.take());
        SandboxError::Undescribed(format!("failed: {}", fault.message))
    })?;
    check(described, manifest)
}

/// Refuses a description that contradicts the manifest or holds no schemas.
fn check(described: types::Descriptor, manifest: &Manifest) -> Result<Descriptor, SandboxError> {
    let contradiction = |what: &str, own: &str, said: &str| {
        SandboxError::Undescribed(format!(
            "says that the {what} is `{own}`, but its manifest says `{said}`"
        ))
    };
    if described.id != manifest.name {
        return Err(contradiction("name", &described.id, &manifest.name));
    }
    let version = manifest.version.to_string();
    if described.version != version {
        return Err(contradiction("version", &described.version, &version));
    }
    Ok(Descriptor {
        input_schema: schema("input-schema", &described.input_schema)?,
        output_schema: schema("output-schema", &described.output_schema)?,
        id: described.id,
        name: described.name,
        description: described.description,
        version: described.version,
        tags: described.tags,
    })
}

fn schema(field: &str, text: &str) -> Result<Value, SandboxError> {
    serde_json::from_str(text).map_err(|error| {
        SandboxError::Undescribed(format!("returned a `{field}` that is not JSON: {error}"))
    })
}

/// The port of an instance that works for no task: it refuses everything.
struct NoTask;

impl TaskPort for NoTask {
    fn save_checkpoint(
        &self,
        _: String,
        _: Vec<u8>,
    ) -> PortFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Err(no_task())))
    }

    fn load_checkpoint(&self) -> PortFuture<'_, Result<Option<Checkpoint>, CheckpointError>> {
        Box::pin(std::future::ready(Err(no_task())))
    }

    fn tokens_remaining(&self) -> Option<u64> {
        Some(0)
    }

    fn reserve_tokens(&self, _: u64) -> Result<(), u64> {
        Err(0)
    }

    fn settle_tokens(&self, _: u64, _: u64) {}

    fn log(&self, _: LogLine) {}

    fn progress(&self, _: f64, _: String) {}

    fn denied(&self, _: &str) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn no_task() -> CheckpointError {
    CheckpointError::Unavailable("`describe` works for no task".to_owned())
}
