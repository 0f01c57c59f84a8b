//! One attempt: everything between the claim of a task and its settlement.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::file::{self, Upload};
use apflow_model::plugin::Plugin;
use apflow_model::reference;
use apflow_model::usage::Usage;
use apflow_sandbox::{Call, Ended, Stop, StopReason, TaskPort};
use apflow_store::{CachedResult, Claimed, NewEvent, NewTaskFile, RunSource, ToolRun};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;

use crate::cache::{Look, Miss};
use crate::eager::Eager;
use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::port::Port;
use crate::registry::ReadyPlugin;
use crate::settle::Said;
use crate::workplace::{Handed, Workplace, upload_path};
use crate::{cache, quarantine, schema, settle, tools};

/// How often what has happened in a running attempt is stored, so that watchers see it.
const STORE_EVERY: Duration = Duration::from_millis(250);

/// How an attempt begins.
enum Beginning {
    /// Its guest is called.
    Call(Prepared),
    /// It is given a result that its tool returned earlier.
    Given(CachedResult),
}

/// What an attempt starts with.
struct Prepared {
    plugin: Arc<ReadyPlugin>,
    inputs: Value,
    granted: Arc<[Grant]>,
    handed: Handed,
    /// How its result is kept. None when it is not.
    miss: Option<Miss>,
}

/// What a guest is called with.
struct Given {
    inputs: Value,
    granted: Arc<[Grant]>,
    handed: Handed,
}

/// The end of a guest, and the files that it left.
type Left = (Ended, io::Result<Vec<NewTaskFile>>);

/// Runs a claimed task and settles it, unless it is stopped because its end no longer counts here.
///
/// Its place is free for another once its guest has ended, so that the claim of that one can take
/// part in the commit of this one's end.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    claimed: &Arc<Claimed>,
    stop: Stop,
    (place, eager): (Option<OwnedSemaphorePermit>, Option<Arc<Eager>>),
) {
    if let Some(reason) = &claimed.refused {
        let fault = Fault::new(FaultCode::BudgetExhausted, reason.as_str());
        return end_unbegun(engine, claimed, &stop, fault, eager).await;
    }
    let prepared = tokio::select! {
        prepared = prepare(engine, claimed) => prepared,
        reason = stop.stopped() => Err(unbegun(reason)),
    };
    let began = engine.now();
    let Prepared { plugin, inputs, granted, handed, miss } = match prepared {
        Ok(Beginning::Call(prepared)) => prepared,
        Ok(Beginning::Given(found)) => return give(engine, claimed, found).await,
        Err(fault) => return end_unbegun(engine, claimed, &stop, fault, eager).await,
    };
    let is_tool = plugin.plugin.tool.is_some();
    let port = Arc::new(Port::new(engine, claimed, is_tool, stop.clone(), eager.clone()));
    if miss.is_some() {
        port.keep(Happening::CacheMiss);
    }
    let given = Given { inputs, granted, handed };
    let left = call(engine, claimed, &plugin, given, &stop, &port).await;
    let Some((ended, files)) = left else { return };
    let breakers = &engine.breakers;
    let fault = ended.result.as_ref().err();
    let timed_out = stop.reason() == Some(StopReason::Deadline);
    let outcome = breakers.judge(fault, timed_out, ended.is_outside);
    let fault = fault.map(ToString::to_string);
    let (mut ended, files) = keep(claimed, ended, files);
    let spending = port.end_spending(&mut ended.usage);
    drop(place);
    // Both are queued at once, in this order: a task that is ready again finds its executor's breaker
    // where this attempt left it.
    let own = plugin.plugin.tool.as_ref().and_then(|tool| tool.circuit_breaker);
    let moving = breakers.attempt_ended((&claimed.executor, own), began, outcome, fault);
    let run = cache::run(&plugin.plugin, &ended, miss, engine.now());
    let said = Said { files, events: port.take_events(), run, spending, eager };
    let settling = settle::settle(engine, claimed, ended, said);
    tokio::join!(moving, settling);
}

/// Whether the end of an attempt counts, however it was stopped.
fn counts(claimed: &Claimed, stop: &Stop, ended: &Ended) -> bool {
    match stop.reason() {
        None | Some(StopReason::Deadline | StopReason::Cancelled | StopReason::OverBudget) => true,
        // It was done before it was stopped.
        Some(StopReason::HostClosing) if ended.result.is_ok() => true,
        Some(reason @ (StopReason::LeaseLost | StopReason::HostClosing)) => {
            tracing::info!(task = %claimed.task, attempt = claimed.attempt, ?reason, "stopped");
            false
        }
    }
}

/// Settles an attempt whose guest was not called.
async fn end_unbegun(
    engine: &Arc<Engine>,
    claimed: &Claimed,
    stop: &Stop,
    fault: Fault,
    eager: Option<Arc<Eager>>,
) {
    let ended = Ended::without_use(fault);
    if counts(claimed, stop, &ended) {
        settle::settle(engine, claimed, ended, Said { eager, ..Said::default() }).await;
    }
}

/// Settles an attempt with a result that its tool returned earlier. It used nothing.
async fn give(engine: &Arc<Engine>, claimed: &Claimed, found: CachedResult) {
    let CachedResult { output, kept_at } = found;
    let events = vec![NewEvent { at: engine.now(), what: Happening::CacheHit { kept_at } }];
    let run = Some(ToolRun { tool: claimed.executor.clone(), source: RunSource::Cache });
    let ended = Ended { result: Ok(output), usage: Usage::default(), is_outside: false };
    settle::settle(engine, claimed, ended, Said { events, run, ..Said::default() }).await;
}

/// The fault of an attempt that was stopped before its guest began.
fn unbegun(reason: StopReason) -> Fault {
    let code = match reason {
        StopReason::Cancelled => FaultCode::Cancelled,
        StopReason::LeaseLost
        | StopReason::HostClosing
        | StopReason::Deadline
        | StopReason::OverBudget => FaultCode::HostLost,
    };
    Fault::new(code, "it was stopped before its executor was called")
}

/// Finds the plugin of an attempt, its inputs, what it is granted at this moment, and its folders.
async fn prepare(engine: &Arc<Engine>, claimed: &Claimed) -> Result<Beginning, Fault> {
    let found = engine.ready_plugin_at(&claimed.executor, Some(claimed.plugins)).await;
    let plugin = found.and_then(|plugin| {
        plugin.ok_or_else(|| EngineError::UnknownPlugin(claimed.executor.clone()))
    });
    let plugin = plugin.map_err(|error| unusable(claimed, &error))?;
    quarantine::check(&plugin.plugin)?;
    let asked = plugin.plugin.manifest.capabilities.fs;
    let mut inputs = claimed.inputs.clone();
    let mut handed = Handed::default();
    if asked.is_in_read {
        handed = hand(engine, claimed, &mut inputs).await?;
    }
    let inputs = tools::complete(&plugin.plugin, resolve(engine, claimed, inputs).await?);
    if let Some((at, message)) = schema::violation(&plugin.input, &inputs) {
        let message = format!("inputs{at}: {message}");
        return Err(Fault::new(FaultCode::InvalidInput, message));
    }
    let granted = granted(engine, claimed, &plugin.plugin)?;
    let has_left_files = !handed.dependencies.is_empty();
    let given = cache::Given { inputs: &inputs, granted: &granted, has_left_files };
    let miss = match cache::look(engine, claimed, &plugin.plugin, given).await {
        Look::Hit(found) => return Ok(Beginning::Given(found)),
        Look::Miss(miss) => Some(miss),
        Look::Unused => None,
    };
    let inputs = tools::call(&plugin.plugin, inputs)?;
    Ok(Beginning::Call(Prepared { plugin, inputs, granted, handed, miss }))
}

/// What the lock grants the plugin, and the operator this job alone.
fn granted(engine: &Engine, claimed: &Claimed, plugin: &Plugin) -> Result<Arc<[Grant]>, Fault> {
    if !plugin.manifest.capabilities.needs_grants() {
        // So it is not held up by a lock that nobody can read.
        return Ok(claimed.grants.clone().into());
    }
    let locked = match engine.consents.granted(plugin) {
        Ok(granted) => granted,
        Err(EngineError::InvalidLock { file, faults }) => {
            let fault = faults.first().map(|fault| format!(": {fault}")).unwrap_or_default();
            let message = format!("nothing is granted while `{file}` is not valid{fault}");
            return Err(Fault::new(FaultCode::CapabilityDenied, message));
        }
        Err(error) => return Err(unusable(claimed, &error)),
    };
    Ok(locked.iter().chain(&claimed.grants).cloned().collect())
}

/// Trouble of the host's own, which may pass.
fn own(claimed: &Claimed, error: &dyn std::error::Error, what: &str) -> Fault {
    tracing::error!(task = %claimed.task, error = chain(error), "the host {what}");
    Fault::new(FaultCode::Retryable, format!("the host {what}"))
}

/// Finds the files that an attempt is handed, and puts their paths where the inputs name them.
///
/// Only what the caller wrote is looked at: an output of another task must not name a file.
async fn hand(engine: &Engine, claimed: &Claimed, inputs: &mut Value) -> Result<Handed, Fault> {
    let failed = |error| own(claimed, &error, "could not look up the task's files");
    let mut handed = Handed::default();
    for found in file::find(inputs).unwrap_or_default() {
        let upload = engine.store.find_upload(found.file).await.map_err(failed)?;
        let is_new = |upload: &Upload| handed.uploads.iter().all(|known| known.id != upload.id);
        handed.uploads.extend(upload.filter(is_new));
    }
    let path = |id| {
        let upload = handed.uploads.iter().find(|upload| upload.id == id)?;
        Some(upload_path(upload.id, &upload.name))
    };
    file::resolve(inputs, &path)
        .map_err(|fault| Fault::new(FaultCode::ReferenceUnresolved, format!("inputs{fault}")))?;
    if claimed.has_dependencies {
        let left = engine.store.dependencies_with_files(claimed.task).await;
        handed.dependencies = left.map_err(failed)?;
    }
    Ok(handed)
}

/// The end of an attempt whose files are kept, or could not be.
fn keep(
    claimed: &Claimed,
    mut ended: Ended,
    files: io::Result<Vec<NewTaskFile>>,
) -> (Ended, Vec<NewTaskFile>) {
    let files = files.unwrap_or_else(|error| {
        ended.result = Err(own(claimed, &error, "could not keep the task's files"));
        Vec::new()
    });
    (ended, files)
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
async fn resolve(engine: &Engine, claimed: &Claimed, inputs: Value) -> Result<Value, Fault> {
    let has_references = reference::find(&inputs).is_ok_and(|found| !found.is_empty());
    if !has_references {
        return Ok(inputs);
    }
    let outcomes = engine.store.dependency_outcomes(claimed.task).await.map_err(|error| {
        tracing::error!(task = %claimed.task, error = chain(&error), "no outputs");
        Fault::new(FaultCode::Retryable, "the host could not read the outputs of dependencies")
    })?;
    reference::resolve(inputs, &|task| outcomes.get(task))
        .map_err(|fault| Fault::new(FaultCode::ReferenceUnresolved, format!("inputs{fault}")))
}

/// Calls the guest on a thread for guests, and meanwhile stores what it logs. None when its end does
/// not count, or the threads ended before it.
async fn call(
    engine: &Arc<Engine>,
    claimed: &Arc<Claimed>,
    plugin: &Arc<ReadyPlugin>,
    given: Given,
    stop: &Stop,
    port: &Arc<Port>,
) -> Option<Left> {
    let task_port: Arc<dyn TaskPort> = Arc::clone(port) as Arc<dyn TaskPort>;
    let own = (Arc::clone(engine), Arc::clone(claimed), Arc::clone(plugin));
    let running = Box::pin(work(own, given, stop.clone(), task_port));
    let mut guest = engine.sandbox.spawn(running.in_current_span());
    // Not anew in each turn, or a guest that says much would never be looked after.
    let mut look = tokio::time::interval_at(Instant::now() + STORE_EVERY, STORE_EVERY);
    loop {
        tokio::select! {
            left = &mut guest => return left.flatten(),
            _ = look.tick() => port.check_hold().await,
            () = port.is_full() => {}
            () = port.is_due() => {}
        }
        if port.is_stored().await {
            port.store_events().await;
        }
    }
}

/// Runs the guest in its folders. None when its end does not count.
async fn work(
    (engine, claimed, plugin): (Arc<Engine>, Arc<Claimed>, Arc<ReadyPlugin>),
    given: Given,
    stop: Stop,
    port: Arc<dyn TaskPort>,
) -> Option<Left> {
    let asked = plugin.plugin.manifest.capabilities.fs;
    let workplace = match Workplace::make(&engine.files, &claimed, asked, &given.handed) {
        Ok(workplace) => workplace,
        Err(error) => {
            let fault = own(&claimed, &error, "could not make the task's folders");
            return Some((Ended::without_use(fault), Ok(Vec::new())));
        }
    };
    let until_deadline = claimed.deadline.map(|deadline| deadline.since(engine.now()));
    let call = Call {
        task_id: &claimed.task.to_string(),
        job_id: &claimed.job.to_string(),
        attempt: claimed.attempt,
        model: claimed.model.as_deref(),
        input: &given.inputs,
        timeout: claimed.timeout.into_iter().chain(until_deadline).min(),
        granted: given.granted,
        narrowed: claimed.allow.clone().map(Arc::from),
        mounts: workplace.mounts.clone(),
        hops: claimed.hops.through(engine.store.host()),
        trace: engine.settings.trace.and_then(|current| current()),
        stop: stop.clone(),
    };
    let ended = engine.sandbox.run(&plugin.program, call, port).await;
    let ended = check_output(&plugin, tools::returned(&plugin.plugin, ended));
    if !counts(&claimed, &stop, &ended) {
        return None;
    }
    let files = workplace.end(ended.result.is_ok()).await;
    Some((ended, files))
}

/// Refuses an output that the executor's own schema does not allow.
fn check_output(plugin: &ReadyPlugin, ended: Ended) -> Ended {
    let Ok(output) = &ended.result else { return ended };
    let Some((at, message)) = schema::violation(&plugin.output, output) else { return ended };
    let message = format!("the output does not match its own schema: output{at}: {message}");
    Ended { result: Err(Fault::new(FaultCode::Permanent, message)), ..ended }
}
