//! `jobs list`, `jobs show`, `jobs cancel`, `jobs retry`, `jobs purge`.

use apflow_api::{
    CancelAllJobs, CancelJob, DeleteJob, FindJob, ListJobs, Page, PurgeJobs, RetryJob,
};
use apflow_model::id::JobId;
use apflow_model::job::Job;

use super::arguments;
use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use super::tree;
use crate::config::Config;

pub(crate) async fn list(
    config: &Config,
    list: arguments::ListJobs,
    output: &Output,
) -> Result<Exit, CliError> {
    let operation = ListJobs {
        state: list.state,
        executor: list.executor,
        tool: list.tool,
        principal: list.principal,
        since: list.since,
        until: list.until,
        page: Page { limit: Some(list.limit), cursor: list.cursor },
    };
    let page = invoke(config, operation).await?;
    output.result(&page, || {
        let row = |job: &Job| {
            vec![
                job.id.to_string(),
                job.state.name().to_owned(),
                job.task_count.to_string(),
                job.created_at.to_string(),
                job.principal.clone(),
                job.name.clone().unwrap_or_default(),
            ]
        };
        let rows = page.jobs.iter().map(row).collect();
        columns(&["JOB", "STATE", "TASKS", "ACCEPTED", "BY", "NAME"], rows, &[2])
    });
    note_more(page.cursor.as_ref(), output);
    Ok(Exit::Ok)
}

pub(crate) async fn show(config: &Config, id: &JobId, output: &Output) -> Result<Exit, CliError> {
    let job = invoke(config, FindJob { id: *id }).await?;
    output.result(&job, || tree::draw(&job));
    Ok(Exit::Ok)
}

/// Cancels one job, or all when none is named.
pub(crate) async fn cancel(
    config: &Config,
    id: Option<JobId>,
    output: &Output,
) -> Result<Exit, CliError> {
    if let Some(id) = id {
        let job = invoke(config, CancelJob { id }).await?;
        output.result(&job, || tree::draw(&job));
        return Ok(Exit::Ok);
    }
    let all = invoke(config, CancelAllJobs).await?;
    output.result(&all, || match all.cancelled {
        1 => "cancelled 1 job".to_owned(),
        count => format!("cancelled {count} jobs"),
    });
    Ok(Exit::Ok)
}

/// Lets what failed in a job run again, and shows the job as it stands then.
pub(crate) async fn retry(
    config: &Config,
    retry: RetryJob,
    output: &Output,
) -> Result<Exit, CliError> {
    let job = invoke(config, retry).await?;
    output.result(&job, || tree::draw(&job));
    Ok(Exit::Ok)
}

/// Removes one job, or all that ended before a moment.
pub(crate) async fn purge(
    config: &Config,
    purge: arguments::PurgeJobs,
    output: &Output,
) -> Result<Exit, CliError> {
    if let Some(id) = purge.id {
        let purged = invoke(config, DeleteJob { id, is_purge: true }).await?;
        output.result(&purged, || format!("removed {id}"));
    }
    if let Some(before) = purge.before {
        let purged = invoke(config, PurgeJobs { before, state: purge.state }).await?;
        output.result(&purged, || match purged.purged {
            1 => "removed 1 job".to_owned(),
            count => format!("removed {count} jobs"),
        });
    }
    Ok(Exit::Ok)
}
