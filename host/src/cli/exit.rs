//! The exit codes.

use std::process::ExitCode;

use apflow_api::Code;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::job::{Job, Task};
use apflow_model::state::{JobState, TaskState};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// The thing itself failed: a job, a manifest, something that is not there.
    Failed,
    /// What was typed cannot be read.
    Usage,
    /// Refused: a permission, a grant, a budget, an approval.
    Refused,
    /// The server is not reached, or does not answer as one.
    Unreachable,
    /// Cancelled.
    Cancelled,
    /// The host failed.
    Internal,
}

impl Exit {
    /// How a refused verb ends the process.
    pub(crate) fn of_code(code: Code) -> Self {
        Self::of(code.name(), code.status())
    }

    /// How what a server refuses with this code and HTTP status ends the process.
    pub(crate) fn of(code: &str, status: u16) -> Self {
        // That somebody has to consent is a refusal here, and over HTTP something to be sent again.
        if code == Code::ConsentNeeded.name() {
            return Self::Refused;
        }
        match status {
            400 => Self::Usage,
            401 | 403 => Self::Refused,
            500.. => Self::Internal,
            _ => Self::Failed,
        }
    }

    /// How a job's end ends the process: as refused when that is all that went wrong.
    pub(crate) fn of_job(job: &Job) -> Self {
        match job.state {
            JobState::Completed => Self::Ok,
            JobState::Cancelled => Self::Cancelled,
            JobState::Pending | JobState::Running => Self::Failed,
            JobState::Failed => {
                // What was skipped is what comes of it.
                let ended = job.tasks.iter().filter(|task| task.state != TaskState::Skipped);
                let mut faults = ended.filter_map(|task| task.fault.as_ref()).peekable();
                let is_refusal = faults.peek().is_some() && faults.all(is_refusal);
                if is_refusal { Self::Refused } else { Self::Failed }
            }
        }
    }

    /// How a task's end ends the process.
    pub(crate) fn of_task(task: &Task) -> Self {
        match task.state {
            TaskState::Completed => Self::Ok,
            TaskState::Cancelled => Self::Cancelled,
            TaskState::Failed if task.fault.as_ref().is_some_and(is_refusal) => Self::Refused,
            TaskState::Failed
            | TaskState::Skipped
            | TaskState::Blocked
            | TaskState::Scheduled
            | TaskState::Ready
            | TaskState::Running
            | TaskState::Parked => Self::Failed,
        }
    }
}

fn is_refusal(fault: &Fault) -> bool {
    matches!(
        fault.code,
        FaultCode::CapabilityDenied | FaultCode::BudgetExhausted | FaultCode::Denied
    )
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Usage => Self::from(2),
            Exit::Refused => Self::from(3),
            Exit::Unreachable => Self::from(4),
            Exit::Cancelled => Self::from(5),
            Exit::Internal => Self::from(70),
        }
    }
}
