//! `tasks list`, `tasks show`, `tasks watch`, `tasks checkpoints`, `tasks cancel`, `tasks retry`.

use apflow_api::{
    CancelTask, FindTask, ListCheckpoints, ListTasks, Page, RetryTask, ShownCheckpoint, StateFilter,
};
use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Task, TaskSummary};
use apflow_model::limit::Bytes;
use clap::{Args, Subcommand};

use super::error::CliError;
use super::exit::Exit;
use super::json;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use super::watch;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum TasksVerb {
    /// List tasks, newest first. `--state failed` lists the dead letters.
    List(Wanted),
    /// Show one task with what its attempts came to.
    Show {
        /// The id of the task, for example `t_01h2xcejqtf2p`.
        id: TaskId,
    },
    /// Print what happened to one task, and what happens, until it has ended.
    Watch {
        /// The id of the task.
        id: TaskId,
        /// Go on after the event of its job with this number.
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u64,
    },
    /// List what one task saved on its way, in order.
    Checkpoints {
        /// The id of the task.
        id: TaskId,
        /// Their values as well, in base64.
        #[arg(long)]
        values: bool,
        /// How many: up to 1000, with values up to 16.
        #[arg(long)]
        limit: Option<u32>,
        /// The cursor that the page before ended with.
        #[arg(long)]
        cursor: Option<u64>,
    },
    /// Cancel one task and all below it.
    Cancel {
        /// The id of the task.
        id: TaskId,
    },
    /// Let one failed task run again, with its checkpoints.
    Retry {
        /// The id of the task.
        id: TaskId,
        /// Also when it was cancelled.
        #[arg(long)]
        cancelled: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only tasks in this state, or in the group `pending` or `in_progress`.
    #[arg(long, value_parser = json::word::<StateFilter>)]
    state: Option<StateFilter>,
    /// Only tasks of this executor.
    #[arg(long)]
    executor: Option<String>,
    /// Only tasks of this tool.
    #[arg(long)]
    tool: Option<String>,
    /// Only tasks of jobs that this caller submitted.
    #[arg(long)]
    principal: Option<String>,
    /// Only tasks of this job.
    #[arg(long)]
    job: Option<JobId>,
    /// Only tasks accepted at this moment or later, in RFC 3339.
    #[arg(long, value_parser = json::word::<Timestamp>)]
    since: Option<Timestamp>,
    /// Only tasks accepted before this moment, in RFC 3339.
    #[arg(long, value_parser = json::word::<Timestamp>)]
    until: Option<Timestamp>,
    /// How many, from 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The cursor that the page before ended with.
    #[arg(long)]
    cursor: Option<TaskId>,
}

pub(crate) async fn run(
    config: &Config,
    verb: TasksVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        TasksVerb::List(wanted) => list(config, wanted, output).await?,
        TasksVerb::Show { id } => show(&invoke(config, FindTask { id }).await?, output),
        TasksVerb::Watch { id, after } => return watch::task(config, id, after, output).await,
        TasksVerb::Checkpoints { id, values, limit, cursor } => {
            let operation = ListCheckpoints { id, with_values: values, limit, cursor };
            checkpoints(config, operation, output).await?;
        }
        TasksVerb::Cancel { id } => show(&invoke(config, CancelTask { id }).await?, output),
        TasksVerb::Retry { id, cancelled } => {
            let operation = RetryTask { id, with_cancelled: cancelled };
            show(&invoke(config, operation).await?, output);
        }
    }
    Ok(Exit::Ok)
}

async fn list(config: &Config, wanted: Wanted, output: &Output) -> Result<(), CliError> {
    let operation = ListTasks {
        state: wanted.state,
        executor: wanted.executor,
        tool: wanted.tool,
        principal: wanted.principal,
        job: wanted.job,
        since: wanted.since,
        until: wanted.until,
        page: Page { limit: Some(wanted.limit), cursor: wanted.cursor },
    };
    let page = invoke(config, operation).await?;
    output.result(&page, || {
        let row = |task: &TaskSummary| {
            let fault = task.fault.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![
                task.id.to_string(),
                task.job_id.to_string(),
                task.reference.clone(),
                task.executor.clone(),
                task.state.name().to_owned(),
                format!("{}/{}", task.attempt, task.max_attempts),
                task.created_at.to_string(),
                fault.replace('\n', " "),
            ]
        };
        let rows = page.tasks.iter().map(row).collect();
        let heads =
            ["TASK", "JOB", "REFERENCE", "EXECUTOR", "STATE", "ATTEMPTS", "ACCEPTED", "FAULT"];
        columns(&heads, rows, &[5])
    });
    note_more(page.cursor.as_ref(), output);
    Ok(())
}

async fn checkpoints(
    config: &Config,
    operation: ListCheckpoints,
    output: &Output,
) -> Result<(), CliError> {
    let page = invoke(config, operation).await?;
    output.result(&page, || {
        let row = |one: &ShownCheckpoint| {
            vec![
                one.n.to_string(),
                one.step.clone(),
                one.attempt.to_string(),
                one.at.to_string(),
                Bytes(one.bytes).to_string(),
                one.value.clone().unwrap_or_default(),
            ]
        };
        let rows = page.checkpoints.iter().map(row).collect();
        columns(&["N", "STEP", "ATTEMPT", "SAVED", "SIZE", "VALUE"], rows, &[0, 2, 4])
    });
    note_more(page.cursor.as_ref(), output);
    Ok(())
}

/// Prints a task: each of its fields that says something.
fn show(task: &Task, output: &Output) {
    output.result(task, || {
        let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let fields = [
            ("task", Some(task.id.to_string())),
            ("job", Some(task.job_id.to_string())),
            ("reference", Some(task.reference.clone())),
            ("name", task.name.clone()),
            ("executor", Some(task.executor.clone())),
            ("state", Some(task.state.to_string())),
            ("attempts", Some(format!("{} of {}", task.attempts.len(), task.max_attempts))),
            ("accepted", Some(task.created_at.to_string())),
            ("started", moment(task.started_at)),
            ("cancelled", moment(task.cancel_at)),
            ("ended", moment(task.ended_at)),
            ("fault", task.fault.as_ref().map(ToString::to_string)),
            ("output", task.output.as_ref().map(ToString::to_string)),
        ];
        let row = |(name, value): (&str, Option<String>)| Some(vec![name.to_owned(), value?]);
        columns(&[], fields.into_iter().filter_map(row).collect(), &[])
    });
}
