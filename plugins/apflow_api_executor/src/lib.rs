//! First-party plugin `apflow_api_executor`: runs a job on another apflow-host.
//!
//! This file only follows one job from its submission to its end; what things mean, the other files
//! say.

pub mod ended;
pub mod patience;
pub mod progress;
pub mod refusal;
pub mod remote;
pub mod report;
pub mod request;

use std::time::Duration;

use apflow_sdk::log::{self, Level};
use apflow_sdk::{Fault, Task, budget, control, secret, wait};

use crate::ended::Output;
use crate::patience::{Patience, Stopped};
use crate::progress::{Progress, Start};
use crate::remote::{Job, Remote};
use crate::report::Report;
use crate::request::{Input, Request, RequestError};

/// How long to let events gather before they are asked for again.
const GATHER: Duration = Duration::from_millis(100);

/// Runs a job on another apflow-host: submits it once, passes on its log and progress, and returns
/// its outputs.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when the other host refuses the job, [`Fault::Retryable`] when it is out of
/// reach or busy, [`Fault::Cancelled`] when this task was cancelled, and the fault of the job's task
/// that failed otherwise.
#[apflow_sdk::executor(
    id = "apflow_api_executor",
    name = "apflow API",
    tags = ["apflow", "remote", "federation"]
)]
pub async fn run_elsewhere(task: Task, input: Input) -> Result<Output, Fault> {
    let request = Request::new(&input, &task, budget::remaining())?;
    let remote = Remote::new(request.base.clone(), secret::get(&input.token_secret)?);
    let patience = Patience::new(request.timeout);
    control::check()?;
    let (mut progress, followed) = match begin(&remote, &request, &task).await? {
        (progress, Some(job)) => {
            let followed = follow(&remote, job, patience).await;
            (progress, followed)
        }
        (progress, None) => {
            let found = patience.ask(async || remote.find(&progress.job_id).await).await;
            let followed = match found {
                Ok(job) => follow(&remote, job, patience).await,
                Err(stopped) => Err(stopped),
            };
            (progress, followed)
        }
    };
    match followed {
        Ok(job) => finish(&request, &mut progress, job),
        Err(stopped) => Err(stop(&remote, &request, &mut progress, stopped).await),
    }
}

/// Submits the job, or takes up the one that an earlier attempt submitted. The job, when the other
/// host has just shown it.
async fn begin(
    remote: &Remote,
    request: &Request,
    task: &Task,
) -> Result<(Progress, Option<Job>), Fault> {
    let (progress, job) = match Start::load()? {
        Start::Submitted(progress) => return Ok((progress, None)),
        // Not given up when the task is cancelled meanwhile: then nobody could cancel the job.
        Start::Fresh => {
            let job = remote.submit(&request.job, &task.idempotency_key).await?;
            (Progress::new(job.id.clone()), job)
        }
        Start::Ended(progress) => {
            let job = remote.retry(&progress.job_id).await?;
            (progress, job)
        }
    };
    progress.save_submitted()?;
    log::write(Level::Info, "submitted", &[("job", &progress.job_id), ("url", &request.base)]);
    Ok((progress, Some(job)))
}

/// Passes on what happens to a job until it has ended, and gives it as it is then.
async fn follow(remote: &Remote, job: Job, patience: Patience) -> Result<Job, Stopped> {
    let mut report = Report::new(&job.tasks);
    let mut after = 0;
    loop {
        let page = patience.ask(async || remote.events(&job.id, after).await).await?;
        report.pass_on(&page.events);
        match page.next {
            Some(next) => after = next,
            None => return patience.ask(async || remote.find(&job.id).await).await,
        }
        if !page.events.is_empty() {
            patience.unless_over(wait::sleep(GATHER)).await?;
        }
    }
}

/// The end of a job that has ended.
fn finish(request: &Request, progress: &mut Progress, job: Job) -> Result<Output, Fault> {
    progress.charge(&job)?;
    if ended::is_completed(&job) {
        return Ok(ended::output(&request.base, job));
    }
    progress.save_ended()?;
    Err(ended::fault(&request.base, &job))
}

/// The end of an attempt whose job has not ended: cancels the job, unless another attempt goes on
/// with it.
async fn stop(
    remote: &Remote,
    request: &Request,
    progress: &mut Progress,
    stopped: Stopped,
) -> Fault {
    let Progress { job_id, .. } = progress.clone();
    let fault = match stopped {
        Stopped::Remote(error) => return error.into(),
        Stopped::Cancelled => Fault::Cancelled,
        Stopped::TimeUp => Fault::permanent(format!(
            "the job `{job_id}` on {} did not end in time, and was cancelled there; \
             `timeout_seconds` of the inputs and of the task set how long it may take",
            request.base
        )),
    };
    let cancelled = match remote.cancel(&job_id).await {
        Ok(job) => progress.charge(&job).and_then(|()| progress.save_ended()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = cancelled {
        let fields: [(&str, &dyn std::fmt::Display); 2] =
            [("job", &job_id), ("url", &request.base)];
        log::write(Level::Error, format!("the job may go on there: {error}"), &fields);
    }
    fault
}

impl From<RequestError> for Fault {
    fn from(error: RequestError) -> Self {
        Self::invalid_input(error.to_string())
    }
}

#[cfg(test)]
mod tests;
