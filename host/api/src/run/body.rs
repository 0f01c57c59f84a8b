//! The body of a request that runs something: a submission, and whether its end is waited for.

use std::time::Duration;

use apflow_engine::EngineError;
use apflow_model::job::SpecFault;
use schemars::Schema;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::jobs::SubmitJob;
use crate::remote::{Input, Remote, WAIT_SECONDS_MAX};

/// How much longer an answer is waited for than a task may take, so that its end by that limit is
/// still the answer.
const LATE_SECONDS: f64 = 1.0;

/// Reads a submission with its `mode`: `sync`, which waits, or `async`, which does not.
///
/// # Errors
///
/// [`ApiError::InvalidRequest`] for what cannot be read, and [`EngineError::InvalidJob`] for a `wait`
/// beside `async`.
pub(crate) fn read(input: &mut Input) -> Result<SubmitJob, ApiError> {
    let invalid = |message: &str| ApiError::InvalidRequest(message.to_owned());
    let body = input.body.as_mut().and_then(Value::as_object_mut);
    let body = body.ok_or_else(|| invalid("an object is expected as the body"))?;
    let waits = match body.remove("mode").as_ref().map(Value::as_str) {
        None | Some(Some("sync")) => true,
        Some(Some("async")) => false,
        Some(_) => return Err(invalid("`mode` is `sync`, which waits for the end, or `async`")),
    };
    let timeout = body.get("timeout_seconds").and_then(Value::as_f64);
    let mut submit = SubmitJob::read(input)?;
    if waits {
        submit.wait = Some(submit.wait.unwrap_or_else(|| usual_wait(timeout)));
    } else if submit.wait.is_some() {
        let message = "`wait` is for the mode `sync`: with `async` nothing is waited for";
        return Err(EngineError::InvalidJob(SpecFault::new("/mode", message)).into());
    }
    Ok(submit)
}

/// Says in the schema of a verb that its job is one task.
pub(crate) fn one_task(schema: &mut Schema) {
    narrow(schema, "/anyOf/0");
}

/// Says in the schema of a verb that its job has tasks that wait for none.
pub(crate) fn several(schema: &mut Schema) {
    narrow(schema, "/anyOf/1");
    let task = schema.pointer_mut("/properties/job/properties/tasks/items/properties");
    if let Some(task) = task.and_then(Value::as_object_mut) {
        task.retain(|name, _| !["dependencies", "parent_id"].contains(&name.as_str()));
    }
}

/// Leaves one form of a job, which has a mode.
fn narrow(schema: &mut Schema, form: &str) {
    let Some(job) = schema.pointer_mut("/properties/job") else { return };
    let Some(mut narrowed) = job.pointer(form).cloned() else { return };
    narrowed["properties"]["mode"] = json!({
        "enum": ["sync", "async"], "default": "sync",
        "description": "Whether the end is waited for. `wait` is for `sync` alone.",
    });
    *job = narrowed;
}

/// How long a caller waits that does not say: as long as the task may take, and as long as may be
/// when the task does not say either.
fn usual_wait(timeout_seconds: Option<f64>) -> Duration {
    let seconds = timeout_seconds.map_or(WAIT_SECONDS_MAX, |seconds| seconds + LATE_SECONDS);
    // Other than this the limit is wrong, and refused by whoever reads it.
    Duration::from_secs_f64(seconds.clamp(0.0, WAIT_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn wait(body: Value, query: Option<&str>) -> Result<Option<f64>, String> {
        let fields: BTreeMap<_, _> =
            query.map(|wait| ("wait".to_owned(), wait.to_owned())).into_iter().collect();
        let mut input = Input { fields, body: Some(body), ..Input::default() };
        let read = read(&mut input).map_err(|error| error.to_string())?;
        assert_eq!(read.job.get("mode"), None);
        Ok(read.wait.map(|wait| wait.as_secs_f64()))
    }

    #[test]
    fn a_caller_waits_as_long_as_its_task_may_take() {
        assert_eq!(wait(json!({}), None), Ok(Some(300.0)));
        assert_eq!(wait(json!({ "mode": "sync" }), None), Ok(Some(300.0)));
        assert_eq!(wait(json!({ "timeout_seconds": 7 }), None), Ok(Some(8.0)));
        assert_eq!(wait(json!({ "timeout_seconds": 9e99 }), None), Ok(Some(300.0)));
        assert_eq!(wait(json!({ "timeout_seconds": -4 }), None), Ok(Some(0.0)));
        assert_eq!(wait(json!({ "timeout_seconds": 7 }), Some("2.5")), Ok(Some(2.5)));
        assert_eq!(wait(json!({ "mode": "async" }), None), Ok(None));
    }

    #[test]
    fn a_mode_that_there_is_not_is_refused() {
        for mode in [json!("later"), json!(null), json!(1)] {
            assert!(wait(json!({ "mode": mode }), None).is_err(), "{mode}");
        }
        assert!(wait(json!({ "mode": "async" }), Some("5")).is_err());
        assert!(wait(json!([]), None).is_err());
    }
}
