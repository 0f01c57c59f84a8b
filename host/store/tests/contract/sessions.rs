//! What becomes of the work of a host that ended.

use apflow_model::fault::FaultCode;
use apflow_model::state::{JobState, TaskState};
use apflow_store::StoreError;
use serde_json::json;

use crate::host::{Host, at, completed, forest};

#[tokio::test]
async fn a_task_that_was_left_running_is_tried_again_with_its_checkpoints() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let left = host.claim_one(0).await;
    host.store.save_checkpoint(left.task, 1, "s".into(), vec![9], at(1)).await.unwrap();
    let host = host.restart().await;
    let recovered = host.store.recover(host.session, at(10)).await.unwrap();
    assert_eq!((recovered.retried, recovered.failed.len()), (vec![left.task], 0));
    let lost = host.try_settle(&left, 11, completed()).await;
    assert!(matches!(lost, Err(StoreError::AttemptLost)), "the old attempt counts no more");
    let again = host.claim_one(12).await;
    assert_eq!((again.attempt, again.used.wall_us), (2, 0));
    assert_eq!(host.store.load_checkpoint(left.task).await.unwrap().unwrap().value, [9]);
    let attempt = &host.job(job.id).await.tasks[0].attempts[0];
    assert_eq!(attempt.fault.as_ref().unwrap().code, FaultCode::HostLost);
    assert_eq!((attempt.ended_at, attempt.usage), (Some(at(10)), None));
}

#[tokio::test]
async fn a_task_that_takes_its_host_down_twice_is_quarantined() {
    let mut host = Host::start().await;
    let job = host
        .submit(json!({"tasks": [{"id": "a", "executor": "x", "max_attempts": 50},
            {"id": "b", "executor": "x", "dependencies": ["a"]}]}))
        .await;
    for _ in 0..2 {
        host.claim_one(0).await;
        host = host.restart().await;
        let recovered = host.store.recover(host.session, at(1)).await.unwrap();
        assert_eq!(recovered.retried.len() + recovered.failed.len(), 1);
    }
    assert!(host.claim(2, 10).await.is_empty());
    let job = host.job(job.id).await;
    assert_eq!((job.state, job.tasks[0].state), (JobState::Failed, TaskState::Failed));
    assert!(job.tasks[0].fault.as_ref().unwrap().message.contains("quarantined"));
    assert_eq!(job.tasks[1].state, TaskState::Skipped);
}

#[tokio::test]
async fn a_host_lost_in_the_last_attempt_fails_the_task() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "max_attempts": 1})).await;
    host.claim_one(0).await;
    let host = host.restart().await;
    let recovered = host.store.recover(host.session, at(1)).await.unwrap();
    assert_eq!(recovered.failed, [job.tasks[0].id]);
    assert_eq!(recovered.jobs_ended, [(job.id, JobState::Failed)]);
}

#[tokio::test]
async fn recovery_leaves_the_work_of_its_own_session_alone() {
    let host = Host::start().await;
    host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let claimed = host.claim_one(0).await;
    let recovered = host.store.recover(host.session, at(1)).await.unwrap();
    assert_eq!(recovered, apflow_store::Recovered::default());
    host.settle(&claimed, 2, completed()).await;
}
