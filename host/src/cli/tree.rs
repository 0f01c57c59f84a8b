//! Draws a job as a tree: each task with its state, time, memory and result.

use std::collections::HashMap;
use std::time::Duration;

use apflow_model::id::TaskId;
use apflow_model::job::{Job, Task};
use apflow_model::limit::{Bytes, Span};
use apflow_model::state::TaskState;

use super::output::{columns, shorten};

/// How much of an output or a fault a line shows.
const RESULT_CHARACTERS_MAX: usize = 64;

/// Draws a job, and below it every fault in full.
pub(crate) fn draw(job: &Job) -> String {
    let rows = places(&job.tasks).into_iter().map(|(place, task)| row(task, place)).collect();
    let name = job.name.as_deref().unwrap_or("job");
    let head = format!("{name} {} {}", job.id, job.state.name());
    let took = job.ended_at.map(|ended| ended.since(job.created_at));
    let took = took.map(|took| format!(" in {}", Span(took))).unwrap_or_default();
    let faults: Vec<String> = job
        .tasks
        .iter()
        .filter_map(|task| task.fault.as_ref().map(|fault| format!("{}: {fault}", task.reference)))
        .collect();
    let tree = columns(&[], rows, &[2, 3]);
    if faults.is_empty() {
        return format!("{head}{took}\n{tree}");
    }
    format!("{head}{took}\n{tree}\n\n{}", faults.join("\n"))
}

/// The tasks from the top of the tree to its bottom, each with its reference behind its branches.
pub(crate) fn places(tasks: &[Task]) -> Vec<(String, &Task)> {
    let mut children = HashMap::<Option<TaskId>, Vec<&Task>>::new();
    for task in tasks {
        children.entry(task.parent).or_default().push(task);
    }
    let mut places = Vec::new();
    add(&children, None, "", &mut places);
    places
}

/// Adds the tasks below one, and all below them. No job is more than some thirty tasks deep.
fn add<'a>(
    children: &HashMap<Option<TaskId>, Vec<&'a Task>>,
    parent: Option<TaskId>,
    indent: &str,
    places: &mut Vec<(String, &'a Task)>,
) {
    let tasks = children.get(&parent).map_or(&[][..], Vec::as_slice);
    for (index, task) in tasks.iter().enumerate() {
        let is_last = index + 1 == tasks.len();
        let (branch, trunk) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        places.push((format!("{indent}{branch}{}", task.reference), *task));
        add(children, Some(task.id), &format!("{indent}{trunk}"), places);
    }
}

fn row(task: &Task, place: String) -> Vec<String> {
    let has_run = task.usage.wall_us > 0;
    let when_run = |text: String| if has_run { text } else { String::new() };
    let attempts = match task.attempts.len() {
        0 | 1 => String::new(),
        count => format!(" ({count} attempts)"),
    };
    let result = match (&task.output, &task.fault) {
        (Some(output), _) => output.to_string(),
        (None, Some(fault)) => fault.to_string(),
        (None, None) => String::new(),
    };
    vec![
        place,
        format!("{} {}{attempts}", glyph(task.state), task.state),
        when_run(Span(Duration::from_micros(task.usage.wall_us)).to_string()),
        when_run(Bytes(task.usage.memory_bytes_peak).to_string()),
        shorten(&result.replace('\n', " "), RESULT_CHARACTERS_MAX),
    ]
}

/// A sign for a state.
pub(crate) fn glyph(state: TaskState) -> char {
    match state {
        TaskState::Blocked | TaskState::Scheduled | TaskState::Ready | TaskState::Parked => '·',
        TaskState::Running => '▸',
        TaskState::Completed => '✓',
        TaskState::Failed => '✗',
        TaskState::Cancelled | TaskState::Skipped => '–',
    }
}
