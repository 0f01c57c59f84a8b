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
    let mut children = HashMap::<Option<TaskId>, Vec<&Task>>::new();
    for task in &job.tasks {
        children.entry(task.parent).or_default().push(task);
    }
    let mut rows = Vec::new();
    add(&children, None, "", &mut rows);
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

/// Adds the rows of the tasks below one, and of all below them. No job is more than some thirty
/// tasks deep.
fn add(
    children: &HashMap<Option<TaskId>, Vec<&Task>>,
    parent: Option<TaskId>,
    indent: &str,
    rows: &mut Vec<Vec<String>>,
) {
    let tasks = children.get(&parent).map_or(&[][..], Vec::as_slice);
    for (index, task) in tasks.iter().enumerate() {
        let is_last = index + 1 == tasks.len();
        let (branch, trunk) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        rows.push(row(task, &format!("{indent}{branch}{}", task.reference)));
        add(children, Some(task.id), &format!("{indent}{trunk}"), rows);
    }
}

fn row(task: &Task, place: &str) -> Vec<String> {
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
        place.to_owned(),
        format!("{} {}{attempts}", glyph(task.state), task.state),
        when_run(Span(Duration::from_micros(task.usage.wall_us)).to_string()),
        when_run(Bytes(task.usage.memory_bytes_peak).to_string()),
        shorten(&result.replace('\n', " "), RESULT_CHARACTERS_MAX),
    ]
}

fn glyph(state: TaskState) -> char {
    match state {
        TaskState::Blocked | TaskState::Scheduled | TaskState::Ready | TaskState::Parked => '·',
        TaskState::Running => '▸',
        TaskState::Completed => '✓',
        TaskState::Failed => '✗',
        TaskState::Cancelled | TaskState::Skipped => '–',
    }
}
