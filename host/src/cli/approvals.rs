//! `approvals list`, `approvals approve`, `approvals deny`.

use apflow_api::{ApproveTask, DenyTask, ListApprovals, Page};
use apflow_model::approval::Reason;
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use clap::{Args, Subcommand};

use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::{Output, columns, shorten};
use super::page::note_more;
use crate::config::Config;

/// How much of the inputs of a task a list shows.
const INPUTS_CHARACTERS_MAX: usize = 60;

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsVerb {
    /// List the tasks that wait for an approval, with what their tools would be given.
    List {
        /// How many, from 1 to 100.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// The cursor that the page before ended with.
        #[arg(long)]
        cursor: Option<TaskId>,
    },
    /// Let one task run its tool.
    Approve(Wanted),
    /// Fail one task instead of running its tool.
    Deny(Wanted),
}

#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// The id of the task.
    id: TaskId,
    /// Why, for whoever reads it later.
    #[arg(long)]
    reason: Option<Reason>,
}

pub(crate) async fn run(
    config: &Config,
    verb: ApprovalsVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        ApprovalsVerb::List { limit, cursor } => list(config, limit, cursor, output).await?,
        ApprovalsVerb::Approve(Wanted { id, reason }) => {
            show(&invoke(config, ApproveTask { id, reason }).await?, output);
        }
        ApprovalsVerb::Deny(Wanted { id, reason }) => {
            show(&invoke(config, DenyTask { id, reason }).await?, output);
        }
    }
    Ok(Exit::Ok)
}

async fn list(
    config: &Config,
    limit: u32,
    cursor: Option<TaskId>,
    output: &Output,
) -> Result<(), CliError> {
    let page = Page { limit: Some(limit), cursor };
    let listed = invoke(config, ListApprovals { page }).await?;
    output.result(&listed, || {
        if listed.approvals.is_empty() {
            return "nothing waits for an approval".to_owned();
        }
        let rows = listed.approvals.iter().map(|pending| {
            vec![
                pending.task_id.to_string(),
                pending.tool.clone(),
                pending.principal.clone(),
                pending.asked_at.to_string(),
                shorten(&pending.inputs.to_string(), INPUTS_CHARACTERS_MAX),
            ]
        });
        columns(&["TASK", "TOOL", "PRINCIPAL", "ASKED", "INPUTS"], rows.collect(), &[])
    });
    note_more(listed.cursor.as_ref(), output);
    Ok(())
}

fn show(task: &Task, output: &Output) {
    output.result(task, || {
        let decided = task.approvals.iter().rev().find_map(|approval| {
            let decided = approval.decided.as_ref()?;
            Some(format!("{} {} by {}", approval.tool, decided.decision, decided.principal))
        });
        format!("{} is {}: {}", task.id, task.state, decided.unwrap_or_default())
    });
}
