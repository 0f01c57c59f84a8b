//! What becomes of a job that is cancelled.

use apflow_model::fault::FaultCode;
use apflow_model::id::JobId;
use apflow_model::state::{JobState, TaskState};
use apflow_store::StoreError;
use serde_json::json;

use crate::host::{Host, at, completed, forest};

#[tokio::test]
async fn a_cancelled_job_ends_with_all_its_tasks() {
    let host = Host::start().await;
    let job = host
        .submit(json!({"tasks": [{"id": "a", "executor": "x"}, {"id": "b", "executor": "x"},
            {"id": "c", "executor": "x", "dependencies": ["b"]}]}))
        .await;
    let claimed = host.claim(0, 2).await;
    host.try_settle(&claimed[0], 1, completed()).await.unwrap();
    let cancelled = host.store.cancel_job(job.id, at(2)).await.unwrap().unwrap();
    assert_eq!((cancelled.running, cancelled.state), (vec![claimed[1].task], JobState::Cancelled));
    let job = host.job(job.id).await;
    let states: Vec<_> = job.tasks.iter().map(|task| task.state).collect();
    let expected = [TaskState::Completed, TaskState::Cancelled, TaskState::Cancelled];
    assert_eq!(
        (job.state, job.ended_at, states.as_slice()),
        (JobState::Cancelled, Some(at(2)), &expected[..])
    );
    assert_eq!(job.tasks[1].attempts[0].fault.as_ref().unwrap().code, FaultCode::Cancelled);
    let events = host.store.list_events(job.id, 0, 100).await.unwrap();
    assert!(events.iter().map(|event| event.n).eq(1..=events.len() as u64));
}

#[tokio::test]
async fn a_cancelled_attempt_cannot_settle() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(0).await;
    host.store.cancel_job(job.id, at(1)).await.unwrap();
    let lost = host.try_settle(&claimed, 2, completed()).await;
    assert!(matches!(lost, Err(StoreError::AttemptLost)));
    assert_eq!(host.job(job.id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn cancelling_again_changes_nothing() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    assert!(host.store.cancel_job(job.id, at(1)).await.unwrap().is_some());
    let first = host.job(job.id).await;
    assert!(host.store.cancel_job(job.id, at(2)).await.unwrap().is_none());
    assert_eq!(host.job(job.id).await, first);
    assert!(host.store.cancel_job(JobId(7), at(3)).await.unwrap().is_none());
}
