//! One attempt: a fresh store and instance, one call, a result and a receipt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use apflow_model::capability::Scope;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::limit::{Breach, Limits};
use apflow_model::usage::Usage;
use serde_json::Value;
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::ExecutorPre;
use crate::bindings::apflow::plugin::types;
use crate::call::{Call, Called, Ended, Output, Returned};
use crate::egress::{Egress, Outside, Refusal};
use crate::link::{Linked, Program};
use crate::port::TaskPort;
use crate::secret::{SecretSource, Secrets};
use crate::state::{STDERR_BYTES_KEPT, State, usize_of};
use crate::{command, trap, wasi};

/// Runs one attempt. Dropping the future stops the guest at the next tick of its epoch.
pub(crate) async fn run(
    plugin: &Linked,
    outside: &Arc<Outside>,
    source: &Arc<dyn SecretSource>,
    call: Call<'_>,
    port: Arc<dyn TaskPort>,
) -> Ended {
    let started = Instant::now();
    let limits = plugin.plan.limits;
    let wall = call.timeout.map_or(limits.timeout, |own| own.min(limits.timeout));
    let scope = plugin.plan.scope(Arc::clone(&call.granted), call.narrowed.clone());
    let secrets = Secrets::new(&scope, source);
    let port = secrets.guard(port);
    let mut store = match new_store(plugin, outside, scope, secrets.clone(), port, wall) {
        Ok(store) => store,
        Err(fault) => return Ended { result: Err(fault), usage: Usage::default() },
    };
    let input = call.input.to_string();
    let mut usage = Usage { input_bytes: input.len() as u64, ..Usage::default() };
    let calling = async {
        secrets.prepare().await;
        match &plugin.program {
            Program::Executor(pre) => execute(pre, &mut store, &call, &input).await,
            Program::Command(pre) => command::run(pre, &mut store, &call).await,
        }
    };
    let entered = tokio::time::timeout(wall, calling).await;
    let called = entered.unwrap_or_else(|_| Err(wasmtime::Error::new(Breach::Timeout(wall))));
    let result = secrets.redact_result(judge(called, &store, &mut usage));
    receipt(&mut usage, &store);
    drop(store);
    usage.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ended { result, usage }
}

/// Makes the store of an attempt, with every limit set before any guest code can run.
pub(crate) fn new_store(
    plugin: &Linked,
    outside: &Arc<Outside>,
    scope: Scope,
    secrets: Secrets,
    port: Arc<dyn TaskPort>,
    wall: Duration,
) -> Result<Store<State>, Fault> {
    let (plan, deadline) = (&plugin.plan, Instant::now() + wall);
    let (own, outside) = (Arc::clone(&port), Arc::clone(outside));
    let egress = Egress::new(scope.clone(), plan.limits, own, outside, secrets);
    let state = State::new(Arc::clone(plan), scope, port, egress, deadline);
    let mut store = Store::new(&plugin.engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(usize_of(hostcall_bytes_max(&plan.limits)));
    store.set_max_component_handles(usize_of(plan.limits.handles));
    store.set_epoch_deadline(1);
    // A plain `Yield` would let other tasks run but not the timers and sockets of this thread.
    store.epoch_deadline_callback(|_| {
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    if let Some(fuel) = plan.limits.fuel {
        store.set_fuel(fuel).map_err(|error| {
            Fault::new(FaultCode::PluginUnavailable, format!("fuel cannot be metered: {error:#}"))
        })?;
    }
    Ok(store)
}

/// What wasmtime carries in one call. The output is one as well, and its own limit is met first.
fn hostcall_bytes_max(limits: &Limits) -> u64 {
    limits.output_bytes.saturating_add(limits.host_call_bytes)
}

async fn execute(
    pre: &ExecutorPre<State>,
    store: &mut Store<State>,
    call: &Call<'_>,
    input: &String,
) -> Called {
    if let Err(fault) = mount_folder(store.data_mut()) {
        return Ok(Err(fault));
    }
    let task = types::Task {
        id: call.task_id.to_owned(),
        job_id: call.job_id.to_owned(),
        attempt: call.attempt,
        idempotency_key: call.task_id.to_owned(),
        model: call.model.map(str::to_owned),
    };
    let executor = pre.instantiate_async(&mut *store).await?;
    let result = executor.apflow_plugin_run().call_execute(&mut *store, &task, input).await?;
    let result = result.map_err(|fault| told(fault, &store.data().secrets));
    Ok(result.map(|outcome| Returned {
        output: Output::Text(outcome.output),
        tokens: outcome.usage.map(|usage| (usage.input, usage.output)),
    }))
}

/// Makes the WASI context ahead of the call when it holds a folder, so that one that cannot be
/// opened is a fault. Without a folder it is made when the guest first asks for it.
fn mount_folder(state: &mut State) -> Result<(), Fault> {
    if let Some(folder) = state.scope.folder() {
        let mut builder =
            wasi::base(&state.plan, &state.scope, &state.secrets, state.stderr.clone());
        wasi::mount(&mut builder, folder)?;
        state.set_wasi(builder.build());
    }
    Ok(())
}

/// What the guest says went wrong. Values are taken out before a long message is cut: the beginning
/// of one would not be found.
fn told(fault: types::Fault, secrets: &Secrets) -> Fault {
    let fault_of = |code, message| Fault::new(code, secrets.redact(message));
    match fault {
        types::Fault::InvalidInput(message) => fault_of(FaultCode::InvalidInput, message),
        types::Fault::Retryable(fault) => Fault {
            retry_after_ms: fault.retry_after,
            ..fault_of(FaultCode::Retryable, fault.message)
        },
        types::Fault::Permanent(message) => fault_of(FaultCode::Permanent, message),
        types::Fault::Cancelled => {
            Fault::new(FaultCode::Cancelled, "the executor saw the cancellation and stopped")
        }
        types::Fault::BudgetExhausted(message) => fault_of(FaultCode::BudgetExhausted, message),
    }
}

/// Judges what came back: a trap, a fault, an output that breaks a limit, or an output.
fn judge(called: Called, store: &Store<State>, usage: &mut Usage) -> Result<Value, Fault> {
    let state = store.data();
    let judged = match called {
        Ok(Ok(returned)) => accept(returned, &state.plan.limits, usage),
        Ok(Err(fault)) => Err(fault),
        Err(error) => {
            let breach = state.limiter.breach.as_ref();
            let stderr = state.stderr.take();
            let is_cut = stderr.len() >= STDERR_BYTES_KEPT;
            let stderr = state.secrets.redact_bytes(stderr, is_cut);
            Err(trap::fault(&error, breach, &state.plan.limits, &stderr))
        }
    };
    judged.map_err(|fault| explain(fault, state))
}

/// Takes what a guest returned, when it is JSON within its limit.
fn accept(returned: Returned, limits: &Limits, usage: &mut Usage) -> Result<Value, Fault> {
    (usage.tokens_input, usage.tokens_output) = returned.tokens.unwrap_or_default();
    match returned.output {
        Output::Value { value, bytes } => {
            usage.output_bytes = bytes;
            Ok(value)
        }
        Output::Text(text) => {
            usage.output_bytes = text.len() as u64;
            if usage.output_bytes > limits.output_bytes {
                let breach = Breach::Output(limits.output_bytes);
                return Err(Fault::new(FaultCode::LimitExceeded, breach.to_string()));
            }
            serde_json::from_str(&text).map_err(|error| {
                Fault::new(FaultCode::Permanent, format!("the output is not JSON: {error}"))
            })
        }
    }
}

/// Puts a refusal before what the guest made of it: the operator needs to read which grant is
/// missing or which limit was met, whatever words the guest found.
fn explain(fault: Fault, state: &State) -> Fault {
    if matches!(fault.code, FaultCode::LimitExceeded | FaultCode::Cancelled) {
        return fault;
    }
    // Growth that was refused is not got over: the guest had to do with less to its end.
    if let Some(breach) = &state.limiter.breach {
        return Fault::new(FaultCode::LimitExceeded, breach.to_string());
    }
    match state.egress.ledger.refusal() {
        Refusal::None => fault,
        Refusal::Denied(denial) => Fault::new(FaultCode::CapabilityDenied, denial),
        Refusal::Breach(breach) => Fault::new(FaultCode::LimitExceeded, breach.to_string()),
    }
}

fn receipt(usage: &mut Usage, store: &Store<State>) {
    let state = store.data();
    usage.memory_bytes_peak = state.limiter.memory_bytes_peak;
    usage.log_bytes = state.log_bytes;
    usage.http_requests = state.egress.ledger.requests.load(Ordering::Relaxed);
    usage.http_body_bytes = state.egress.ledger.body_bytes.load(Ordering::Relaxed);
    // A guest may commit its tokens, report them at the end, or both: they are the same tokens.
    usage.tokens_input = usage.tokens_input.max(state.tokens_input);
    usage.tokens_output = usage.tokens_output.max(state.tokens_output);
    // Asking an unmetered store is an error, and making one costs as much as the whole attempt.
    usage.fuel = state
        .plan
        .limits
        .fuel
        .map_or(0, |fuel| fuel.saturating_sub(store.get_fuel().unwrap_or(fuel)));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixture;
    use crate::sandbox::{Sandbox, Settings};
    use crate::secret::NoSecrets;

    async fn run(body: &str) -> Ended {
        let settings = Settings {
            instances_max: 1,
            cache: None,
            environment: BTreeMap::new(),
            secrets: Arc::new(NoSecrets),
        };
        let sandbox = Sandbox::new(settings).unwrap();
        let compiled = sandbox.compile(&fixture::command(body), false).unwrap();
        let linked = sandbox.link(&compiled, &fixture::manifest("")).unwrap();
        let call = Call {
            task_id: "t_0000000000000",
            job_id: "j_0000000000000",
            attempt: 1,
            model: None,
            input: &serde_json::json!({}),
            timeout: None,
            granted: Arc::default(),
            narrowed: None,
        };
        sandbox.run(&linked, call, Arc::new(fixture::Lines::default())).await
    }

    #[tokio::test]
    async fn a_refused_growth_explains_the_guests_own_failure() {
        let fault = run("(drop (memory.grow (i32.const 2000))) i32.const 1").await.result;
        let fault = fault.unwrap_err();
        assert_eq!(fault.code, FaultCode::LimitExceeded, "{fault}");
        assert!(fault.message.contains("`limits.memory`"), "{fault}");
    }

    #[tokio::test]
    async fn a_guest_may_do_with_less_memory() {
        let ended = run("(drop (memory.grow (i32.const 2000))) i32.const 0").await;
        assert_eq!(ended.result.unwrap()["exit_code"], 0);
    }

    #[tokio::test]
    async fn a_failure_without_a_refusal_keeps_its_own_words() {
        let fault = run("i32.const 1").await.result.unwrap_err();
        assert_eq!(fault.code, FaultCode::Permanent, "{fault}");
    }

    #[test]
    fn only_the_text_of_an_executor_is_measured_at_the_end() {
        let limits = Limits { output_bytes: 4, ..Limits::default() };
        let accept = |output| {
            let mut usage = Usage::default();
            let accepted = accept(Returned { output, tokens: None }, &limits, &mut usage);
            (accepted.map_err(|fault| fault.code), usage.output_bytes)
        };
        let (accepted, bytes) = accept(Output::Text("12345".to_owned()));
        assert_eq!((accepted, bytes), (Err(FaultCode::LimitExceeded), 5));
        // Both streams of a command may be as long as the limit, and the JSON around them is free.
        let value = serde_json::json!({ "stdout": "1234", "stderr": "1234", "exit_code": 0 });
        let (accepted, bytes) = accept(Output::Value { value: value.clone(), bytes: 8 });
        assert_eq!((accepted, bytes), (Ok(value), 8));
    }
}
