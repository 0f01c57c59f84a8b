//! One attempt: a fresh store and instance, one call, a result and a receipt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use apflow_model::capability::Scope;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::limit::{Breach, Limits};
use apflow_model::money::{TokenUse, Tokens};
use apflow_model::usage::Usage;
use serde_json::Value;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::bindings::ExecutorPre;
use crate::bindings::apflow::plugin::types;
use crate::call::{Call, Called, Ended, Output, Returned};
use crate::egress::{Egress, Outside, Refusal};
use crate::files::Mounts;
use crate::link::{Linked, Program};
use crate::plan::Plan;
use crate::port::TaskPort;
use crate::secret::{SecretSource, Secrets};
use crate::state::{STDERR_BYTES_KEPT, State, usize_of};
use crate::stop::{Stop, StopReason, Stopped};
use crate::ticker::{TICK, Ticker};
use crate::{command, cpu, trap, wasi};

/// Runs one attempt, until its guest returns or `call.stop` ends it. Dropping the future ends the
/// guest as well, when it next gives way.
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
    let stop = &call.stop;
    let scope = plugin.plan.scope(Arc::clone(&call.granted), call.narrowed.clone());
    let secrets = Secrets::new(&scope, source);
    let port = secrets.guard(port);
    let mut store = match new_store(plugin, outside, scope, port, stop, wall) {
        Ok(store) => store,
        Err(fault) => return Ended::without_use(fault),
    };
    let _running = plugin.plan.metrics.running.hold();
    let input = call.input.to_string();
    let mut usage = Usage { input_bytes: input.len() as u64, ..Usage::default() };
    store.data_mut().set_secrets(secrets.clone());
    store.data_mut().egress.set_hops(&call.hops);
    store.data_mut().egress.set_trace(call.trace);
    let (deadline, mut worked) = (store.data().deadline, Duration::ZERO);
    // It is handed on twice, and holds all that a guest's call needs.
    let calling = Box::pin(async {
        secrets.prepare().await;
        match &plugin.program {
            Program::Executor(pre) => execute(pre, &mut store, &call, &input).await,
            Program::Command(pre) => command::run(pre, &mut store, &call).await,
        }
    });
    let called = until_stopped(cpu::metered(calling, &mut worked), stop, deadline).await;
    if let Some(books) = store.data().watch.as_ref().map(|watch| Arc::clone(watch.books())) {
        // A write that the guest began must be over before anybody looks at its files.
        books.close().await;
    }
    let result = secrets.redact_result(judge(called, &store, wall, &mut usage));
    receipt(&mut usage, &store);
    let is_outside = store.data().egress.ledger.unanswered.load(Ordering::Relaxed) > 0;
    drop(store);
    usage.cpu_us = micros(worked);
    usage.wall_us = micros(started.elapsed());
    Ended { result, usage, is_outside }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Makes the store of an attempt, with every limit set before any guest code can run.
pub(crate) fn new_store(
    plugin: &Linked,
    outside: &Arc<Outside>,
    scope: Scope,
    port: Arc<dyn TaskPort>,
    stop: &Stop,
    wall: Duration,
) -> Result<Store<State>, Fault> {
    let (plan, deadline) = (&plugin.plan, Instant::now() + wall);
    let egress = Egress::new(
        scope.clone(),
        plan.limits,
        Arc::clone(&port),
        Arc::clone(outside),
        stop.clone(),
    );
    let state = State::new(Arc::clone(plan), scope, port, egress, stop.clone(), deadline);
    let mut store = Store::new(&plugin.engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(usize_of(hostcall_bytes_max(&plan.limits)));
    store.set_max_component_handles(usize_of(plan.limits.handles));
    let ticker = Arc::clone(&plugin.ticker);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |store| end_slice(store.data(), &ticker, store.engine()));
    // From here on, ending the attempt ends the guest's time slice.
    stop.watch(&plugin.engine, plan.limits.cancel_grace);
    if wall < TICK {
        plugin.ticker.tick_at(deadline, &plugin.engine);
    }
    if let Some(fuel) = plan.limits.fuel {
        store.set_fuel(fuel).map_err(|error| {
            Fault::new(FaultCode::PluginUnavailable, format!("fuel cannot be metered: {error:#}"))
        })?;
    }
    Ok(store)
}

/// What a guest does at the end of a time slice: it ends, or gives way and goes on.
fn end_slice(state: &State, ticker: &Ticker, engine: &Engine) -> wasmtime::Result<UpdateDeadline> {
    let left = state.deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        state.stop.now(StopReason::Deadline);
    } else if left < TICK {
        // The next regular tick would come too late.
        ticker.tick_at(state.deadline, engine);
    }
    state.stop.check()?;
    // A plain `Yield` would let other tasks run but not the timers and sockets of this thread.
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
}

/// Calls a guest, and waits no longer than it may go on. This ends one that is blocked in a call of
/// the host; one that computes looks by itself, at the end of each time slice.
pub(crate) async fn until_stopped<T>(
    calling: impl Future<Output = wasmtime::Result<T>>,
    stop: &Stop,
    deadline: Instant,
) -> wasmtime::Result<T> {
    stop.check()?;
    tokio::select! {
        biased;
        called = calling => called,
        reason = stop.stopped() => Err(wasmtime::Error::new(Stopped(reason))),
        // Made only for a guest that waits.
        () = async { tokio::time::sleep_until(deadline.into()).await } => {
            stop.now(StopReason::Deadline);
            Err(wasmtime::Error::new(Stopped(StopReason::Deadline)))
        }
    }
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
    if let Err(fault) = mount(store.data_mut(), &call.mounts) {
        return Ok(Err(fault));
    }
    let task = types::Task {
        id: call.task_id.to_owned(),
        job_id: call.job_id.to_owned(),
        attempt: call.attempt,
        idempotency_key: call.idempotency_key(),
        model: call.model.map(str::to_owned),
    };
    let executor = pre.instantiate_async(&mut *store).await?;
    store.data().enters();
    let result = executor.apflow_plugin_run().call_execute(&mut *store, &task, input).await?;
    let result = result.map_err(|fault| told(fault, &store.data().secrets));
    Ok(result.map(|outcome| Returned {
        output: Output::Text(outcome.output),
        tokens: outcome.usage.map(|usage| TokenUse {
            input: Tokens(usage.input),
            output: Tokens(usage.output),
            cached: Tokens(usage.cached),
        }),
    }))
}

/// Makes the WASI context ahead of the call when it holds a folder, so that one that cannot be
/// opened is a fault. Without a folder it is made when the guest first asks for it.
fn mount(state: &mut State, mounts: &Mounts) -> Result<(), Fault> {
    if state.scope.folder().is_none() && mounts.is_none() {
        return Ok(());
    }
    let builder =
        wasi::base(&state.plan, &state.scope, &state.secrets, &state.egress, state.stderr.clone());
    state.set_wasi(builder, mounts)
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
fn judge(
    called: Called,
    store: &Store<State>,
    wall: Duration,
    usage: &mut Usage,
) -> Result<Value, Fault> {
    let state = store.data();
    let judged = match called {
        Ok(Ok(returned)) => accept(returned, &state.plan, usage),
        Ok(Err(fault)) => Err(fault),
        Err(error) => {
            if let Some(Stopped(reason)) = error.downcast_ref() {
                if *reason == StopReason::Deadline {
                    state.plan.metrics.ended_by(&Breach::Timeout(wall));
                }
                return Err(trap::stopped(*reason, wall));
            }
            let breach = trap::breach(&error, &state.plan.limits).or_else(|| state.breach());
            if let Some(breach) = breach {
                return Err(exceeded(&state.plan, &breach));
            }
            let stderr = state.stderr.take();
            let is_cut = stderr.len() >= STDERR_BYTES_KEPT;
            let stderr = state.secrets.redact_bytes(stderr, is_cut);
            Err(trap::crash(&error, &stderr))
        }
    };
    judged.map_err(|fault| explain(fault, state))
}

/// Takes what a guest returned, when it is JSON within its limit.
fn accept(returned: Returned, plan: &Plan, usage: &mut Usage) -> Result<Value, Fault> {
    set_tokens(usage, returned.tokens.unwrap_or_default().of_one_call());
    match returned.output {
        Output::Value { value, bytes } => {
            usage.output_bytes = bytes;
            Ok(value)
        }
        Output::Text(text) => {
            usage.output_bytes = text.len() as u64;
            let bytes_max = plan.limits.output_bytes;
            if usage.output_bytes > bytes_max {
                return Err(exceeded(plan, &Breach::Output(bytes_max)));
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
    if let Some(breach) = state.breach() {
        return exceeded(&state.plan, &breach);
    }
    match state.egress.ledger.refusal() {
        Refusal::None => fault,
        Refusal::Denied(denial) => Fault::new(FaultCode::CapabilityDenied, denial),
        Refusal::Breach(breach) => exceeded(&state.plan, &breach),
        Refusal::Held(destination, wait) => held(&destination, wait),
    }
}

/// The fault of a guest that met a limit.
fn exceeded(plan: &Plan, breach: &Breach) -> Fault {
    plan.metrics.ended_by(breach);
    Fault::new(FaultCode::LimitExceeded, breach.to_string())
}

/// The fault of a guest that was not let through to a destination.
fn held(destination: &str, wait: Duration) -> Fault {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let message = format!(
        "`{destination}` fails so often that it is left alone for {} s more",
        wait.as_secs_f64().ceil()
    );
    Fault { retry_after_ms: Some(wait_ms), ..Fault::new(FaultCode::BreakerOpen, message) }
}

fn set_tokens(usage: &mut Usage, tokens: TokenUse) {
    usage.tokens_input = tokens.input.0;
    usage.tokens_output = tokens.output.0;
    usage.tokens_cached = tokens.cached.0;
}

fn receipt(usage: &mut Usage, store: &Store<State>) {
    let state = store.data();
    usage.memory_bytes_peak = state.limiter.memory_bytes_peak;
    usage.log_bytes = state.log_bytes;
    usage.file_bytes_peak = state.watch.as_ref().map_or(0, |watch| watch.books().bytes_peak());
    usage.http_requests = state.egress.ledger.requests.load(Ordering::Relaxed);
    usage.http_body_bytes = state.egress.ledger.body_bytes.load(Ordering::Relaxed);
    usage.connections = state.egress.ledger.connections.load(Ordering::Relaxed);
    usage.tcp_bytes = state.egress.ledger.tcp_bytes.load(Ordering::Relaxed);
    // A guest may commit its tokens, report them at the end, or both: they are the same tokens.
    set_tokens(usage, usage.tokens().or_more(state.tokens));
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

    use apflow_model::hops::Hops;

    use super::*;
    use crate::child::CompileIn;
    use crate::fixture;
    use crate::gate::NoGate;
    use crate::sandbox::{Sandbox, Settings};
    use crate::secret::NoSecrets;

    const SPINS: &str = "(loop (br 0)) unreachable";

    async fn run(body: &str) -> Ended {
        run_until(body, None, |_| {}).await
    }

    /// Runs a command of this body, and calls `meanwhile` when it is about to enter its guest.
    async fn run_until(
        body: &str,
        timeout: Option<Duration>,
        meanwhile: impl FnOnce(&Stop) + Send + 'static,
    ) -> Ended {
        let settings = Settings {
            instances_max: 1,
            compile_in: CompileIn::Process,
            cache: None,
            environment: BTreeMap::new(),
            secrets: Arc::new(NoSecrets),
            gate: Arc::new(NoGate),
        };
        let sandbox = Arc::new(Sandbox::new(settings).unwrap());
        let compiled = sandbox.compile(&fixture::command(body), false).unwrap();
        let linked = sandbox.link(&compiled, &fixture::manifest("")).unwrap();
        let stop = Stop::new();
        let (running, stopping) = (Arc::clone(&sandbox), stop.clone());
        let guest = sandbox.spawn(async move {
            let call = Call {
                task_id: "t_0000000000000",
                job_id: "j_0000000000000",
                attempt: 1,
                model: None,
                input: &serde_json::json!({}),
                timeout,
                granted: Arc::default(),
                narrowed: None,
                mounts: Mounts::default(),
                hops: Hops::default(),
                trace: None,
                stop,
            };
            running.run(&linked, call, Arc::new(fixture::Lines::default())).await
        });
        while !stopping.is_watching() && timeout.is_none() {
            tokio::task::yield_now().await;
        }
        meanwhile(&stopping);
        guest.await.unwrap()
    }

    #[tokio::test]
    async fn a_guest_that_computes_is_ended_with_the_reason() {
        for (reason, code) in [
            (StopReason::Cancelled, FaultCode::Cancelled),
            (StopReason::LeaseLost, FaultCode::HostLost),
            (StopReason::HostClosing, FaultCode::HostLost),
        ] {
            let fault = run_until(SPINS, None, move |stop| stop.now(reason)).await.result;
            assert_eq!(fault.unwrap_err().code, code);
        }
    }

    #[tokio::test]
    async fn a_guest_that_computes_ends_at_its_deadline() {
        for wall in [Duration::from_millis(1), Duration::from_millis(20)] {
            let ended = run_until(SPINS, Some(wall), |_| {}).await;
            let fault = ended.result.unwrap_err();
            assert_eq!(fault.code, FaultCode::LimitExceeded, "{fault}");
            assert!(fault.message.contains("`limits.timeout`"), "{fault}");
            assert!(u128::from(ended.usage.wall_us) >= wall.as_micros(), "{:?}", ended.usage);
            assert!((1..=ended.usage.wall_us).contains(&ended.usage.cpu_us), "{:?}", ended.usage);
        }
    }

    #[tokio::test]
    async fn a_host_call_is_refused_once_the_attempt_is_stopped() {
        use crate::bindings::apflow::plugin::{budget, checkpoint, control, log, secret};
        let (mut state, lines) = fixture::state("");
        state.stop.now(StopReason::Cancelled);
        assert!(control::Host::is_cancelled(&mut state).is_err());
        assert!(control::Host::deadline(&mut state).is_err());
        assert!(secret::Host::get(&mut state, "key".to_owned()).is_err());
        assert!(budget::Host::remaining(&mut state).await.is_err());
        assert!(budget::Host::reserve(&mut state, 1).await.is_err());
        assert!(checkpoint::Host::load(&mut state).await.is_err());
        let saved = checkpoint::Host::save(&mut state, "step".to_owned(), Vec::new()).await;
        assert!(saved.is_err());
        let written = log::Host::write(&mut state, log::Level::Info, "x".to_owned(), Vec::new());
        assert!(written.await.is_err());
        assert!(log::Host::progress(&mut state, 0.5, "x".to_owned()).await.is_err());
        assert!(lines.take().is_empty());
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
        let plan = Plan {
            name: Arc::from("x"),
            asked: Arc::default(),
            limits: Limits { output_bytes: 4, ..Limits::default() },
            environment: Arc::default(),
            metrics: Arc::default(),
        };
        let accept = |output| {
            let mut usage = Usage::default();
            let accepted = accept(Returned { output, tokens: None }, &plan, &mut usage);
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
