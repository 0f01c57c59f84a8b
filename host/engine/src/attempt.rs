//! One attempt: everything between the claim of a task and its settlement.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::fault::{Fault, FaultCode};
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

/// How often what a running attempt logs is stored.
const STORE_EVERY: Duration = Duration::from_millis(500);

/// Runs a claimed task and settles it.
pub(crate) async fn run(engine: Arc<Engine>, claimed: Claimed) {
    let port = Arc::new(Port::new(&engine, &claimed));
    let ended = match prepare(&engine, &claimed).await {
        Ok((plugin, inputs)) => match guard(&engine, &claimed, &plugin, &inputs, &port).await {
            Some(ended) => ended,
            None => return,
        },
        Err(fault) => Ended { result: Err(fault), usage: Usage::default() },
    };
    settle::settle(&engine, claimed, ended, port.take_events()).await;
}

/// Finds the plugin and the inputs of an attempt.
async fn prepare(
    engine: &Arc<Engine>,
    claimed: &Claimed,
) -> Result<(Arc<ReadyPlugin>, Value), Fault> {
    let unavailable = |error: &EngineError| {
        let message = format!("`{}` cannot be used: {}", claimed.executor, chain(error));
        Fault::new(FaultCode::PluginUnavailable, message)
    };
    let plugin =
        engine.ready_plugin(&claimed.executor).await.map_err(|error| unavailable(&error))?;
    let plugin =
        plugin.ok_or_else(|| unavailable(&EngineError::UnknownPlugin(claimed.executor.clone())))?;
    let outputs = engine.store.dependency_outputs(claimed.task).await;
    let outputs = outputs.map_err(|error| {
        let message = format!("the outputs of dependencies cannot be read: {}", chain(&error));
        Fault::new(FaultCode::Retryable, message)
    })?;
    let output = |task: &str| outputs.get(task).cloned().flatten();
    let inputs = reference::resolve(claimed.inputs.clone(), &output)
        .map_err(|fault| Fault::new(FaultCode::ReferenceUnresolved, format!("inputs{fault}")))?;
    if let Some((at, message)) = schema::violation(&plugin.input, &inputs) {
        let message = format!("inputs{at}: {message}");
        return Err(Fault::new(FaultCode::InvalidInput, message));
    }
    Ok((plugin, inputs))
}

/// Runs the guest, and meanwhile stores what it logs. None when the attempt was lost on the way:
/// dropping its future stops the guest.
async fn guard(
    engine: &Engine,
    claimed: &Claimed,
    plugin: &ReadyPlugin,
    inputs: &Value,
    port: &Arc<Port>,
) -> Option<Ended> {
    let (task_id, job_id) = (claimed.task.to_string(), claimed.job.to_string());
    let grants: Vec<Grant> = plugin.plugin.grants.iter().chain(&claimed.grants).cloned().collect();
    let call = Call {
        task_id: &task_id,
        job_id: &job_id,
        attempt: claimed.attempt,
        model: claimed.model.as_deref(),
        input: inputs,
        timeout: claimed.timeout,
        grants: grants.into(),
    };
    let task_port: Arc<dyn TaskPort> = Arc::clone(port) as Arc<dyn TaskPort>;
    let mut running = Box::pin(engine.sandbox.run(&plugin.program, call, task_port));
    let mut ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = tokio::time::sleep(STORE_EVERY) => {
                if !port.store_events().await {
                    tracing::warn!(task = task_id, attempt = claimed.attempt, "the attempt was lost");
                    return None;
                }
            }
        }
    };
    if let Ok(output) = &ended.result
        && let Some((at, message)) = schema::violation(&plugin.output, output)
    {
        let message = format!("the output does not match its own schema: output{at}: {message}");
        ended.result = Err(Fault::new(FaultCode::Permanent, message));
    }
    Some(ended)
}
