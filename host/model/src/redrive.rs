//! Which tasks of a job run again when those that did not end well are redriven.
//!
//! It does not choose them: whoever asks for the redrive does.

use crate::clock::Timestamp;
use crate::state::{Edge, TaskState};

/// A task before a redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Where it stands.
    pub state: TaskState,
    /// Not before this moment.
    pub run_at: Timestamp,
    /// Whether it shall run again: it has failed or was cancelled.
    pub is_chosen: bool,
}

/// What a redrive does to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redriven {
    /// Its place in the list.
    pub place: usize,
    /// The state it is in now: blocked, scheduled or ready.
    pub state: TaskState,
    /// How many of its dependencies have not ended now.
    pub waiting: usize,
    /// Whether it had ended. If not, it has not begun, and waits once more for an optional dependency.
    pub had_ended: bool,
}

/// What becomes of a job's tasks, in the order of their places, in time linear in tasks and edges.
/// Tasks that stay as they are are left out.
///
/// A chosen task runs again, and so does one that was skipped, once every task that it requires has
/// completed, is still to end, or runs again. A task that waits, and has not begun, waits again for
/// what runs again.
pub fn redrive(tasks: &[Stand], edges: &[Edge], now: Timestamp) -> Vec<Redriven> {
    let again = runs_again(tasks, edges);
    let is_open = |place: usize| again[place] || !tasks[place].state.is_end();
    let mut waiting = vec![0; tasks.len()];
    let mut is_touched = again.clone();
    for edge in edges {
        waiting[edge.task] += usize::from(is_open(edge.dependency));
        is_touched[edge.task] |= again[edge.dependency];
    }
    let touched = (0..tasks.len()).filter(|place| is_touched[*place]);
    let redriven = touched.filter_map(|place| {
        let Stand { state: before, run_at, .. } = tasks[place];
        let has_begun = matches!(before, TaskState::Running | TaskState::Parked);
        if has_begun || (before.is_end() && !again[place]) {
            return None;
        }
        let (waiting, had_ended) = (waiting[place], again[place]);
        let state = if waiting > 0 {
            TaskState::Blocked
        } else if run_at > now {
            TaskState::Scheduled
        } else {
            TaskState::Ready
        };
        Some(Redriven { place, state, waiting, had_ended })
    });
    redriven.collect()
}

/// Which tasks run again.
fn runs_again(tasks: &[Stand], edges: &[Edge]) -> Vec<bool> {
    let is_lost = |state: TaskState| state.is_end() && state != TaskState::Completed;
    let may = |task: &Stand| {
        let is_skipped = task.state == TaskState::Skipped;
        is_skipped || (task.is_chosen && is_lost(task.state))
    };
    // How many of the tasks that it requires are lost, and who requires a lost one.
    let mut lost = vec![0_usize; tasks.len()];
    let mut required_by = vec![Vec::new(); tasks.len()];
    for edge in edges.iter().filter(|edge| edge.required && is_lost(tasks[edge.dependency].state)) {
        lost[edge.task] += 1;
        required_by[edge.dependency].push(edge.task);
    }
    let mut again = vec![false; tasks.len()];
    let mut found: Vec<usize> =
        (0..tasks.len()).filter(|place| may(&tasks[*place]) && lost[*place] == 0).collect();
    while let Some(place) = found.pop() {
        again[place] = true;
        for dependent in &required_by[place] {
            lost[*dependent] -= 1;
            if lost[*dependent] == 0 && may(&tasks[*dependent]) {
                found.push(*dependent);
            }
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use TaskState::{Blocked, Cancelled, Completed, Failed, Ready, Running, Scheduled, Skipped};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    fn stand(state: TaskState) -> Stand {
        Stand { state, run_at: NOW, is_chosen: state == Failed }
    }

    fn edge(task: usize, dependency: usize, required: bool) -> Edge {
        Edge { task, dependency, required }
    }

    fn states(tasks: &[Stand], edges: &[Edge]) -> Vec<(usize, TaskState, usize)> {
        let redriven = redrive(tasks, edges, NOW);
        redriven.into_iter().map(|task| (task.place, task.state, task.waiting)).collect()
    }

    #[test]
    fn what_was_skipped_waits_again() {
        let tasks = [Failed, Skipped, Skipped, Completed].map(stand);
        let edges = [edge(1, 0, true), edge(2, 1, true), edge(2, 3, true)];
        assert_eq!(states(&tasks, &edges), [(0, Ready, 0), (1, Blocked, 1), (2, Blocked, 1)]);
    }

    #[test]
    fn what_requires_another_lost_task_stays_skipped() {
        let tasks = [Failed, Cancelled, Skipped].map(stand);
        let edges = [edge(2, 0, true), edge(2, 1, true)];
        assert_eq!(states(&tasks, &edges), [(0, Ready, 0)]);
    }

    #[test]
    fn a_cancelled_task_runs_again_only_when_it_is_chosen_and_can() {
        let chosen =
            Stand { is_chosen: true, run_at: Timestamp::from_unix_ms(2_000), ..stand(Cancelled) };
        assert_eq!(states(&[stand(Cancelled), chosen], &[]), [(1, Scheduled, 0)]);
        assert_eq!(states(&[stand(Cancelled), chosen], &[edge(1, 0, true)]), []);
    }

    #[test]
    fn a_task_that_has_begun_or_ended_is_not_held_up() {
        let tasks = [Failed, Ready, Running, Completed, Blocked, Ready].map(stand);
        let edges = [
            edge(1, 0, false),
            edge(2, 0, false),
            edge(3, 0, false),
            edge(4, 0, false),
            edge(4, 5, true),
        ];
        assert_eq!(states(&tasks, &edges), [(0, Ready, 0), (1, Blocked, 1), (4, Blocked, 2)]);
    }

    proptest! {
        #[test]
        fn nothing_runs_again_before_what_it_requires(
            drawn in prop::collection::vec((0..4_usize, any::<u16>(), any::<u16>()), 1..12),
        ) {
            let tasks: Vec<_> =
                drawn.iter().map(|(end, ..)| stand([Completed, Failed, Cancelled, Skipped][*end])).collect();
            let edges: Vec<_> = (0..tasks.len()).flat_map(|task| {
                let (_, depends, requires) = drawn[task];
                (0..task).filter(move |place| depends >> place & 1 == 1)
                    .map(move |place| edge(task, place, requires >> place & 1 == 1))
            }).collect();
            let redriven = redrive(&tasks, &edges, NOW);
            let is_again = |place| redriven.iter().any(|task| task.place == place);
            for task in &redriven {
                for edge in edges.iter().filter(|edge| edge.task == task.place && edge.required) {
                    prop_assert!(tasks[edge.dependency].state == Completed || is_again(edge.dependency));
                }
                prop_assert_eq!(task.state == Blocked, task.waiting > 0);
            }
        }
    }
}
