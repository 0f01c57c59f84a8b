//! `jobs watch` and `tasks watch`: what happened, then what happens: a line an event, or a job drawn as
//! a tree.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use apflow_api::{FindJob, FindTask, SystemClock};
use apflow_model::approval::Decided;
use apflow_model::clock::Clock;
use apflow_model::event::{CostDecided, Event, Happening};
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, Task};
use apflow_model::state::TaskState;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::error::CliError;
use super::exit::Exit;
use super::live::Live;
use super::operator::{self, Operator};
use super::output::{Drawing, Output};
use super::tree;
use crate::config::Config;

/// How often a tree is drawn again.
const REDRAW: Duration = Duration::from_millis(100);
/// How often receipts are looked for at most.
const LOOK: Duration = Duration::from_secs(1);
/// How much longer than a look nothing is looked for again: a large job costs little more to watch.
const LOOK_REST: u32 = 20;

pub(crate) async fn run(
    config: &Config,
    id: JobId,
    after: u64,
    output: &Output,
) -> Result<Exit, CliError> {
    operator::with(config, async |operator| {
        if output.is_live() && output.is_shown() {
            let job = draw(operator, id, after, output).await?;
            output.result(&job, || tree::draw(&job));
            return Ok(Exit::of_job(&job));
        }
        let job = operator.invoke(FindJob { id }).await?;
        let names: HashMap<_, _> =
            job.tasks.into_iter().map(|task| (task.id, task.reference)).collect();
        let mut watched = operator.watch(id, after).await?;
        while let Some(events) = watched.next().await? {
            for event in &events {
                output.line(event, || line(event, &names));
            }
        }
        Ok(Exit::of_job(&operator.invoke(FindJob { id }).await?))
    })
    .await
}

/// Prints what happened to one task, and what happens, until it has ended.
pub(super) async fn task(
    config: &Config,
    id: TaskId,
    after: u64,
    output: &Output,
) -> Result<Exit, CliError> {
    operator::with(config, async |operator| {
        let task = operator.invoke(FindTask { id }).await?;
        let names = HashMap::from([(id, task.reference.clone())]);
        let mut watched = operator.watch(task.job_id, after).await?;
        while let Some(events) = watched.next().await? {
            for event in events.iter().filter(|event| event.task_id == Some(id)) {
                output.line(event, || line(event, &names));
                let Happening::State { state, .. } = event.what else { continue };
                if !state.is_end() {
                    continue;
                }
                let task = operator.invoke(FindTask { id }).await?;
                if has_ended_so(&task, state, event) {
                    return Ok(Exit::of_task(&task));
                }
            }
        }
        Ok(Exit::of_task(&operator.invoke(FindTask { id }).await?))
    })
    .await
}

/// Whether this is the end of a task, which was not let run again since.
fn has_ended_so(task: &Task, state: TaskState, event: &Event) -> bool {
    task.state == state && task.attempts.iter().all(|attempt| attempt.started_at <= event.at)
}

/// Draws a job as a tree until it has ended, with what its tasks say above it.
pub(super) async fn draw(
    operator: &Operator<'_>,
    id: JobId,
    after: u64,
    output: &Output,
) -> Result<Job, CliError> {
    let mut live = Live::new(&operator.invoke(FindJob { id }).await?);
    let mut watched = operator.watch(id, after).await?;
    // What ends sooner is not drawn at all.
    let mut ticks = interval_at(Instant::now() + REDRAW, REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut has_receipts, mut look_at) = (false, Instant::now() + LOOK);
    let drawing = output.drawing();
    loop {
        let mut next = pin!(watched.next());
        let events = loop {
            let now = tokio::select! {
                events = &mut next => break events?,
                now = ticks.tick() => now,
            };
            if has_receipts && look_at <= now {
                live.look(&operator.invoke(FindJob { id }).await?);
                let took = now.elapsed();
                (has_receipts, look_at) = (false, now + took + LOOK.max(took * LOOK_REST));
            }
            drawing.draw(&live.lines(SystemClock.now(), Drawing::size()));
        };
        let Some(events) = events else { break };
        for event in &events {
            has_receipts |= live.take(event);
            // How far a task is stands in its line.
            let is_drawn = matches!(event.what, Happening::Progress { .. });
            if let Some(text) = said(&event.what).filter(|_| !is_drawn) {
                output.note(&live.said_by(event.task_id, &text));
            }
        }
    }
    drop(drawing);
    operator.invoke(FindJob { id }).await
}

/// An event as a line, and below it whatever more lines it has.
fn line(event: &Event, names: &HashMap<TaskId, String>) -> String {
    let task = event.task_id.and_then(|task| names.get(&task)).map_or("", String::as_str);
    let what = match &event.what {
        Happening::State { state, fault: None } => format!("      {state}"),
        Happening::State { state, fault: Some(fault) } => format!("      {state}: {fault}"),
        Happening::Checkpoint { step, bytes } => format!(" saved {step} ({bytes} bytes)"),
        what @ (Happening::Log(_)
        | Happening::Stdout { .. }
        | Happening::Stderr { .. }
        | Happening::Progress { .. }
        | Happening::Denied { .. }
        | Happening::Held { .. }
        | Happening::ApprovalAsked { .. }
        | Happening::CostDecided(_)
        | Happening::Fallback { .. }) => said(what).unwrap_or_default(),
        Happening::Fired(origin) => format!(" fired by {} for {}", origin.schedule, origin.tick),
        Happening::ApprovalDecided(decided) => {
            let Decided { decision, principal, reason, .. } = decided;
            let reason = reason.as_ref().map(|reason| format!(": {}", reason.as_str()));
            format!("       {decision} by {principal}{}", reason.unwrap_or_default())
        }
        Happening::CacheHit { kept_at } => format!("       given again, from {kept_at}"),
        Happening::CacheMiss => "       no result is kept".to_owned(),
        Happening::Cancelling => "       is being cancelled".to_owned(),
        Happening::CancelTooLate => "       completed before it could be cancelled".to_owned(),
    };
    format!("{:>6} {} {task} {what}", event.n, event.at)
}

/// What a guest said or was refused, as lines, which other is tried, what a cost policy decided, and who
/// must approve it. None for the rest.
pub(super) fn said(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::Log(line) => {
            let fields = line.fields.iter();
            let fields =
                fields.fold(String::new(), |text, (name, value)| format!("{text} {name}={value}"));
            let level = format!("{:?}", line.level).to_lowercase();
            format!("{level:>5} {}{fields}", line.message)
        }
        Happening::Progress { fraction, message } => {
            format!("{:>4.0} % {message}", fraction * 100.0)
        }
        Happening::Stdout { text } => lines("out", text),
        Happening::Stderr { text } => lines("err", text),
        Happening::Denied { message } => format!(" denied {message}"),
        Happening::Held { destination, wait_ms } => {
            format!("   held {destination} is left alone for {wait_ms} ms more")
        }
        Happening::ApprovalAsked { tool } => format!(
            "       waits for approval of {tool}: `apflow-host approvals list` shows the task"
        ),
        Happening::CostDecided(CostDecided { policy, action, reason, .. }) => {
            format!("   cost {action} by {policy}: {reason}")
        }
        Happening::Fallback { from, to } => format!("       {from} failed: {to} is tried"),
        Happening::State { .. }
        | Happening::Fired(_)
        | Happening::ApprovalDecided(_)
        | Happening::CacheHit { .. }
        | Happening::CacheMiss
        | Happening::Cancelling
        | Happening::CancelTooLate
        | Happening::Checkpoint { .. } => return None,
    })
}

fn lines(stream: &str, text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("  {stream} {line}")).collect();
    lines.join("\n")
}
