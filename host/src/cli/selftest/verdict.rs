//! Judges what became of a guest. Pure: it runs nothing.

use std::time::Duration;

use apflow_model::fault::MESSAGE_BYTES_MAX;
use apflow_model::job::Task;
use apflow_model::limit::Limits;
use apflow_model::state::TaskState;
use serde::Serialize;
use serde_json::Value;

use super::case::Holds;

/// How a guest says that a try came to nothing, and how that it did not.
const REFUSED: &str = "out of reach";
/// How much later than its limit a guest may be seen to end: this machine may be busy.
const WALL_SPARE: Duration = Duration::from_secs(5);

/// What became of a guest.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// The guest.
    pub(super) name: &'static str,
    /// Whether what had to hold did.
    pub(super) contained: bool,
    /// What held it; or what it did instead.
    pub(super) limit: String,
    /// How long it took, from being handed to the host to its end.
    pub(super) ms: f64,
}

/// Says what held a task, or how it got away.
pub(super) fn judge(task: &Task, holds: &Holds, limits: &Limits) -> Result<String, String> {
    check_receipt(task, limits)?;
    match (holds, &task.fault) {
        (Holds::Ends, None) => Ok("it ended within its limits".to_owned()),
        (Holds::Tries(count), None) => check_tries(&said(task), *count),
        (Holds::Fails(code, words), Some(fault))
            if fault.code == *code && fault.message.contains(words) =>
        {
            Ok(fault.to_string())
        }
        (Holds::Cancels, _) if task.state == TaskState::Cancelled => {
            Ok("it was stopped when its job was cancelled".to_owned())
        }
        (_, Some(fault)) => Err(fault.to_string()),
        (_, None) => Err(format!("it ended as {}: {}", task.state, said(task))),
    }
}

/// Whatever became of a guest, it used no more than it may.
fn check_receipt(task: &Task, limits: &Limits) -> Result<(), String> {
    let used = &task.usage;
    let wall = Duration::from_micros(used.wall_us);
    let message_bytes = task.fault.as_ref().map_or(0, |fault| fault.message.len());
    let over = [
        ("memory", used.memory_bytes_peak > limits.memory_bytes),
        ("time", wall > limits.timeout + WALL_SPARE),
        ("fuel", limits.fuel.is_some_and(|fuel| used.fuel > fuel)),
        ("log", used.log_bytes > limits.log_bytes),
        ("requests", used.http_requests > limits.http_requests),
        ("words", message_bytes > MESSAGE_BYTES_MAX),
    ];
    match over.iter().find(|(_, is_over)| *is_over) {
        Some((what, _)) => Err(format!("it used more {what} than it may: {used:?}")),
        None => Ok(()),
    }
}

fn check_tries(said: &str, count: usize) -> Result<String, String> {
    let lines: Vec<&str> = said.lines().collect();
    if let Some(done) = lines.iter().find(|line| !line.contains(REFUSED)) {
        return Err((*done).to_owned());
    }
    match lines.len() {
        found if found != count => Err(format!("{found} tries instead of {count}")),
        0 => Ok("it found nothing".to_owned()),
        1 => Ok(lines[0].to_owned()),
        _ => Ok(format!("{count} tries, all out of reach; the last: {}", lines[count - 1])),
    }
}

/// What a guest reported: a command on its standard output, an executor as its output.
fn said(task: &Task) -> String {
    let output = task.output.as_ref();
    let text = output.map(|output| output.get("stdout").unwrap_or(output));
    text.map(|text| text.as_str().map_or_else(|| Value::to_string(text), str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::{Fault, FaultCode};
    use serde_json::json;

    use super::*;

    /// A task of a guest that ended so.
    fn task(state: &str, output: &Value, fault: Option<&Fault>, memory_bytes: u64) -> Task {
        let moment = "2026-01-01T00:00:00Z";
        let task = json!({
            "id": "t_01h2xcejqtf2n", "job_id": "j_01h2xcejqtf2n", "reference": "try", "name": null,
            "executor": "guest", "state": state, "parent": null, "dependencies": [],
            "priority": 2, "run_at": moment, "created_at": moment, "started_at": moment,
            "ended_at": moment, "max_attempts": 1, "output": output, "fault": fault,
            "usage": { "memory_bytes_peak": memory_bytes }, "attempts": [],
        });
        serde_json::from_value(task).unwrap()
    }

    fn said(lines: &str) -> Task {
        task("completed", &json!({ "stdout": lines }), None, 0)
    }

    fn judged(task: &Task, holds: &Holds) -> bool {
        judge(task, holds, &Limits::default()).is_ok()
    }

    #[test]
    fn a_try_that_came_to_something_is_no_containment() {
        assert!(judged(&said("a: out of reach: no\nb: out of reach: no\n"), &Holds::Tries(2)));
        assert!(!judged(&said("a: out of reach: no\nb: done\n"), &Holds::Tries(2)));
    }

    #[test]
    fn a_try_that_was_not_made_shows_nothing() {
        assert!(!judged(&said("a: out of reach: no\n"), &Holds::Tries(2)));
        assert!(!judged(&said(""), &Holds::Tries(1)));
    }

    #[test]
    fn a_fault_must_have_the_code_and_the_words() {
        let fault = Fault::new(FaultCode::LimitExceeded, "more than `limits.memory`");
        let failed = task("failed", &Value::Null, Some(&fault), 0);
        let fails = |code, words| judged(&failed, &Holds::Fails(code, words));
        assert!(fails(FaultCode::LimitExceeded, "`limits.memory`"));
        assert!(!fails(FaultCode::LimitExceeded, "`limits.timeout`"));
        assert!(!fails(FaultCode::Trapped, "`limits.memory`"));
        assert!(!judged(&failed, &Holds::Ends));
    }

    #[test]
    fn whoever_used_more_than_it_may_was_not_contained() {
        let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
        let greedy =
            |bytes| judge(&task("completed", &json!({}), None, bytes), &Holds::Ends, &limits);
        assert!(greedy(1 << 20).is_ok());
        assert!(greedy((1 << 20) + 1).unwrap_err().contains("more memory than it may"));
    }

    #[test]
    fn only_a_cancelled_task_was_cancelled() {
        assert!(judged(&task("cancelled", &Value::Null, None, 0), &Holds::Cancels));
        assert!(!judged(&said(""), &Holds::Cancels));
    }
}
