//! What becomes of the work of a host that ended.

use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
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
    let recovered = host.recover(10).await;
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
        let recovered = host.recover(1).await;
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
    let recovered = host.recover(1).await;
    assert_eq!(recovered.failed, [job.tasks[0].id]);
    assert_eq!(recovered.jobs_ended, [(job.id, JobState::Failed)]);
}

#[tokio::test]
async fn recovery_leaves_the_work_of_its_own_session_alone() {
    let host = Host::start().await;
    host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let claimed = host.claim_one(0).await;
    let recovered = host.recover(1).await;
    assert_eq!(recovered, apflow_store::Recovered::default());
    host.settle(&claimed, 2, completed()).await;
}

#[tokio::test]
async fn a_task_whose_host_was_stopped_runs_again_at_no_cost() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "max_attempts": 1})).await;
    let cut_short = host.claim_one(0).await;
    host.store.save_checkpoint(cut_short.task, 1, "s".into(), vec![9], at(1)).await.unwrap();
    assert_eq!(host.store.close_session(host.session, at(5)).await.unwrap(), [cut_short.task]);
    let settled = host.try_settle(&cut_short, 6, completed()).await;
    assert!(matches!(settled, Err(StoreError::AttemptLost)), "the old attempt counts no more");
    let stopped = host.task(job.id, "task-1").await;
    assert_eq!((stopped.state, &stopped.fault, stopped.run_at), (TaskState::Ready, &None, at(5)));
    let fault = Fault::new(FaultCode::HostLost, "the host was stopped");
    assert_eq!(stopped.attempts[0].fault, Some(fault.clone()));
    assert_eq!((stopped.attempts[0].ended_at, stopped.attempts[0].usage), (Some(at(5)), None));
    let told = host.events(job.id).await.pop().unwrap();
    assert_eq!((told.attempt, told.at), (1, at(5)));
    assert_eq!(told.what, Happening::State { state: TaskState::Ready, fault: Some(fault) });

    let host = host.restart().await;
    let recovered = host.recover(10).await;
    assert_eq!(recovered, apflow_store::Recovered::default());
    let again = host.claim_one(11).await;
    assert_eq!((again.attempt, again.attempts_max), (2, 2));
    assert_eq!(host.store.load_checkpoint(again.task).await.unwrap().unwrap().value, [9]);
    let lost = host.try_settle(&cut_short, 12, completed()).await;
    assert!(matches!(lost, Err(StoreError::AttemptLost)));
    let settled = host.settle(&again, 13, completed()).await;
    assert_eq!(settled.job_ended, Some(JobState::Completed));
}

#[tokio::test]
async fn a_stop_gives_back_one_attempt_and_no_more() {
    let mut host = Host::start().await;
    host.submit(json!({"executor": "x", "max_attempts": 2})).await;
    for stops in 1..=3 {
        let claimed = host.claim_one(stops).await;
        assert_eq!(
            (u64::from(claimed.attempt), claimed.attempts_max),
            (stops, claimed.attempt + 1)
        );
        host.store.close_session(host.session, at(stops)).await.unwrap();
        host.open_session().await;
    }
    let host = host.restart().await;
    let retried = host.claim_one(4).await;
    assert_eq!((retried.attempt, retried.attempts_max), (4, 5));
    let host = host.restart().await;
    let recovered = host.recover(5).await;
    assert_eq!(recovered.retried, [retried.task], "stops are no losses, and this was the first");
    let last = host.claim_one(6).await;
    assert_eq!((last.attempt, last.attempts_max), (5, 5));
}

#[tokio::test]
async fn a_stop_leaves_what_does_not_run_alone() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"]), ("c", &[]), ("d", &[])])).await;
    let claimed = host.claim(0, 2).await;
    host.settle(&claimed[0], 1, completed()).await;
    let events = host.events(job.id).await.len();
    let released = host.store.close_session(host.session, at(2)).await.unwrap();
    assert_eq!(released, [claimed[1].task]);
    let states = host.job(job.id).await.tasks.into_iter().map(|task| task.state);
    let ready = TaskState::Ready;
    assert!(states.eq([TaskState::Completed, ready, ready, ready]));
    assert_eq!(host.events(job.id).await.len(), events + 1);
    assert_eq!(host.store.close_session(host.session, at(3)).await.unwrap(), []);
}

#[tokio::test]
async fn a_task_that_cannot_be_read_does_not_keep_the_host_from_starting() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    host.claim_one(0).await;
    host.spoil("UPDATE task SET backoff = 'soon'").await;
    let host = host.restart().await;
    let recovered = host.recover(1).await;
    assert_eq!(recovered.retried, [job.tasks[0].id]);
    assert!(host.claim(2, 10).await.is_empty());
    assert_eq!(host.job(job.id).await.state, JobState::Failed);
}
