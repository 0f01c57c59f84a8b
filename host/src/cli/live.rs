//! A job while it runs: what happens to it and the time of day in, the lines of a terminal out.
//!
//! It neither waits nor prints: `watch` does.

use std::collections::HashMap;
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::event::{Event, Happening};
use apflow_model::id::TaskId;
use apflow_model::job::{Job, Task};
use apflow_model::money::MicroUsd;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;

use super::output::{columns, one_line, shorten};
use super::screen::{Colour, Line, Size};
use super::tree::{glyph, places};

/// How many cells a bar has.
const BAR_CELLS: u8 = 10;
/// How much of a message a line shows.
const MESSAGE_CHARACTERS_MAX: usize = 64;

/// A job while it runs.
pub(crate) struct Live {
    title: String,
    created_at: Timestamp,
    /// The tasks, as the tree shows them.
    rows: Vec<Row>,
    /// Where each task is among the rows.
    by_id: HashMap<TaskId, usize>,
}

/// A task while its job runs.
struct Row {
    reference: String,
    /// Its reference where it stands in the tree.
    place: String,
    state: TaskState,
    /// The number of its latest attempt, zero before the first.
    attempt: u32,
    attempts_max: u32,
    /// When its latest attempt began.
    since: Option<Timestamp>,
    /// When that ended, or the task with it.
    until: Option<Timestamp>,
    /// How far its latest attempt said that it is, from 0.0 to 1.0.
    progress: Option<f64>,
    /// What it does, or why it did not go well.
    message: String,
    usage: Usage,
}

impl Live {
    /// A job as it stands.
    pub(crate) fn new(job: &Job) -> Self {
        let name = job.name.as_deref().unwrap_or("job");
        let tasks = places(&job.tasks);
        let by_id = tasks.iter().enumerate().map(|(index, (_, task))| (task.id, index)).collect();
        let rows = tasks.into_iter().map(|(place, task)| Row::new(place, task)).collect();
        let title = one_line(&format!("{name} {}", job.id));
        Self { title, created_at: job.created_at, rows, by_id }
    }

    /// Takes in what happened. Tells whether an attempt ended, so that it has a receipt now.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        let Some(index) = event.task_id.and_then(|id| self.by_id.get(&id)) else { return false };
        let row = &mut self.rows[*index];
        let did_run = row.state == TaskState::Running;
        row.take(event);
        did_run && row.state != TaskState::Running
    }

    /// Takes in what the attempts that ended used, and how often each task may be tried.
    pub(crate) fn look(&mut self, job: &Job) {
        for task in &job.tasks {
            let Some(index) = self.by_id.get(&task.id) else { continue };
            self.rows[*index].usage = task.usage;
            self.rows[*index].attempts_max = task.max_attempts;
        }
    }

    /// What a task said, with its reference where there are several.
    pub(crate) fn said_by(&self, task: Option<TaskId>, text: &str) -> String {
        let index = task.and_then(|id| self.by_id.get(&id));
        let Some(index) = index.filter(|_| self.rows.len() > 1) else { return text.to_owned() };
        let reference = &self.rows[*index].reference;
        let lines: Vec<_> = text.lines().map(|line| format!("{reference} {line}")).collect();
        lines.join("\n")
    }

    /// The lines to draw: at most one less than the terminal has rows, where the cursor stands.
    pub(crate) fn lines(&self, now: Timestamp, size: Size) -> Vec<Line> {
        let space = size.rows.saturating_sub(2);
        let mut lines = vec![plain(self.head(now))];
        if self.rows.len() <= space {
            let shown: Vec<_> = self.rows.iter().map(|row| (row.place.as_str(), row)).collect();
            lines.extend(table(&shown, now));
        } else {
            // Without those that are left out, branches would lead nowhere.
            let (shown, rest) = self.most_telling(space.saturating_sub(1));
            let shown: Vec<_> = shown.iter().map(|row| (row.reference.as_str(), *row)).collect();
            lines.extend(table(&shown, now));
            lines.push(plain(count(&rest)));
        }
        lines.truncate(size.rows.saturating_sub(1));
        lines
            .into_iter()
            .map(|line| Line { text: shorten(&line.text, size.columns), ..line })
            .collect()
    }

    /// The job as a whole.
    fn head(&self, now: Timestamp) -> String {
        let ended = self.rows.iter().filter(|row| row.state.is_end()).count();
        let mut head = self.title.clone();
        if self.rows.len() > 1 {
            let cells = ended * usize::from(BAR_CELLS) / self.rows.len();
            head = format!("{head}  {} {ended}/{}", bar(cells), self.rows.len());
        }
        head = format!("{head}  {}", elapsed(now.since(self.created_at)));
        let usage = self.rows.iter().fold(Usage::default(), |sum, row| sum.and(row.usage));
        format!("{head}  {}", cost(&usage)).trim_end().to_owned()
    }

    /// So many tasks as there is room for, in their order, and the rest: first those that run, then
    /// those that are parked, then the newest ends.
    fn most_telling(&self, space: usize) -> (Vec<&Row>, Vec<&Row>) {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|index| {
            let row = &self.rows[*index];
            let ended = row.until.map_or(0, Timestamp::unix_ms).saturating_neg();
            match row.state {
                TaskState::Running => (0, 0),
                TaskState::Parked => (1, 0),
                TaskState::Completed
                | TaskState::Failed
                | TaskState::Cancelled
                | TaskState::Skipped => (2, ended),
                TaskState::Blocked | TaskState::Scheduled | TaskState::Ready => (3, 0),
            }
        });
        let (shown, rest) = order.split_at_mut(space.min(self.rows.len()));
        shown.sort_unstable();
        let rows = |indexes: &[usize]| indexes.iter().map(|index| &self.rows[*index]).collect();
        (rows(shown), rows(rest))
    }
}

impl Row {
    fn new(place: String, task: &Task) -> Self {
        let attempt = task.attempts.last();
        let mut row = Self {
            reference: task.reference.clone(),
            place,
            state: task.state,
            attempt: attempt.map_or(0, |attempt| attempt.n),
            attempts_max: task.max_attempts,
            since: attempt.map(|attempt| attempt.started_at),
            until: attempt.and_then(|attempt| attempt.ended_at).or(task.ended_at),
            progress: None,
            message: String::new(),
            usage: task.usage,
        };
        row.say(&task.fault.as_ref().map(ToString::to_string).unwrap_or_default());
        row
    }

    fn take(&mut self, event: &Event) {
        if let Happening::State { state, fault } = &event.what {
            self.state = *state;
            self.say(&fault.as_ref().map(ToString::to_string).unwrap_or_default());
            if *state == TaskState::Running {
                self.attempt = event.attempt;
                (self.since, self.until) = (Some(event.at), None);
                self.progress = None;
            } else if state.is_end() || self.until.is_none() {
                self.until = Some(event.at);
            }
        } else if let Happening::Progress { fraction, message } = &event.what {
            self.progress = Some(*fraction);
            self.say(message);
        } else if event.what == Happening::Cancelling {
            self.say("is being cancelled");
        }
    }

    fn say(&mut self, message: &str) {
        self.message = shorten(&one_line(message), MESSAGE_CHARACTERS_MAX);
    }

    /// How it stands: the part of its line that has a colour.
    fn standing(&self) -> String {
        let attempt = match (self.attempt, self.attempts_max) {
            (0, _) | (1, 0..=1) => String::new(),
            (attempt, max) => format!(" ({attempt}/{})", max.max(attempt)),
        };
        format!("{} {}{attempt}", glyph(self.state), self.state)
    }

    fn cells(&self, place: &str, now: Timestamp) -> Vec<String> {
        let until = if self.state == TaskState::Running { now } else { self.until.unwrap_or(now) };
        let took = self.since.map(|since| elapsed(until.since(since)));
        let progress = self.progress.filter(|_| self.state == TaskState::Running);
        let progress = progress.map(|fraction| {
            let cells = (0..BAR_CELLS).filter(|cell| is_filled(*cell, fraction)).count();
            format!("{} {:>3.0} %", bar(cells), fraction * 100.0)
        });
        vec![
            place.to_owned(),
            self.standing(),
            took.unwrap_or_default(),
            progress.unwrap_or_default(),
            cost(&self.usage),
            self.message.clone(),
        ]
    }
}

/// Tasks side by side with what is known of them.
fn table(shown: &[(&str, &Row)], now: Timestamp) -> Vec<Line> {
    let cells = shown.iter().map(|(place, row)| row.cells(place, now)).collect();
    let text = columns(&[], cells, &[2, 4]);
    let line = |(text, (place, row)): (&str, &(&str, &Row))| {
        // Right of the place there is nothing but space before it.
        let standing = row.standing();
        let right = text.get(place.len()..).and_then(|right| right.find(&standing));
        let start = place.len() + right.unwrap_or_default();
        let end = start + right.map_or(0, |_| standing.len());
        Line { text: text.to_owned(), mark: start..end, colour: colour(row.state) }
    };
    text.lines().zip(shown).map(line).collect()
}

/// How many tasks are not shown, and how they stand.
fn count(rest: &[&Row]) -> String {
    let counts = TaskState::ALL.iter().filter_map(|state| {
        let count = rest.iter().filter(|row| row.state == *state).count();
        (count > 0).then(|| format!("{count} {state}"))
    });
    format!("… {} more: {}", rest.len(), counts.collect::<Vec<_>>().join(", "))
}

/// What calls of models used and cost, as far as that is known. Empty where there were none.
fn cost(usage: &Usage) -> String {
    let tokens = match usage.tokens_input.saturating_add(usage.tokens_output) {
        0 => return String::new(),
        1 => "1 token".to_owned(),
        tokens => format!("{tokens} tokens"),
    };
    let unpriced = if usage.calls_unpriced > 0 { " and more" } else { "" };
    match usage.micro_usd {
        0 => tokens,
        micro_usd => format!("{tokens} {}{unpriced}", MicroUsd(micro_usd)),
    }
}

fn plain(text: String) -> Line {
    Line { text, mark: 0..0, colour: Colour::Dim }
}

fn colour(state: TaskState) -> Colour {
    match state {
        TaskState::Blocked | TaskState::Scheduled | TaskState::Ready | TaskState::Skipped => {
            Colour::Dim
        }
        TaskState::Running => Colour::Cyan,
        TaskState::Parked | TaskState::Cancelled => Colour::Yellow,
        TaskState::Completed => Colour::Green,
        TaskState::Failed => Colour::Red,
    }
}

/// Whether a cell of a bar is full: when most of what it stands for is done.
fn is_filled(cell: u8, fraction: f64) -> bool {
    (f64::from(cell) + 0.5) <= fraction * f64::from(BAR_CELLS)
}

fn bar(filled: usize) -> String {
    let filled = filled.min(usize::from(BAR_CELLS));
    "█".repeat(filled) + &"░".repeat(usize::from(BAR_CELLS) - filled)
}

/// A span as a clock shows it, which does not jump from unit to unit.
fn elapsed(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{} s", span.subsec_millis() / 100),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::{Fault, FaultCode};
    use serde_json::{Value, json};

    use super::*;

    const WIDE: Size = Size { columns: 200, rows: 24 };
    const NOON: &str = "2026-01-31T12:00:00Z";

    /// A job of tasks that wait, the second below the first.
    fn job(references: &[&str]) -> Job {
        let id = |index: usize| format!("t_000000000000{index}");
        let task = |(index, reference): (usize, &&str)| {
            json!({
                "id": id(index), "job_id": "j_0000000000000", "reference": reference,
                "name": null, "executor": "noop_executor", "state": "blocked",
                "parent": (index == 1).then(|| id(0)), "dependencies": [], "priority": 2,
                "run_at": NOON, "deadline": null, "concurrency": null, "created_at": NOON,
                "started_at": null, "ended_at": null, "cancel_at": null, "allow": null,
                "max_attempts": 3, "output": null, "fault": null, "usage": {}, "attempts": [],
            })
        };
        let tasks: Vec<Value> = references.iter().enumerate().map(task).collect();
        let job = json!({
            "id": "j_0000000000000", "name": "report", "state": "pending", "principal": "operator",
            "created_at": NOON, "ended_at": null, "task_count": tasks.len(), "tasks": tasks,
        });
        serde_json::from_value(job).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        let noon: Timestamp = serde_json::from_value(json!(NOON)).unwrap();
        noon.after(Duration::from_secs(seconds))
    }

    fn event(task: usize, seconds: u64, attempt: u32, what: Happening) -> Event {
        let id = format!("t_000000000000{task}").parse().unwrap();
        let job_id = "j_0000000000000".parse().unwrap();
        Event { n: 1, at: at(seconds), job_id, task_id: Some(id), attempt, what }
    }

    fn moved(task: usize, seconds: u64, attempt: u32, state: TaskState) -> Event {
        event(task, seconds, attempt, Happening::State { state, fault: None })
    }

    fn texts(live: &Live, seconds: u64, size: Size) -> Vec<String> {
        live.lines(at(seconds), size).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_job_is_drawn_with_what_each_task_does() {
        let mut live = Live::new(&job(&["fetch", "parse", "send"]));
        assert!(!live.take(&moved(0, 1, 1, TaskState::Running)));
        assert!(live.take(&moved(0, 3, 1, TaskState::Completed)), "it has a receipt now");
        live.take(&moved(1, 3, 2, TaskState::Running));
        let message = "half\nof \x1b[2Jit".to_owned();
        live.take(&event(1, 4, 2, Happening::Progress { fraction: 0.5, message }));
        let lines = live.lines(at(65), WIDE);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "report j_0000000000000  ███░░░░░░░ 1/3  1:05",
                "├─ fetch     ✓ completed (1/3)  2.0 s",
                "│  └─ parse  ▸ running (2/3)     1:02  █████░░░░░  50 %     half of \u{fffd}[2Jit",
                "└─ send      · blocked",
            ]
        );
        let marks: Vec<_> = lines.iter().map(|line| &line.text[line.mark.clone()]).collect();
        assert_eq!(marks, ["", "✓ completed (1/3)", "▸ running (2/3)", "· blocked"]);
        assert_eq!(lines[2].colour, Colour::Cyan);
    }

    #[test]
    fn an_attempt_begins_anew_and_its_fault_is_shown_until_then() {
        let mut live = Live::new(&job(&["fetch"]));
        live.take(&moved(0, 0, 1, TaskState::Running));
        let progress = Happening::Progress { fraction: 0.9, message: "nearly".to_owned() };
        live.take(&event(0, 1, 1, progress));
        let fault = Some(Fault::new(FaultCode::Trapped, "it broke"));
        let what = Happening::State { state: TaskState::Scheduled, fault };
        assert!(live.take(&event(0, 2, 1, what)));
        let waits = texts(&live, 9, WIDE);
        assert!(waits[1].starts_with("└─ fetch  · scheduled (1/3)  2.0 s"), "{waits:?}");
        assert!(waits[1].ends_with("it broke"), "{waits:?}");
        live.take(&moved(0, 10, 2, TaskState::Running));
        let again = texts(&live, 14, WIDE);
        assert_eq!(again[1], "└─ fetch  ▸ running (2/3)  4.0 s");
    }

    #[test]
    fn what_the_terminal_has_no_rows_for_is_counted() {
        let references = ["a", "b", "c", "d", "e", "f"];
        let mut live = Live::new(&job(&references));
        for (task, end) in [(0, 5), (2, 9), (4, 7)] {
            live.take(&moved(task, 1, 1, TaskState::Running));
            live.take(&moved(task, end, 1, TaskState::Completed));
        }
        live.take(&moved(5, 1, 1, TaskState::Running));
        // A head, two tasks, the rest, and the line of the cursor.
        let lines = texts(&live, 10, Size { columns: 80, rows: 5 });
        let first: Vec<_> = lines[1..3].iter().map(|line| &line[..1]).collect();
        assert_eq!(first, ["c", "f"], "what runs, and the newest end");
        assert_eq!(lines[3..], ["… 4 more: 2 blocked, 2 completed"]);
        let lines = texts(&live, 10, Size { columns: 80, rows: 8 });
        assert_eq!(lines.len(), 7, "there is room for all");
        for rows in 0..10 {
            for columns in [0, 1, 20] {
                let lines = texts(&live, 10, Size { columns, rows });
                assert!(lines.len() < rows.max(1), "{rows} rows: {lines:?}");
                let widest = lines.iter().map(|line| line.chars().count()).max();
                assert!(widest.unwrap_or(0) <= columns.max(1), "{columns} columns: {lines:?}");
            }
        }
    }

    #[test]
    fn tokens_and_money_of_receipts_are_shown_and_added_up() {
        let mut job = job(&["ask", "ask again"]);
        let mut live = Live::new(&job);
        for task in &mut job.tasks {
            task.usage = Usage {
                tokens_input: 100,
                tokens_output: 23,
                micro_usd: 1_500,
                ..Usage::default()
            };
        }
        live.look(&job);
        let lines = texts(&live, 1, WIDE);
        assert!(lines[0].ends_with("0/2  1.0 s  246 tokens 0.003000 USD"), "{lines:?}");
        assert!(lines[1].ends_with("123 tokens 0.001500 USD"), "{lines:?}");
        job.tasks[0].usage.calls_unpriced = 1;
        live.look(&job);
        assert!(texts(&live, 1, WIDE)[0].ends_with("0.003000 USD and more"));
    }

    #[test]
    fn what_is_said_names_its_task_where_there_are_several() {
        let first = event(0, 0, 1, Happening::CacheMiss).task_id;
        assert_eq!(Live::new(&job(&["a"])).said_by(first, "x\ny"), "x\ny");
        assert_eq!(Live::new(&job(&["a", "b"])).said_by(first, "x\ny"), "a x\na y");
    }

    #[test]
    fn a_bar_is_full_at_the_end_only() {
        let filled = |fraction| (0..BAR_CELLS).filter(|cell| is_filled(*cell, fraction)).count();
        assert_eq!([0.0, 0.04, 0.05, 0.5, 0.94, 1.0].map(filled), [0, 0, 1, 5, 9, 10]);
        assert_eq!(bar(99), "██████████");
    }

    #[test]
    fn time_is_shown_as_a_clock_shows_it() {
        let shown = |ms| elapsed(Duration::from_millis(ms));
        assert_eq!([0, 1_250, 60_000, 3_725_000].map(shown), ["0.0 s", "1.2 s", "1:00", "1:02:05"]);
    }
}
