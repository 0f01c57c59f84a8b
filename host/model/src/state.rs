//! The states of tasks and jobs, and how a job's follows from its tasks'.
//!
//! It does not decide when a task moves: the engine does.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a task stands. The last four are ends: only a redrive takes a task out of them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waits for its dependencies.
    Blocked,
    /// Waits for a time.
    Scheduled,
    /// Waits for a free place to run.
    Ready,
    /// An attempt is under way.
    Running,
    /// Waits for a budget, an approval or a limit.
    Parked,
    /// Ended well.
    Completed,
    /// Ended badly, with no attempts left.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
    /// Never ran: a required dependency did not complete.
    Skipped,
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Parked,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// The number that databases keep. Ends are 8 and above.
    pub const fn code(self) -> i64 {
        match self {
            Self::Blocked => 0,
            Self::Scheduled => 1,
            Self::Ready => 2,
            Self::Running => 3,
            Self::Parked => 4,
            Self::Completed => 8,
            Self::Failed => 9,
            Self::Cancelled => 10,
            Self::Skipped => 11,
        }
    }

    /// The state with this number, if there is one.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// True for an end.
    pub const fn is_end(self) -> bool {
        self.code() >= 8
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Where a job stands: a pure function of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// No task has started.
    Pending,
    /// Some task has started, and some has not ended.
    Running,
    /// Every task has ended, and every failure was excused by an optional dependency.
    Completed,
    /// Every task has ended, and some failure was not excused.
    Failed,
    /// Every task has ended, none failed, and some was cancelled.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 5] =
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True for an end: only a redrive takes a job out of it again.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Where a job stands whose tasks are in these states, in time linear in tasks and edges.
    ///
    /// `has_started` says whether an attempt of any of them ever began.
    pub fn of(states: &[TaskState], edges: &[Edge], has_started: bool) -> Self {
        if states.iter().all(|state| state.is_end()) {
            Self::of_ended(states, edges)
        } else if has_started {
            Self::Running
        } else {
            Self::Pending
        }
    }

    /// How a job ends whose tasks have all ended, in time linear in tasks and edges.
    ///
    /// A task *counts* when nothing depends on it, or when something that counts requires it. A
    /// failed task that does not count was excused: every path from it leads through an optional
    /// dependency, by which the caller said that the job can do without.
    pub fn of_ended(states: &[TaskState], edges: &[Edge]) -> Self {
        let counts = counting_tasks(states.len(), edges);
        let any = |end| states.iter().zip(&counts).any(|(state, counts)| *counts && *state == end);
        if any(TaskState::Failed) {
            Self::Failed
        } else if any(TaskState::Cancelled) {
            Self::Cancelled
        } else {
            Self::Completed
        }
    }
}

/// That one task waits for another. Tasks are named by their place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The task that waits.
    pub task: usize,
    /// The task it waits for.
    pub dependency: usize,
    /// Whether `task` is skipped when `dependency` does not complete.
    pub required: bool,
}

fn counting_tasks(tasks: usize, edges: &[Edge]) -> Vec<bool> {
    let mut counts = vec![true; tasks];
    let mut required_by = vec![Vec::new(); tasks];
    for edge in edges {
        counts[edge.dependency] = false;
        if edge.required {
            required_by[edge.task].push(edge.dependency);
        }
    }
    let mut found: Vec<usize> = (0..tasks).filter(|task| counts[*task]).collect();
    while let Some(task) = found.pop() {
        for dependency in &required_by[task] {
            if !counts[*dependency] {
                counts[*dependency] = true;
                found.push(*dependency);
            }
        }
    }
    counts
}

impl fmt::Display for JobState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|state| state.name()).collect();
            format!("`{text}` is not a job state: expected one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskState::{Cancelled, Completed, Failed, Skipped};

    fn edge(task: usize, dependency: usize, required: bool) -> Edge {
        Edge { task, dependency, required }
    }

    #[test]
    fn a_failure_without_dependents_fails_the_job() {
        assert_eq!(JobState::of_ended(&[Completed, Failed], &[]), JobState::Failed);
    }

    #[test]
    fn a_failure_that_is_only_optional_is_excused() {
        let edges = [edge(2, 0, true), edge(2, 1, false)];
        assert_eq!(
            JobState::of_ended(&[Completed, Failed, Completed], &edges),
            JobState::Completed
        );
    }

    #[test]
    fn a_failure_is_excused_through_a_skipped_task() {
        // 0 failed, 1 required it and was skipped, 2 holds 1 as optional.
        let edges = [edge(1, 0, true), edge(2, 1, false)];
        assert_eq!(JobState::of_ended(&[Failed, Skipped, Completed], &edges), JobState::Completed);
    }

    #[test]
    fn a_failure_counts_when_one_of_its_dependents_requires_it() {
        let edges = [edge(1, 0, false), edge(2, 0, true)];
        assert_eq!(JobState::of_ended(&[Failed, Completed, Skipped], &edges), JobState::Failed);
    }

    #[test]
    fn a_cancelled_task_cancels_the_job_unless_another_failed() {
        assert_eq!(JobState::of_ended(&[Completed, Cancelled], &[]), JobState::Cancelled);
        assert_eq!(JobState::of_ended(&[Failed, Cancelled], &[]), JobState::Failed);
    }

    #[test]
    fn a_job_runs_from_its_first_attempt_to_its_last_end() {
        let states = [TaskState::Ready, Completed];
        assert_eq!(JobState::of(&states, &[], true), JobState::Running);
        assert_eq!(JobState::of(&[TaskState::Ready, Cancelled], &[], false), JobState::Pending);
        assert_eq!(JobState::of(&[Failed, Completed], &[], true), JobState::Failed);
    }

    #[test]
    fn a_state_is_found_by_its_number() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::from_code(state.code()), Some(state));
        }
        assert_eq!(TaskState::from_code(5), None);
    }
}
