//! What becomes of a job whose failed tasks run again.

use apflow_model::id::JobId;
use apflow_model::state::{JobState, TaskState};
use apflow_store::{RedriveChoice, Redriven};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, retryable};

const READY: TaskState = TaskState::Ready;
const BLOCKED: TaskState = TaskState::Blocked;

fn and_cancelled() -> RedriveChoice {
    RedriveChoice { with_cancelled: true, ..RedriveChoice::default() }
}

async fn redrive(host: &Host, job: JobId, choice: RedriveChoice, ms: u64) -> Vec<TaskState> {
    let redriven = host.store.redrive(job, choice, at(ms)).await.unwrap();
    redriven.tasks.into_iter().map(|(_, state)| state).collect()
}

async fn states(host: &Host, job: JobId) -> Vec<TaskState> {
    host.job(job).await.tasks.into_iter().map(|task| task.state).collect()
}

/// How many edges of the job wait, and how many tasks wait for them: both must agree.
async fn check_edges(host: &Host, job: JobId) {
    let job = host.job(job).await;
    let open = |id| job.tasks.iter().any(|task| task.id == id && !task.state.is_end());
    for task in job.tasks.iter().filter(|task| !task.state.is_end()) {
        let waits = task.dependencies.iter().any(|edge| open(edge.id));
        assert_eq!(task.state == BLOCKED, waits, "{}", task.reference);
    }
}

#[tokio::test]
async fn a_redriven_job_goes_on_where_it_failed() {
    let host = Host::start().await;
    let job = host
        .submit(forest(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["b?", "c"])]))
        .await
        .id;
    let claimed = host.claim_one(0).await;
    host.settle(&claimed, 1, completed()).await;
    let claimed = host.claim_one(2).await;
    host.store.save_checkpoint(claimed.task, 1, "half".into(), vec![5], at(2)).await.unwrap();
    assert_eq!(host.settle(&claimed, 3, failed()).await.job_ended, Some(JobState::Failed));
    let fault = host.task(job, "d").await.fault.unwrap();
    assert_eq!(fault.message, "it requires `c`, which was skipped");

    assert_eq!(redrive(&host, job, <_>::default(), 4).await, [READY, BLOCKED, BLOCKED]);
    check_edges(&host, job).await;
    let open = host.job(job).await;
    assert_eq!((open.state, open.ended_at), (JobState::Running, None));
    assert!(open.tasks[1..].iter().all(|task| task.fault.is_none() && task.ended_at.is_none()));
    let again = host.claim_one(5).await;
    assert_eq!((again.reference.as_str(), again.attempt), ("b", 2));
    assert_eq!((again.attempts_before, again.attempts_max), (1, 4));
    assert_eq!(host.store.load_checkpoint(again.task).await.unwrap().unwrap().value, [5]);
    let late = host.try_settle(&claimed, 6, completed()).await;
    assert!(late.is_err(), "the attempt before the redrive is fenced");
    host.settle(&again, 6, completed()).await;
    for ms in [7, 8] {
        let claimed = host.claim_one(ms).await;
        host.settle(&claimed, ms, completed()).await;
    }
    assert_eq!(host.job(job).await.state, JobState::Completed);
    let numbers = host.events(job).await.into_iter().map(|event| event.n);
    assert!(numbers.eq(1..=host.events(job).await.len() as u64));
}

#[tokio::test]
async fn each_redrive_gives_as_many_attempts_as_the_caller_asked_for() {
    let mut host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "max_attempts": 2})).await.id;
    let mut ms = 0;
    for round in 0..3 {
        let claimed = host.claim_one(ms).await;
        assert_eq!(claimed.attempts_max - claimed.attempts_before, 2, "round {round}");
        let end = apflow_store::End::Retry { fault: retryable("again"), run_at: at(ms) };
        host.settle(&claimed, ms, end).await;
        let claimed = host.claim_one(ms).await;
        assert_eq!(claimed.attempt, claimed.attempts_max);
        host.settle(&claimed, ms, failed()).await;
        ms += 1;
        assert_eq!(redrive(&host, job, <_>::default(), ms).await, [READY]);
    }
    // A clean stop does not count, not even across a redrive.
    host.claim_one(ms).await;
    host.store.close_session(host.session, at(ms)).await.unwrap();
    host.open_session().await;
    let claimed = host.claim_one(ms).await;
    assert_eq!(claimed.attempts_max - claimed.attempts_before, 2);
    host.settle(&claimed, ms, failed()).await;
    redrive(&host, job, <_>::default(), ms).await;
    let claimed = host.claim_one(ms).await;
    assert_eq!(claimed.attempts_max - claimed.attempts_before, 2);
}

#[tokio::test]
async fn redriving_again_changes_nothing() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await.id;
    let claimed = host.claim_one(0).await;
    host.settle(&claimed, 1, failed()).await;
    assert_eq!(redrive(&host, job, <_>::default(), 2).await.len(), 2);
    let first = (host.job(job).await, host.events(job).await);
    for choice in [RedriveChoice::default(), and_cancelled()] {
        let again = host.store.redrive(job, choice, at(3)).await.unwrap();
        assert_eq!(again, Redriven::default());
    }
    assert_eq!((host.job(job).await, host.events(job).await), first);
    let none = host.store.redrive(JobId(7), <_>::default(), at(3)).await.unwrap();
    assert_eq!(none, Redriven::default());
}

#[tokio::test]
async fn only_the_named_tasks_run_again() {
    let host = Host::start().await;
    let job =
        host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &["a", "b"])])).await;
    for claimed in host.claim(0, 2).await {
        host.settle(&claimed, 1, failed()).await;
    }
    let choice = RedriveChoice { tasks: vec![job.tasks[0].id], with_cancelled: false };
    assert_eq!(redrive(&host, job.id, choice, 2).await, [READY, BLOCKED]);
    let expected = [READY, TaskState::Failed, BLOCKED, TaskState::Skipped];
    assert_eq!(states(&host, job.id).await, expected);
    for ms in [3, 4] {
        let claimed = host.claim_one(ms).await;
        host.settle(&claimed, ms, completed()).await;
    }
    assert_eq!(host.job(job.id).await.state, JobState::Failed);
    assert_eq!(redrive(&host, job.id, <_>::default(), 5).await, [READY, BLOCKED]);
    check_edges(&host, job.id).await;
}

#[tokio::test]
async fn cancelled_tasks_stay_so_unless_they_are_asked_for() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await.id;
    host.store.cancel_job(job, at(1)).await.unwrap();
    assert!(redrive(&host, job, <_>::default(), 2).await.is_empty());
    assert_eq!(redrive(&host, job, and_cancelled(), 3).await, [READY, BLOCKED]);
    assert_eq!(host.job(job).await.state, JobState::Pending);
    for ms in [4, 5] {
        let claimed = host.claim_one(ms).await;
        host.settle(&claimed, ms, completed()).await;
    }
    assert_eq!(host.job(job).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_quarantined_task_gets_another_chance() {
    let mut host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "max_attempts": 9})).await.id;
    for _ in 0..2 {
        host.claim_one(0).await;
        host = host.restart().await;
        host.recover(1).await;
    }
    assert_eq!(host.job(job).await.state, JobState::Failed);
    assert_eq!(redrive(&host, job, <_>::default(), 2).await, [READY]);
    host.claim_one(3).await;
    let host = host.restart().await;
    let recovered = host.recover(4).await;
    assert_eq!((recovered.retried.len(), recovered.failed.len()), (1, 0));
}

#[tokio::test]
async fn what_has_not_begun_in_a_running_job_waits_again() {
    let host = Host::start().await;
    let job = host
        .submit(forest(&[("a", &[]), ("other", &[]), ("b", &["a?"]), ("c", &["a?", "other"])]))
        .await
        .id;
    let claimed = host.claim(0, 2).await;
    host.settle(&claimed[0], 1, failed()).await;
    let running = TaskState::Running;
    assert_eq!(states(&host, job).await, [TaskState::Failed, running, READY, BLOCKED]);
    assert_eq!(redrive(&host, job, <_>::default(), 2).await, [READY]);
    assert_eq!(states(&host, job).await, [READY, running, BLOCKED, BLOCKED]);
    check_edges(&host, job).await;
    host.settle(&claimed[1], 3, completed()).await;
    let again = host.claim_one(4).await;
    assert_eq!(again.reference, "a");
    assert_eq!(host.settle(&again, 5, completed()).await.became_ready.len(), 2);
    for claimed in host.claim(6, 2).await {
        host.settle(&claimed, 7, completed()).await;
    }
    assert_eq!(host.job(job).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_task_is_found_by_its_reference() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[])])).await;
    let expected = job.tasks.iter().map(|task| (task.reference.clone(), task.id));
    assert_eq!(host.store.references(job.id).await.unwrap(), expected.collect::<Vec<_>>());
    assert_eq!(host.store.job_of(job.tasks[1].id).await.unwrap(), Some(job.id));
}
