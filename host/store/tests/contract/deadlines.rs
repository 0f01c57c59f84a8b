//! Tasks that have not ended by their deadlines.

use apflow_model::event::Happening;
use apflow_model::fair::Limits;
use apflow_model::fault::FaultCode;
use apflow_model::state::{JobState, TaskState};
use apflow_store::{EXPIRED_PER_CLAIM_MAX, End};
use serde_json::json;

use crate::host::{Host, at, completed, retryable};

#[tokio::test]
async fn a_task_that_waits_for_a_place_fails_at_its_deadline() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "deadline": at(100)})).await;
    assert_eq!((job.tasks[0].deadline, host.job(job.id).await), (Some(at(100)), job.clone()));
    assert_eq!(host.store.next_run_at().await.unwrap(), Some(at(100)));
    assert_eq!(host.claim_within(99, 0, Limits::default()).await.expired.len(), 0);
    let handed_out = host.claim_within(100, 5, Limits::default()).await;
    assert_eq!((handed_out.tasks.len(), handed_out.expired.len()), (0, 1));
    assert_eq!(handed_out.expired[0].task, job.tasks[0].id);
    assert_eq!(handed_out.jobs_ended, [(job.id, JobState::Failed)]);
    let ended = host.job(job.id).await;
    assert_eq!((ended.state, ended.ended_at), (JobState::Failed, Some(at(100))));
    let task = &ended.tasks[0];
    assert_eq!((task.state, task.ended_at), (TaskState::Failed, Some(at(100))));
    assert_eq!(task.fault.as_ref().unwrap().code, FaultCode::DeadlineExceeded);
    assert_eq!((task.attempts.len(), task.started_at), (0, None));
    assert_eq!(host.history(task).await, [TaskState::Ready, TaskState::Failed]);
    let last = host.events(job.id).await.pop().unwrap();
    let fault = task.fault.clone();
    assert_eq!(last.what, Happening::State { state: TaskState::Failed, fault });
    assert_eq!(host.store.next_run_at().await.unwrap(), None);
}

#[tokio::test]
async fn whatever_it_waits_for_a_task_fails_at_its_deadline_and_dependents_follow() {
    let host = Host::start().await;
    let job = host
        .submit(json!({"tasks": [
            {"id": "later", "executor": "x", "run_at": at(500), "deadline": at(900)},
            {"id": "runs", "executor": "x"},
            {"id": "blocked", "executor": "x", "dependencies": ["runs"], "deadline": at(50)},
            {"id": "needs", "executor": "x", "dependencies": ["blocked"], "deadline": at(50)},
            {"id": "needs-too", "executor": "x", "dependencies": ["blocked", "later"]},
            {"id": "can-do-without", "executor": "x",
             "dependencies": [{"id": "blocked", "required": false}],
             "deadline": at(800)},
        ]}))
        .await;
    let running = host.claim_one(1).await;
    assert_eq!(running.reference, "runs");
    let handed_out = host.claim_within(60, 9, Limits::default()).await;
    let names: Vec<_> = handed_out.tasks.iter().map(|task| task.reference.as_str()).collect();
    assert_eq!(names, ["can-do-without"]);
    assert_eq!((handed_out.expired.len(), handed_out.jobs_ended.len()), (2, 0));
    let states = [
        ("later", TaskState::Scheduled),
        ("runs", TaskState::Running),
        ("blocked", TaskState::Failed),
        ("needs", TaskState::Failed),
        ("needs-too", TaskState::Skipped),
        ("can-do-without", TaskState::Running),
    ];
    for (name, state) in states {
        assert_eq!(host.task(job.id, name).await.state, state, "{name}");
    }
    host.settle(&running, 70, completed()).await;
    host.settle(&handed_out.tasks[0], 70, completed()).await;
    let handed_out = host.claim_within(900, 9, Limits::default()).await;
    assert_eq!(handed_out.jobs_ended, [(job.id, JobState::Failed)]);
    let job = host.job(job.id).await;
    assert!(job.tasks.iter().all(|task| task.state.is_end()));
}

#[tokio::test]
async fn a_running_attempt_knows_the_deadline_and_is_left_to_whoever_runs_it() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "deadline": at(100)})).await;
    let claimed = host.claim_one(50).await;
    assert_eq!(claimed.deadline, Some(at(100)));
    assert_eq!(host.store.next_run_at().await.unwrap(), None);
    assert_eq!(host.claim_within(200, 1, Limits::default()).await.expired.len(), 0);
    host.settle(&claimed, 201, completed()).await;
    assert_eq!(host.job(job.id).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_task_that_waits_for_another_attempt_fails_at_its_deadline() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "deadline": at(100)})).await;
    let end = End::Retry { fault: retryable("busy"), run_at: at(500) };
    host.settle(&host.claim_one(0).await, 1, end).await;
    assert_eq!(host.store.next_run_at().await.unwrap(), Some(at(100)));
    host.claim(100, 1).await;
    let task = host.job(job.id).await.tasks.remove(0);
    assert_eq!(task.fault.unwrap().code, FaultCode::DeadlineExceeded);
    assert_eq!(task.attempts[0].fault, Some(retryable("busy")));
}

#[tokio::test]
async fn many_deadlines_pass_a_claim_at_a_time() {
    let host = Host::start().await;
    let count = usize::try_from(EXPIRED_PER_CLAIM_MAX).unwrap() + 5;
    let tasks = vec![json!({"executor": "x"}); count];
    let job = host.submit(json!({"deadline": at(10), "tasks": tasks})).await;
    assert_eq!(host.claim_within(10, 0, Limits::default()).await.expired.len(), count - 5);
    assert_eq!(host.store.next_run_at().await.unwrap(), Some(at(10)));
    let handed_out = host.claim_within(11, 0, Limits::default()).await;
    assert_eq!((handed_out.expired.len(), handed_out.jobs_ended.len()), (5, 1));
    assert_eq!(host.job(job.id).await.state, JobState::Failed);
}
