//! Which tasks are handed out, in which order, and with what.

use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::fault::FaultCode;
use apflow_model::state::{JobState, TaskState};
use apflow_store::{End, NewJob};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, retryable, spec};

#[tokio::test]
async fn the_most_urgent_task_comes_first_and_then_the_oldest() {
    let host = Host::start().await;
    for (id, priority, ms) in [("low", 3, 0), ("old", 1, 1), ("new", 1, 2), ("urgent", 0, 3)] {
        host.submit_at(json!({"id": id, "executor": "x", "priority": priority}), ms).await;
    }
    let mut order = Vec::new();
    for claimed in host.claim(5, 3).await.into_iter().chain(host.claim(5, 3).await) {
        order.push(claimed.reference);
    }
    assert_eq!(order, ["urgent", "old", "new", "low"]);
}

#[tokio::test]
async fn a_claimed_task_carries_what_an_attempt_needs() {
    let host = Host::start().await;
    let grants: Vec<Grant> =
        vec!["env=LANG".parse().unwrap(), "http=https://a.example".parse().unwrap()];
    let spec = spec(json!({"id": "a", "executor": "x", "inputs": {"n": 1}, "timeout_seconds": 1.5,
        "max_attempts": 4, "allow": ["env=LANG"], "token_budget": 500, "model": "m",
        "backoff": {"strategy": "fixed", "base_seconds": 2.0}}));
    let job = NewJob { spec, principal: "ada".into(), grants: grants.clone() };
    let job = host.store.submit(job, at(0)).await.unwrap();
    let claimed = host.claim_one(1).await;
    assert_eq!((claimed.job, claimed.task, claimed.attempt), (job.id, job.tasks[0].id, 1));
    assert_eq!(claimed.inputs, json!({"n": 1}));
    assert_eq!(claimed.timeout, Some(Duration::from_millis(1_500)));
    assert_eq!((claimed.attempts_max, claimed.token_budget), (4, Some(500)));
    assert_eq!((claimed.model.as_deref(), claimed.principal.as_str()), (Some("m"), "ada"));
    assert!((claimed.backoff.base_seconds - 2.0).abs() < f64::EPSILON);
    assert_eq!((claimed.allow.as_deref(), &claimed.grants), (Some(&grants[..1]), &grants));
    assert_eq!(host.job(job.id).await.tasks[0].allow, claimed.allow);
    assert_eq!(claimed.used.wall_us, 0);
}

#[tokio::test]
async fn keeping_nothing_is_not_keeping_all() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x", "allow": []})).await;
    host.submit(json!({"executor": "x"})).await;
    let kept: Vec<_> = host.claim(1, 2).await.into_iter().map(|claimed| claimed.allow).collect();
    assert_eq!(kept, [Some(Vec::new()), None]);
}

#[tokio::test]
async fn a_task_is_handed_out_once() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    assert_eq!(host.claim(1, 10).await.len(), 1);
    assert!(host.claim(1, 10).await.is_empty());
    let job = host.job(job.id).await;
    assert_eq!((job.state, job.tasks[0].state), (JobState::Running, TaskState::Running));
    assert_eq!((job.tasks[0].started_at, job.tasks[0].attempts.len()), (Some(at(1)), 1));
}

#[tokio::test]
async fn a_scheduled_task_waits_for_its_time() {
    let host = Host::start().await;
    let run_at = at(5_000);
    host.submit(json!({"executor": "x", "run_at": run_at})).await;
    assert!(host.claim(4_999, 10).await.is_empty());
    assert_eq!(host.store.next_run_at().await.unwrap(), Some(run_at));
    assert_eq!(host.claim(5_000, 10).await.len(), 1);
    assert_eq!(host.store.next_run_at().await.unwrap(), None);
}

#[tokio::test]
async fn a_due_task_that_found_no_place_is_ready() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "run_at": at(10)})).await;
    assert!(host.claim(10, 0).await.is_empty());
    assert_eq!(host.job(job.id).await.tasks[0].state, TaskState::Ready);
    assert_eq!(host.history(&job.tasks[0]).await, [TaskState::Scheduled, TaskState::Ready]);
}

#[tokio::test]
async fn a_blocked_task_with_a_time_waits_for_both() {
    let host = Host::start().await;
    let job = host
        .submit(json!({"tasks": [{"id": "a", "executor": "x"},
            {"id": "b", "executor": "x", "dependencies": ["a"], "run_at": at(100)}]}))
        .await;
    let settled = host.settle(&host.claim_one(1).await, 2, completed()).await;
    assert_eq!((settled.became_ready.len(), settled.next_run_at), (0, Some(at(100))));
    assert_eq!(host.task(job.id, "b").await.state, TaskState::Scheduled);
    assert_eq!(host.claim(100, 1).await.len(), 1);
}

#[tokio::test]
async fn a_later_attempt_knows_what_the_earlier_ones_used() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let first = host.claim_one(0).await;
    host.settle(&first, 1, End::Retry { fault: retryable("busy"), run_at: at(1) }).await;
    let second = host.claim_one(2).await;
    assert_eq!((second.attempt, second.used.wall_us), (2, 10));
}

#[tokio::test]
async fn outcomes_come_under_the_callers_references() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["a", "b?"])])).await;
    host.settle(
        &host.claim_one(0).await,
        1,
        End::Completed { output: json!(null), files: Vec::new() },
    )
    .await;
    host.settle(&host.claim_one(0).await, 1, failed()).await;
    let task = host.task(job.id, "c").await;
    assert_eq!(task.state, TaskState::Ready);
    let outcomes = host.store.dependency_outcomes(task.id).await.unwrap();
    let (a, b) = (&outcomes["a"], &outcomes["b"]);
    assert_eq!((a.state, &a.output), (TaskState::Completed, &Some(json!(null))));
    assert_eq!((b.state, &b.output), (TaskState::Failed, &None));
    assert!(a.fault.is_none() && b.fault.is_some(), "{outcomes:?}");
}

#[tokio::test]
async fn a_task_that_cannot_be_read_fails_and_the_others_are_claimed() {
    let spoilers = [
        "UPDATE task_input SET body = '{' WHERE task_id = (SELECT min(id) FROM task)",
        "DELETE FROM task_input WHERE task_id = (SELECT min(id) FROM task)",
        "UPDATE task SET backoff = 'soon' WHERE id = (SELECT min(id) FROM task)",
        "UPDATE task SET timeout_ms = -1 WHERE id = (SELECT min(id) FROM task)",
    ];
    for spoiler in spoilers {
        let host = Host::start().await;
        let tasks: [(&str, &[&str]); 4] =
            [("a", &[]), ("b", &[]), ("can-do-without", &["a?"]), ("cannot", &["a"])];
        let job = host.submit(forest(&tasks)).await;
        host.spoil(spoiler).await;
        let claimed = host.claim(5, 10).await;
        let names: Vec<_> = claimed.iter().map(|claimed| claimed.reference.as_str()).collect();
        assert_eq!(names, ["b", "can-do-without"], "{spoiler}");
        let task = host.task(job.id, "a").await;
        assert_eq!((task.state, task.ended_at), (TaskState::Failed, Some(at(5))));
        assert_eq!(task.fault.as_ref().unwrap().code, FaultCode::Permanent);
        assert_eq!(task.attempts[0].fault, task.fault);
        let history = [TaskState::Ready, TaskState::Running, TaskState::Failed];
        assert_eq!(host.history(&task).await, history);
        assert_eq!(host.task(job.id, "cannot").await.state, TaskState::Skipped);
        let mut ended = None;
        for claimed in &claimed {
            ended = host.settle(claimed, 6, completed()).await.job_ended;
        }
        assert_eq!(ended, Some(JobState::Failed), "the failure counts: `cannot` requires it");
    }
}

#[tokio::test]
async fn a_claim_is_filled_past_tasks_that_cannot_be_read() {
    let host = Host::start().await;
    for _ in 0..5 {
        host.submit(json!({"executor": "x"})).await;
    }
    host.spoil("UPDATE task_input SET body = '' WHERE task_id < (SELECT max(id) FROM task)").await;
    assert_eq!(host.claim(1, 1).await.len(), 1);
    assert!(host.claim(2, 1).await.is_empty());
}

#[tokio::test]
async fn a_task_whose_usage_cannot_be_read_fails() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "token_budget": 5})).await;
    let end = End::Retry { fault: retryable("busy"), run_at: at(1) };
    host.settle(&host.claim_one(0).await, 1, end).await;
    host.spoil("UPDATE attempt SET usage = '?'").await;
    assert!(host.claim(2, 1).await.is_empty());
    assert_eq!(host.store.job_state(job.id).await.unwrap(), Some(JobState::Failed));
}
