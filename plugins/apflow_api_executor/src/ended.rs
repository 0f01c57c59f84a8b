//! What the end of a job on the other host means for the task.

use std::collections::BTreeMap;

use apflow_sdk::{Fault, JsonSchema, Usage, schemars};
use serde::Serialize;
use serde_json::Value;

use crate::remote::{Job, RemoteFault, RemoteTask};

/// What a job of the other host returned.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// The address of the other host.
    pub url: String,
    /// The id of the job there.
    pub job_id: String,
    /// What the task returned, when the job is of one task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What each task returned, by its `id` in the job. `null` for one that did not complete, which
    /// only one that no other requires can be.
    pub outputs: BTreeMap<String, Value>,
}

/// Whether a job has ended as it should.
pub fn is_completed(job: &Job) -> bool {
    job.state == "completed"
}

/// What the tasks of a job used of models together.
pub fn usage(job: &Job) -> Usage {
    let sum = |of: fn(&RemoteTask) -> u64| job.tasks.iter().map(of).fold(0, u64::saturating_add);
    Usage::new(sum(|task| task.usage.tokens_input), sum(|task| task.usage.tokens_output))
}

/// The output of a job that has completed.
pub fn output(url: &str, job: Job) -> Output {
    let Job { id, mut tasks, .. } = job;
    if let [task] = tasks.as_mut_slice() {
        let (reference, output) = (task.reference.clone(), task.output.take().unwrap_or_default());
        let outputs = BTreeMap::from([(reference, output.clone())]);
        return Output { url: url.to_owned(), job_id: id, output: Some(output), outputs };
    }
    let outputs = tasks.into_iter().map(|task| (task.reference, task.output.unwrap_or_default()));
    Output { url: url.to_owned(), job_id: id, output: None, outputs: outputs.collect() }
}

/// The fault of a job that has not completed: that of its first task that failed. The other host has
/// tried it as often as the job allows, so it is not tried again.
pub fn fault(url: &str, job: &Job) -> Fault {
    let Job { id, state, tasks } = job;
    let mut failed = tasks.iter().filter(|task| task.state == "failed");
    let Some((task, fault)) = failed.find_map(|task| Some((task, task.fault.as_ref()?))) else {
        return Fault::permanent(format!("the job `{id}` on {url} ended {state}"));
    };
    let (reference, RemoteFault { code, message }) = (&task.reference, fault);
    let message = format!("`{reference}` of the job `{id}` on {url} failed: {code}: {message}");
    match code.as_str() {
        "invalid-input" => Fault::invalid_input(message),
        "budget-exhausted" => Fault::budget_exhausted(message),
        _ => Fault::permanent(message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(value: Value) -> Job {
        serde_json::from_value(value).unwrap()
    }

    fn failed(code: &str) -> Fault {
        let fault = json!({ "code": code, "message": "why" });
        fault_of(&json!([
            { "id": "t_1", "reference": "a", "state": "skipped" },
            { "id": "t_2", "reference": "b", "state": "failed", "fault": fault },
        ]))
    }

    fn fault_of(tasks: &Value) -> Fault {
        fault("http://b", &job(json!({ "id": "j_1", "state": "failed", "tasks": tasks })))
    }

    #[test]
    fn a_job_fails_with_the_code_of_the_task_that_failed() {
        let message = |code| format!("`b` of the job `j_1` on http://b failed: {code}: why");
        assert_eq!(failed("trapped"), Fault::permanent(message("trapped")));
        assert_eq!(failed("invalid-input"), Fault::invalid_input(message("invalid-input")));
        let exhausted = Fault::budget_exhausted(message("budget-exhausted"));
        assert_eq!(failed("budget-exhausted"), exhausted);
        assert!(matches!(fault_of(&json!([])), Fault::Permanent(text) if text.contains("`j_1`")));
    }

    #[test]
    fn a_job_of_one_task_has_one_output() {
        let a = json!({ "id": "t_1", "reference": "a", "state": "completed", "output": 7 });
        let b = json!({ "id": "t_2", "reference": "b", "state": "failed" });
        let of = |tasks| {
            output("http://b", job(json!({ "id": "j", "state": "completed", "tasks": tasks })))
        };
        assert_eq!(of(json!([a])).output, Some(json!(7)));
        let both = of(json!([a, b]));
        assert_eq!((both.output, json!(both.outputs)), (None, json!({ "a": 7, "b": null })));
    }

    #[test]
    fn the_usage_is_that_of_all_tasks() {
        let usage_of =
            |tokens: u64| json!({ "tokens_input": tokens, "tokens_output": 1, "cpu_us": 9 });
        let task = |tokens| json!({ "id": "t", "reference": "r", "state": "x", "usage": usage_of(tokens) });
        let job = job(json!({ "id": "j", "state": "x", "tasks": [task(3), task(4)] }));
        assert_eq!(usage(&job), Usage::new(7, 2));
    }
}
