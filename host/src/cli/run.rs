//! `run` and `run batch`: submit, watch, report.

use std::time::Duration;

use apflow_api::{ApiError, CancelJob, FindJob, Live, ShowJobState, SubmitJob};
use apflow_model::capability::Grant;
use apflow_model::event::Happening;
use apflow_model::id::JobId;
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::job::{Job, Task};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::arguments::{Batch, Run, RunVerb};
use super::error::CliError;
use super::exit::Exit;
use super::operator::operator;
use super::output::Output;
use super::signals::Signals;
use super::{asked, grant, tree};
use crate::assemble::Host;
use crate::config::Config;

/// How often a tree is drawn again at most, and how often a job is looked up in case its end was
/// missed.
const REDRAW: Duration = Duration::from_millis(100);

pub(crate) async fn run(config: &Config, run: Run, output: &Output) -> Result<Exit, CliError> {
    if let Some(RunVerb::Batch(batch)) = run.batch {
        return run_batch(config, batch, output).await;
    }
    let input = run.input.read()?;
    let task = json!({
        "id": "task",
        "executor": run.executor,
        "inputs": input,
        "max_attempts": 1,
        "allow": grant::all(run.allow)?,
    });
    let submit = submit(task, run.grants, run.idempotency_key)?;
    let job = run_job(config, submit, output, false).await?;
    let exit = Exit::of_job(&job);
    let Some(task) = job.tasks.into_iter().next() else { return Ok(exit) };
    report(&task, output);
    Ok(exit)
}

async fn run_batch(config: &Config, batch: Batch, output: &Output) -> Result<Exit, CliError> {
    let tasks = batch.tasks.read()?;
    let job = if tasks.is_array() { json!({ "tasks": tasks }) } else { tasks };
    let submit = submit(job, batch.grants, batch.idempotency_key)?;
    let job = run_job(config, submit, output, output.is_live()).await?;
    output.result(&job, || tree::draw(&job));
    Ok(Exit::of_job(&job))
}

fn submit(
    job: Value,
    grants: Vec<Grant>,
    idempotency_key: Option<IdempotencyKey>,
) -> Result<SubmitJob, CliError> {
    Ok(SubmitJob { job, grants: grant::resolve(grants)?, wait: None, idempotency_key })
}

/// Prints the task: its output on standard output, or its fault on standard error.
fn report(task: &Task, output: &Output) {
    if let Some(fault) = &task.fault {
        output.note(&format!("error[{}]: {}", fault.code, fault.message));
        output.note(&format!("  `apflow-host explain {}` says more", fault.code));
        output.json_only(task);
        return;
    }
    let value = task.output.clone().unwrap_or_default();
    output.result(task, || serde_json::to_string_pretty(&value).unwrap_or_default());
}

/// Runs a job to its end, and shows what happens on the way.
async fn run_job(
    config: &Config,
    submit: SubmitJob,
    output: &Output,
    is_tree: bool,
) -> Result<Job, CliError> {
    asked::warn(config, &submit.grants, output);
    let signals = Signals::listen();
    let mut signals = signals
        .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
    Host::with(config, async |host| {
        let mut news = host.api.subscribe(&operator())?;
        // Before the job is stored: where another host works, this one stores nothing.
        host.start().await?;
        let id = host.api.invoke(submit, &operator()).await?.job.id;
        let ended = tokio::select! {
            ended = watch(host, id, &mut news, output, is_tree) => ended?,
            // Whoever interrupts a run wants its job to end, not to go on at the next start.
            () = signals.ended() => host.api.invoke(CancelJob { id }, &operator()).await?,
        };
        Ok(ended)
    })
    .await
}

/// Follows a job until it has ended.
async fn watch(
    host: &Host,
    id: JobId,
    news: &mut Receiver<Live>,
    output: &Output,
    is_tree: bool,
) -> Result<Job, ApiError> {
    let mut lines_drawn = 0;
    loop {
        let state = host.api.invoke(ShowJobState { id }, &operator()).await?;
        if is_tree {
            let job = host.api.invoke(FindJob { id }, &operator()).await?;
            lines_drawn = output.redraw(lines_drawn, &tree::draw(&job));
        }
        if state.is_end() {
            while let Ok(live) = news.try_recv() {
                tell(&live, id, is_tree, output);
            }
            if is_tree {
                // The whole tree follows as the result.
                output.redraw(lines_drawn, "");
            }
            return host.api.invoke(FindJob { id }, &operator()).await;
        }
        let told = async {
            loop {
                match news.recv().await {
                    Ok(Live::JobEnded { job, .. }) if job == id => return,
                    Ok(live) => tell(&live, id, is_tree, output),
                    Err(RecvError::Lagged(missed)) if !is_tree => {
                        output.note(&format!("{missed} lines were skipped"));
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        };
        // Running out of time is fine: it is time to look again.
        drop(tokio::time::timeout(REDRAW, told).await);
    }
}

/// Shows what happens to the job as a line, unless it is drawn as a tree.
fn tell(news: &Live, id: JobId, is_tree: bool, output: &Output) {
    let Live::Task { job, what, .. } = news else { return };
    if *job != id || is_tree {
        return;
    }
    match what {
        Happening::Log(line) => {
            let fields = line.fields.iter();
            let fields =
                fields.fold(String::new(), |text, (name, value)| format!("{text} {name}={value}"));
            let level = format!("{:?}", line.level).to_lowercase();
            output.note(&format!("{level:>5} {}{fields}", line.message));
        }
        Happening::Progress { fraction, message } => {
            output.note(&format!("{:>4.0} % {message}", fraction * 100.0));
        }
        Happening::Stdout { text } => note_lines("out", text, output),
        Happening::Stderr { text } => note_lines("err", text, output),
        Happening::Denied { message } => output.note(&format!(" denied {message}")),
        Happening::Held { destination, wait_ms } => {
            output.note(&format!("   held {destination} is left alone for {wait_ms} ms more"));
        }
        Happening::State { .. }
        | Happening::Fired(_)
        | Happening::Cancelling
        | Happening::CancelTooLate
        | Happening::Checkpoint { .. } => {}
    }
}

fn note_lines(stream: &str, text: &str, output: &Output) {
    for line in text.lines() {
        output.note(&format!("  {stream} {line}"));
    }
}
