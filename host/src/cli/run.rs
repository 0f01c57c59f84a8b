//! `run` and `run batch`: submit, watch, report.

use apflow_api::{CancelJob, Code, FindJob, ShowPlugin, ShowTool, SubmitJob};
use apflow_model::hops::Hops;
use apflow_model::id::JobId;
use apflow_model::job::{Job, Task};
use apflow_model::plugin::World;
use serde_json::{Value, json};

use super::arguments::{Batch, Run, RunTask, RunVerb};
use super::error::CliError;
use super::exit::Exit;
use super::operator::{self, Operator};
use super::output::Output;
use super::signals::Signals;
use super::{asked, grant, tree, watch};
use crate::config::Config;

pub(crate) async fn run(config: &Config, run: Run, output: &Output) -> Result<Exit, CliError> {
    if let Some(RunVerb::Batch(batch)) = run.batch {
        return run_batch(config, batch, output).await;
    }
    let name = run.name.unwrap_or_default();
    run_task(config, Named { name, is_tool: false }, run.task, output).await
}

/// What is to be run.
pub(crate) struct Named {
    pub(crate) name: String,
    /// Whether it must be a tool.
    pub(crate) is_tool: bool,
}

/// Runs one task of an executor or a tool.
pub(crate) async fn run_task(
    config: &Config,
    named: Named,
    task: RunTask,
    output: &Output,
) -> Result<Exit, CliError> {
    let RunTask { words, input, grants, idempotency_key, allow } = task;
    let input = input.map(|input| input.read()).transpose()?;
    let mut job = json!({ "id": "task", "max_attempts": 1, "allow": grant::all(config, allow)? });
    let grants = grant::resolve(config, grants)?;
    asked::warn(config, &grants, output);
    let submit = async |operator: &Operator<'_>| {
        let (key, inputs) = inputs(operator, &named, input, &words).await?;
        job[key] = named.name.clone().into();
        job["inputs"] = inputs;
        Ok(SubmitJob { job, grants, wait: None, idempotency_key, hops: Hops::default() })
    };
    let Some(job) = run_job(config, submit, output).await? else { return Ok(Exit::Cancelled) };
    let exit = Exit::of_job(&job);
    let Some(task) = job.tasks.into_iter().next() else { return Ok(exit) };
    report(&task, output);
    Ok(exit)
}

/// How a task names what it runs, and its inputs: words are those of the tool, or of the command.
async fn inputs(
    operator: &Operator<'_>,
    Named { name, is_tool }: &Named,
    input: Option<Value>,
    words: &[String],
) -> Result<(&'static str, Value), CliError> {
    let name = name.clone();
    let found = if *is_tool {
        Some(operator.invoke(ShowTool { name }).await?.installed.plugin)
    } else {
        match operator.invoke(ShowPlugin { name }).await {
            Ok(installed) => Some(installed.plugin),
            // The submission is refused with what may have been meant.
            Err(error) if error.code() == Some(Code::UnknownPlugin.name()) => None,
            Err(error) => return Err(error),
        }
    };
    let tool = found.as_ref().and_then(|plugin| plugin.tool.as_ref());
    let key = if tool.is_some() { "tool" } else { "executor" };
    let inputs = match (input, tool) {
        (Some(input), _) => input,
        (None, Some(tool)) => tool.read_command_line(words).map_err(CliError::Usage)?.into(),
        (None, None) if words.is_empty() => json!({}),
        (None, None) => match found.map(|plugin| plugin.world) {
            Some(World::Executor) => {
                let message = "an executor takes JSON, not words: give it with `--input`";
                return Err(CliError::Usage(message.to_owned()));
            }
            Some(World::Command) | None => json!({ "args": words }),
        },
    };
    Ok((key, inputs))
}

async fn run_batch(config: &Config, batch: Batch, output: &Output) -> Result<Exit, CliError> {
    let tasks = batch.tasks.read()?;
    let job = if tasks.is_array() { json!({ "tasks": tasks }) } else { tasks };
    let grants = grant::resolve(config, batch.grants)?;
    asked::warn(config, &grants, output);
    let idempotency_key = batch.idempotency_key;
    let submit = async |_: &Operator<'_>| {
        Ok(SubmitJob { job, grants, wait: None, idempotency_key, hops: Hops::default() })
    };
    let Some(job) = run_job(config, submit, output).await? else { return Ok(Exit::Cancelled) };
    output.result(&job, || tree::draw(&job));
    Ok(Exit::of_job(&job))
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

/// Runs a job to its end, and shows what happens on the way. None when whoever runs it left before.
async fn run_job(
    config: &Config,
    submit: impl AsyncFnOnce(&Operator<'_>) -> Result<SubmitJob, CliError>,
    output: &Output,
) -> Result<Option<Job>, CliError> {
    let signals = Signals::listen();
    let mut signals = signals
        .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
    operator::with(config, async |operator| {
        let submitting = submit_once_started(operator, submit);
        let (id, is_to_end) = match take_in(submitting, &mut signals, output).await? {
            TakenIn::Wanted(id) => (id, false),
            TakenIn::Unwanted(id) => (id, true),
            TakenIn::Left => return Ok(None),
        };
        let mut ended = Box::pin(follow(operator, id, output));
        if !is_to_end {
            tokio::select! {
                ended = &mut ended => return ended.map(Some),
                () = signals.ended() => {}
            }
        }
        output.note(&format!("cancelling {id}, which may clean up first: Ctrl-C leaves at once"));
        // Whoever interrupts a run wants its job to end, not to go on at the next start.
        let cancel = Box::pin(operator.invoke(CancelJob { id }));
        tokio::select! {
            cancelled = async { tokio::try_join!(cancel, ended) } => {
                cancelled.map(|(_, ended)| Some(ended))
            }
            () = signals.ended() => {
                operator.hurry();
                Ok(None)
            }
        }
    })
    .await
}

async fn submit_once_started(
    operator: &Operator<'_>,
    submit: impl AsyncFnOnce(&Operator<'_>) -> Result<SubmitJob, CliError>,
) -> Result<JobId, CliError> {
    // Before the job is stored: where another host works, this one stores nothing.
    operator.start().await?;
    Ok(operator.submit(submit(operator).await?).await?.job.id)
}

/// How it went to have a job taken in.
enum TakenIn {
    /// It is to run.
    Wanted(JobId),
    /// Whoever submitted it wants it to end.
    Unwanted(JobId),
    /// Whoever submitted it has not waited for that.
    Left,
}

/// Waits until a job is taken in, which a server that does not answer can delay.
async fn take_in(
    submitting: impl Future<Output = Result<JobId, CliError>>,
    signals: &mut Signals,
    output: &Output,
) -> Result<TakenIn, CliError> {
    let mut submitting = Box::pin(submitting);
    tokio::select! {
        id = &mut submitting => return id.map(TakenIn::Wanted),
        () = signals.ended() => {}
    }
    output.note("cancelling the job once it is taken in: Ctrl-C leaves at once, and it may run");
    tokio::select! {
        id = &mut submitting => id.map(TakenIn::Unwanted),
        () = signals.ended() => Ok(TakenIn::Left),
    }
}

/// Follows a job until it has ended: as a tree on a terminal, else line by line.
async fn follow(operator: &Operator<'_>, id: JobId, output: &Output) -> Result<Job, CliError> {
    if output.is_live() {
        return watch::draw(operator, id, 0, output).await;
    }
    let mut history = operator.watch(id, 0).await?;
    while let Some(events) = history.next().await? {
        let told = events.iter().filter_map(|event| watch::said(&event.what));
        told.for_each(|line| output.note(&line));
    }
    operator.invoke(FindJob { id }).await
}
