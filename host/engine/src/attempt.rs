//! One attempt: everything between the claim of a task and its settlement.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::plugin::Plugin;
use apflow_model::reference;
use apflow_model::usage::Usage;
use apflow_sandbox::{Call, Ended, TaskPort};
use apflow_store::Claimed;
use serde_json::Value;

use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::port::Port;
use crate::registry::ReadyPlugin;
use crate::{schema, settle};

/// How often what a running command writes is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How often it is told, for each time that all that has happened is stored: every 500 ms.
const TELLS_PER_STORE: u32 = 5;

/// Runs a claimed task and settles it.
pub(crate) async fn run(engine: &Arc<Engine>, claimed: &Claimed) {
    let port = Arc::new(Port::new(engine, claimed));
    let ended = match prepare(engine, claimed).await {
        Ok(prepared) => match guard(engine, claimed, &prepared, &port).await {
            Some(ended) => ended,
            None => return,
        },
        Err(fault) => Ended { result: Err(fault), usage: Usage::default() },
    };
    settle::settle(engine, claimed, ended, port.take_events()).await;
}

/// What an attempt is run with.
struct Prepared {
    plugin: Arc<ReadyPlugin>,
    inputs: Value,
    granted: Arc<[Grant]>,
}

/// Finds the plugin of an attempt, its inputs, and what it is granted at this moment.
async fn prepare(engine: &Arc<Engine>, claimed: &Claimed) -> Result<Prepared, Fault> {
    let plugin = engine.ready_plugin(&claimed.executor).await.and_then(|plugin| {
        plugin.ok_or_else(|| EngineError::UnknownPlugin(claimed.executor.clone()))
    });
    let plugin = plugin.map_err(|error| unusable(claimed, &error))?;
    let inputs = resolve(engine, claimed).await?;
    if let Some((at, message)) = schema::violation(&plugin.input, &inputs) {
        let message = format!("inputs{at}: {message}");
        return Err(Fault::new(FaultCode::InvalidInput, message));
    }
    let granted = granted(engine, claimed, &plugin.plugin)?;
    Ok(Prepared { plugin, inputs, granted })
}

/// What the lock grants the plugin, and the operator this job alone.
fn granted(engine: &Engine, claimed: &Claimed, plugin: &Plugin) -> Result<Arc<[Grant]>, Fault> {
    let locked = match engine.consents.granted(plugin) {
        Ok(granted) => granted,
        // Whoever needs no grant is not held up by a lock that nobody can read.
        Err(_) if !plugin.manifest.capabilities.needs_grants() => Vec::new(),
        Err(EngineError::InvalidLock { file, faults }) => {
            let fault = faults.first().map(|fault| format!(": {fault}")).unwrap_or_default();
            let message = format!("nothing is granted while `{file}` is not valid{fault}");
            return Err(Fault::new(FaultCode::CapabilityDenied, message));
        }
        Err(error) => return Err(unusable(claimed, &error)),
    };
    Ok(locked.iter().chain(&claimed.grants).cloned().collect())
}

/// A plugin that is gone or broken stays so; trouble of the host's own may pass.
fn unusable(claimed: &Claimed, error: &EngineError) -> Fault {
    let executor = &claimed.executor;
    if error.is_own() {
        tracing::error!(task = %claimed.task, executor, error = chain(error), "no plugin");
        let message = format!("the host could not make `{executor}` ready");
        return Fault::new(FaultCode::Retryable, message);
    }
    let message = format!("`{executor}` cannot be used: {}", chain(error));
    Fault::new(FaultCode::PluginUnavailable, message)
}

/// Puts the outputs of dependencies where the inputs refer to them.
async fn resolve(engine: &Engine, claimed: &Claimed) -> Result<Value, Fault> {
    let has_references = reference::find(&claimed.inputs).is_ok_and(|found| !found.is_empty());
    if !has_references {
        return Ok(claimed.inputs.clone());
    }
    let outputs = engine.store.dependency_outputs(claimed.task).await.map_err(|error| {
        tracing::error!(task = %claimed.task, error = chain(&error), "no outputs");
        Fault::new(FaultCode::Retryable, "the host could not read the outputs of dependencies")
    })?;
    let output = |task: &str| outputs.get(task).and_then(Option::as_ref);
    reference::resolve(claimed.inputs.clone(), &output)
        .map_err(|fault| Fault::new(FaultCode::ReferenceUnresolved, format!("inputs{fault}")))
}

/// Runs the guest, and meanwhile stores what it logs. None when the attempt was lost on the way:
/// dropping its future stops the guest.
async fn guard(
    engine: &Engine,
    claimed: &Claimed,
    prepared: &Prepared,
    port: &Arc<Port>,
) -> Option<Ended> {
    let Prepared { plugin, inputs, granted } = prepared;
    let (task_id, job_id) = (claimed.task.to_string(), claimed.job.to_string());
    let call = Call {
        task_id: &task_id,
        job_id: &job_id,
        attempt: claimed.attempt,
        model: claimed.model.as_deref(),
        input: inputs,
        timeout: claimed.timeout,
        granted: Arc::clone(granted),
        narrowed: claimed.allow.clone().map(Arc::from),
    };
    let task_port: Arc<dyn TaskPort> = Arc::clone(port) as Arc<dyn TaskPort>;
    let storing = async {
        loop {
            for _ in 0..TELLS_PER_STORE {
                tokio::time::sleep(TELL_EVERY).await;
                port.tell_written();
            }
            if !port.store_events().await {
                return;
            }
        }
    };
    let ended = tokio::select! {
        ended = engine.sandbox.run(&plugin.program, call, task_port) => ended,
        () = storing => {
            tracing::warn!(task = task_id, attempt = claimed.attempt, "the attempt was lost");
            return None;
        }
    };
    Some(check_output(plugin, ended))
}

/// Refuses an output that the executor's own schema does not allow.
fn check_output(plugin: &ReadyPlugin, ended: Ended) -> Ended {
    let Ok(output) = &ended.result else { return ended };
    let Some((at, message)) = schema::violation(&plugin.output, output) else { return ended };
    let message = format!("the output does not match its own schema: output{at}: {message}");
    Ended { result: Err(Fault::new(FaultCode::Permanent, message)), ..ended }
}
