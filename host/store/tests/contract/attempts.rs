//! The end of an attempt: fenced, whole, and carried on to those who wait.

use apflow_model::event::{Happening, Level, LogLine};
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::job::TASKS_MAX;
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use apflow_store::{End, NewEvent, Settlement, StoreError};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, retryable};

#[tokio::test]
async fn a_completed_task_ends_its_job_with_output_usage_and_events() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(1).await;
    let line = LogLine { level: Level::Info, message: "hello".into(), fields: Vec::new() };
    let usage = Usage { wall_us: 7, fuel: u64::MAX, ..Usage::default() };
    let settled = host
        .store
        .settle(Settlement {
            task: claimed.task,
            attempt: 1,
            now: at(5),
            end: End::Completed { output: json!({"n": 3}), files: Vec::new() },
            usage,
            events: vec![NewEvent { at: at(3), what: Happening::Log(line) }],
        })
        .await
        .unwrap();
    assert_eq!((settled.state, settled.job), (TaskState::Completed, job.id));
    assert_eq!(settled.job_ended, Some(JobState::Completed));
    let job = host.job(job.id).await;
    assert_eq!((job.state, job.ended_at), (JobState::Completed, Some(at(5))));
    let task = &job.tasks[0];
    assert_eq!((&task.output, task.usage), (&Some(json!({"n": 3})), usage));
    assert_eq!((task.ended_at, task.attempts[0].ended_at), (Some(at(5)), Some(at(5))));
    let kinds: Vec<_> = host.events(job.id).await.into_iter().map(|event| event.what).collect();
    assert!(matches!(kinds[2], Happening::Log(_)));
    assert!(matches!(kinds[3], Happening::State { state: TaskState::Completed, .. }));
}

#[tokio::test]
async fn a_lost_attempt_cannot_settle() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let stale = host.claim_one(0).await;
    host.settle(&stale, 1, End::Retry { fault: retryable("busy"), run_at: at(1) }).await;
    let lost = host.try_settle(&stale, 2, completed()).await;
    assert!(matches!(lost, Err(StoreError::AttemptLost)));
    let current = host.claim_one(3).await;
    let lost = host.try_settle(&stale, 4, failed()).await;
    assert!(matches!(lost, Err(StoreError::AttemptLost)));
    host.settle(&current, 5, completed()).await;
    let lost = host.try_settle(&current, 6, failed()).await;
    assert!(matches!(lost, Err(StoreError::AttemptLost)));
    assert_eq!(host.job(job.id).await.state, JobState::Completed);
    let states = [TaskState::Ready, TaskState::Running, TaskState::Ready, TaskState::Running];
    let history = host.history(&job.tasks[0]).await;
    assert_eq!(history, [&states[..], &[TaskState::Completed]].concat());
}

#[tokio::test]
async fn a_failed_task_says_why() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let settled = host.settle(&host.claim_one(0).await, 1, failed()).await;
    assert_eq!(settled.job_ended, Some(JobState::Failed));
    let task = host.task(job.id, "task-1").await;
    let fault = Some(Fault::new(FaultCode::Permanent, "no"));
    assert_eq!((&task.fault, &task.attempts[0].fault), (&fault, &fault));
}

#[tokio::test]
async fn a_cancelled_task_cancels_its_job() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let fault = Fault::new(FaultCode::Cancelled, "asked to");
    let settled = host.settle(&host.claim_one(0).await, 1, End::Cancelled { fault }).await;
    assert_eq!(settled.job_ended, Some(JobState::Cancelled));
    assert_eq!(host.task(job.id, "task-1").await.state, TaskState::Cancelled);
}

#[tokio::test]
async fn a_retry_waits_for_its_time() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let end = End::Retry { fault: retryable("busy"), run_at: at(500) };
    let settled = host.settle(&host.claim_one(0).await, 1, end).await;
    assert_eq!((settled.state, settled.next_run_at), (TaskState::Scheduled, Some(at(500))));
    assert!(settled.became_ready.is_empty() && settled.job_ended.is_none());
    assert!(host.claim(499, 1).await.is_empty());
    assert_eq!(host.claim_one(500).await.attempt, 2);
    let task = host.task(job.id, "task-1").await;
    assert_eq!((task.attempts[0].fault.clone(), task.fault), (Some(retryable("busy")), None));
}

#[tokio::test]
async fn a_retry_at_once_is_ready() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(0).await;
    let settled =
        host.settle(&claimed, 1, End::Retry { fault: retryable("busy"), run_at: at(1) }).await;
    assert_eq!((settled.state, settled.became_ready), (TaskState::Ready, vec![claimed.task]));
}

#[tokio::test]
async fn a_task_becomes_ready_with_its_last_dependency() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])])).await;
    let claimed = host.claim(0, 10).await;
    assert_eq!(claimed.len(), 2);
    assert!(host.settle(&claimed[0], 1, completed()).await.became_ready.is_empty());
    let settled = host.settle(&claimed[1], 2, completed()).await;
    assert_eq!(settled.became_ready, [job.tasks[2].id]);
}

#[tokio::test]
async fn a_task_that_somebody_had_run_again_resolves_nothing_again() {
    let host = Host::start().await;
    host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["a?", "b"])])).await;
    let claimed = host.claim(0, 10).await;
    host.settle(&claimed[0], 1, failed()).await;
    let again = "UPDATE task SET state = 3, ended_at = NULL, \
                                 session_id = (SELECT max(id) FROM session) WHERE state = 9";
    host.spoil(again).await;
    assert!(host.settle(&claimed[0], 2, failed()).await.became_ready.is_empty());
}

#[tokio::test]
async fn a_skipped_branch_skips_its_dependents() {
    let host = Host::start().await;
    // A diamond below the failure, a stranger beside it, and a task that can do without.
    let tasks: [(&str, &[&str]); 7] = [
        ("a", &[]),
        ("b", &["a"]),
        ("c", &["a"]),
        ("d", &["b", "c"]),
        ("e", &["d"]),
        ("f", &["e?"]),
        ("g", &[]),
    ];
    let job = host.submit(forest(&tasks)).await;
    let claimed = host.claim(0, 1).await;
    let settled = host.settle(&claimed[0], 1, failed()).await;
    assert_eq!(settled.became_ready, [job.tasks[5].id]);
    for reference in ["b", "c", "d", "e"] {
        let task = host.task(job.id, reference).await;
        assert_eq!((task.state, task.ended_at), (TaskState::Skipped, Some(at(1))), "{reference}");
        assert_eq!(host.history(&task).await, [TaskState::Blocked, TaskState::Skipped]);
    }
    assert_eq!(host.task(job.id, "g").await.state, TaskState::Ready);
    let mut ended = settled.job_ended;
    while let Some(claimed) = host.claim(2, 1).await.first() {
        assert_eq!(ended, None);
        ended = host.settle(claimed, 3, completed()).await.job_ended;
    }
    assert_eq!(ended, Some(JobState::Completed), "the failure was excused by an optional one");
}

#[tokio::test]
async fn a_chain_as_long_as_a_job_may_be_is_skipped_whole() {
    let host = Host::start().await;
    let task = |place: usize| match place.checked_sub(1) {
        Some(before) => json!({"id": place.to_string(), "executor": "x",
            "dependencies": [before.to_string()]}),
        None => json!({"id": "0", "executor": "x"}),
    };
    let job = host.submit(json!({"tasks": (0..TASKS_MAX).map(task).collect::<Vec<_>>()})).await;
    let settled = host.settle(&host.claim_one(0).await, 1, failed()).await;
    assert_eq!(settled.job_ended, Some(JobState::Failed));
    let states = host.job(job.id).await.tasks.into_iter().map(|task| task.state);
    assert_eq!(states.filter(|state| *state == TaskState::Skipped).count(), TASKS_MAX - 1);
}

#[tokio::test]
async fn an_optional_dependency_only_orders() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a?"])])).await;
    assert_eq!(host.claim(0, 10).await.len(), 1);
    assert!(host.claim(0, 10).await.is_empty());
    let host_job = host.job(job.id).await;
    let attempt = host_job.tasks[0].attempts[0].n;
    let settlement = Settlement {
        task: job.tasks[0].id,
        attempt,
        now: at(1),
        end: failed(),
        usage: Usage::default(),
        events: Vec::new(),
    };
    let settled = host.store.settle(settlement).await.unwrap();
    assert_eq!(settled.became_ready, [job.tasks[1].id]);
    let settled = host.settle(&host.claim_one(2).await, 3, completed()).await;
    assert_eq!(settled.job_ended, Some(JobState::Completed));
}

#[tokio::test]
async fn a_skipped_task_stays_skipped_when_its_other_dependency_ends() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])])).await;
    let claimed = host.claim(0, 2).await;
    host.settle(&claimed[0], 1, failed()).await;
    assert_eq!(host.task(job.id, "c").await.state, TaskState::Skipped);
    let settled = host.settle(&claimed[1], 2, completed()).await;
    assert_eq!((settled.became_ready.len(), settled.job_ended), (0, Some(JobState::Failed)));
}
