//! A call of an executor or a tool: a job of one task, from its submission to its end.

use apflow_api::{CancelJob, FindJob, SubmitJob};
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::JobId;
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::job::{Job, Task};
use apflow_model::state::TaskState;
use rmcp::model::{CallToolResult, MetaObject};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::Asker;
use super::answer;
use super::refused::Refused;
use super::running::Running;
use super::told::Teller;
use super::verbs::Verbs;

/// What a client calls.
pub(super) struct Called {
    /// What a task says: `executor` or `tool`.
    pub(super) key: &'static str,
    /// Its name.
    pub(super) name: String,
    /// The inputs.
    pub(super) inputs: Map<String, Value>,
    /// What the client made up for the call, so that it can be sent again and runs once.
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

/// Runs it to its end, or until `cancelled`: its job is cancelled then as well.
pub(super) async fn run(
    verbs: &Verbs,
    asker: &Asker,
    called: Called,
    mut teller: Teller,
    running: &Running,
    cancelled: &CancellationToken,
) -> Result<CallToolResult, Refused> {
    let Called { key, name, inputs, idempotency_key } = called;
    let submit = SubmitJob {
        job: json!({ key: name, "inputs": inputs }),
        grants: Vec::new(),
        wait: None,
        idempotency_key,
        hops: asker.hops.clone(),
    };
    let submitted = verbs.invoke(submit, &asker.caller).await.map_err(Refused::of_inputs)?;
    let id = submitted.job.id;
    let _running = running.enter(id);
    let job = tokio::select! {
        ended = follow(verbs, asker, id, &mut teller) => ended?,
        () = cancelled.cancelled() => verbs.invoke(CancelJob { id }, &asker.caller).await?,
    };
    let Some(task) = job.tasks.into_iter().next() else {
        return Ok(Refused::from(Fault::new(FaultCode::Cancelled, "the job is gone")).into_result());
    };
    let mut result = answer_of(task);
    let meta = Map::from_iter([("job_id".to_owned(), id.to_string().into())]);
    result.meta = Some(MetaObject(meta));
    Ok(result)
}

async fn follow(
    verbs: &Verbs,
    asker: &Asker,
    id: JobId,
    teller: &mut Teller,
) -> Result<Job, Refused> {
    let mut watched = verbs.watch(id, &asker.caller).await?;
    while let Some(events) = watched.next().await? {
        for event in &events {
            teller.tell(event).await;
        }
    }
    verbs.invoke(FindJob { id }, &asker.caller).await
}

/// What a task that has ended answers: its output, or its fault.
fn answer_of(task: Task) -> CallToolResult {
    if task.state == TaskState::Completed {
        return answer::of_value(task.output.unwrap_or_default());
    }
    let unsaid = || Fault::new(FaultCode::Cancelled, format!("the task is {}", task.state));
    Refused::from(task.fault.unwrap_or_else(unsaid)).into_result()
}
