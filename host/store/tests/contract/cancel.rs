//! What becomes of a job or a task that is cancelled.

use std::time::{Duration, Instant};

use apflow_model::event::Happening;
use apflow_model::fault::FaultCode;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Job;
use apflow_model::state::{JobState, TaskState};
use apflow_store::{Cancelled, End, Hold};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, retryable};

const DONE: TaskState = TaskState::Completed;
const CANCELLED: TaskState = TaskState::Cancelled;

fn states(job: &Job) -> Vec<TaskState> {
    job.tasks.iter().map(|task| task.state).collect()
}

async fn cancel_job(host: &Host, job: JobId, ms: u64) -> Cancelled {
    host.store.cancel_job(job, at(ms)).await.unwrap().expect("something had not ended")
}

async fn kinds(host: &Host, job: JobId) -> Vec<Happening> {
    host.events(job).await.into_iter().map(|event| event.what).collect()
}

#[tokio::test]
async fn a_cancelled_job_ends_with_its_last_attempt() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["b"])])).await;
    let claimed = host.claim(0, 2).await;
    host.settle(&claimed[0], 1, completed()).await;
    let cancelled = cancel_job(&host, job.id, 2).await;
    assert_eq!(cancelled.running, [(claimed[1].task, 1)]);
    assert_eq!((cancelled.ended.len(), cancelled.job_ended), (1, None));
    let open = host.job(job.id).await;
    assert_eq!(states(&open), [DONE, TaskState::Running, CANCELLED]);
    assert_eq!((open.state, open.tasks[1].cancel_at), (JobState::Running, Some(at(2))));
    assert_eq!(host.store.holds(claimed[1].task, 1).await.unwrap(), Hold::Cancelled);

    let settled = host.settle(&claimed[1], 9, End::Cancelled { fault: retryable("trapped") }).await;
    assert_eq!((settled.state, settled.job_ended), (CANCELLED, Some(JobState::Cancelled)));
    let ended = host.job(job.id).await;
    assert_eq!((ended.state, ended.ended_at), (JobState::Cancelled, Some(at(9))));
    let attempt = &ended.tasks[1].attempts[0];
    assert_eq!(attempt.usage.unwrap().wall_us, 10, "the receipt of the attempt is kept");
    assert!(kinds(&host, job.id).await.contains(&Happening::Cancelling));
    assert!(!host.store.any_held(&cancelled.running).await.unwrap());
}

#[tokio::test]
async fn a_cancelled_task_is_never_tried_again() {
    let fault = retryable("again");
    let again = End::Retry { fault: fault.clone(), run_at: at(60_000) };
    for end in [again, End::Failed { fault: fault.clone() }] {
        let host = Host::start().await;
        let job = host.submit(json!({"executor": "x"})).await;
        let claimed = host.claim_one(0).await;
        cancel_job(&host, job.id, 1).await;
        let settled = host.settle(&claimed, 2, end).await;
        assert_eq!((settled.state, settled.next_run_at), (CANCELLED, None));
        assert!(settled.became_ready.is_empty());
        let task = host.job(job.id).await.tasks.remove(0);
        let told = task.fault.unwrap();
        assert_eq!(told.code, FaultCode::Cancelled);
        assert!(told.message.contains("retryable: again"), "{told}");
        assert_eq!(task.attempts[0].fault.as_ref(), Some(&fault));
        assert!(host.claim(100_000, 1).await.is_empty());
    }
}

#[tokio::test]
async fn a_result_that_comes_first_wins_and_says_so() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let claimed = host.claim_one(0).await;
    host.store.cancel_task(claimed.task, at(1)).await.unwrap().unwrap();
    let settled = host.settle(&claimed, 2, completed()).await;
    assert_eq!((settled.state, settled.became_ready.len()), (DONE, 1));
    let kinds = kinds(&host, job.id).await;
    let late = kinds.iter().position(|what| *what == Happening::CancelTooLate).unwrap();
    let end = Happening::State { state: DONE, fault: None };
    assert_eq!(kinds[late + 1], end);
}

#[tokio::test]
async fn a_cancelled_attempt_may_still_log_and_save() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(0).await;
    cancel_job(&host, job.id, 1).await;
    let saved = host.store.save_checkpoint(claimed.task, 1, "tidy".into(), vec![1], at(2)).await;
    saved.unwrap();
    assert_eq!(host.store.load_checkpoint(claimed.task).await.unwrap().unwrap().step, "tidy");
}

#[tokio::test]
async fn a_crash_ends_a_cancelled_task() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    host.claim_one(0).await;
    cancel_job(&host, job.id, 1).await;
    let host = host.restart().await;
    let recovered = host.recover(2).await;
    assert_eq!((recovered.retried.len(), recovered.failed.len()), (0, 1));
    assert_eq!(recovered.jobs_ended, [(job.id, JobState::Cancelled)]);
    assert_eq!(states(&host.job(job.id).await), [CANCELLED]);
}

#[tokio::test]
async fn a_clean_stop_ends_a_cancelled_task() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    host.claim_one(0).await;
    cancel_job(&host, job.id, 1).await;
    assert!(host.store.close_session(host.session, at(2)).await.unwrap().is_empty());
    assert_eq!(host.job(job.id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_task_is_cancelled_with_all_below_it_and_no_other() {
    let host = Host::start().await;
    let task = |id: &str, parent: Option<&str>, dependencies: &[&str]| json!({"id": id, "executor": "x", "parent_id": parent, "dependencies": dependencies});
    let job = host
        .submit(json!({"tasks": [
            task("top", None, &[]), task("child", Some("top"), &[]),
            task("grandchild", Some("child"), &["child"]), task("other", None, &[]),
            task("needs", None, &["grandchild"]), task("needs-that", None, &["needs"]),
        ]}))
        .await;
    let cancelled = host.store.cancel_task(job.tasks[0].id, at(1)).await.unwrap().unwrap();
    assert_eq!((cancelled.ended.len(), cancelled.job_ended), (5, None));
    let skipped = TaskState::Skipped;
    let expected = [CANCELLED, CANCELLED, CANCELLED, TaskState::Ready, skipped, skipped];
    assert_eq!(states(&host.job(job.id).await), expected);
    let fault = host.task(job.id, "needs").await.fault.unwrap();
    assert_eq!(fault.code, FaultCode::DependencyLost);
    assert_eq!(fault.message, "it requires `grandchild`, which was cancelled");
    let claimed = host.claim_one(2).await;
    let end = host.settle(&claimed, 3, completed()).await.job_ended;
    assert_eq!(end, Some(JobState::Cancelled));
}

#[tokio::test]
async fn what_only_waits_for_the_end_of_a_cancelled_task_goes_on() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a?"])])).await;
    let cancelled = host.store.cancel_task(job.tasks[0].id, at(1)).await.unwrap().unwrap();
    assert_eq!(cancelled.became_ready, [job.tasks[1].id]);
    let claimed = host.claim_one(2).await;
    assert_eq!(claimed.reference, "b");
    host.settle(&claimed, 3, completed()).await;
    assert_eq!(host.job(job.id).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_task_that_waits_for_its_next_attempt_ends_at_once() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(0).await;
    let end = End::Retry { fault: retryable("again"), run_at: at(60_000) };
    host.settle(&claimed, 1, end).await;
    let cancelled = cancel_job(&host, job.id, 2).await;
    assert_eq!((cancelled.running.len(), cancelled.job_ended), (0, Some(JobState::Cancelled)));
    assert!(host.claim(100_000, 1).await.is_empty());
}

#[tokio::test]
async fn cancelling_again_changes_nothing() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let claimed = host.claim_one(0).await;
    cancel_job(&host, job.id, 1).await;
    let (first, events) = (host.job(job.id).await, host.events(job.id).await);
    let again = cancel_job(&host, job.id, 2).await;
    assert_eq!((again.running, again.ended.len()), (vec![(claimed.task, 1)], 0));
    assert_eq!((host.job(job.id).await, host.events(job.id).await), (first, events));
    host.settle(&claimed, 3, End::Cancelled { fault: retryable("x") }).await;
    assert!(host.store.cancel_job(job.id, at(4)).await.unwrap().is_none());
    assert!(host.store.cancel_task(claimed.task, at(4)).await.unwrap().is_none());
    assert!(host.store.cancel_job(JobId(7), at(4)).await.unwrap().is_none());
    assert!(host.store.cancel_task(TaskId(7), at(4)).await.unwrap().is_none());
}

/// The most that one change of a job of 10,000 tasks may take, however busy the machine: a step that
/// is quadratic takes longer.
const LONGEST: Duration = Duration::from_secs(20);

#[tokio::test]
async fn ten_thousand_tasks_are_skipped_cancelled_and_redriven_in_linear_time() {
    let chain: Vec<_> = (0..10_000_u32)
        .map(|n| {
            let before: Vec<_> = n.checked_sub(1).map(|n| n.to_string()).into_iter().collect();
            json!({"id": n.to_string(), "executor": "x", "dependencies": before})
        })
        .collect();
    let fan: Vec<_> = (0..10_000_u32)
        .map(|n| {
            let before: Vec<_> = if n == 0 { Vec::new() } else { vec!["0"] };
            json!({"id": n.to_string(), "executor": "x", "dependencies": before})
        })
        .collect();
    let host = Host::start().await;
    for (name, tasks) in [("chain", chain), ("fan", fan)] {
        let took = |what: &str, since: Instant| {
            let took = since.elapsed();
            println!("{name}: {what} {took:?}");
            assert!(took < LONGEST, "{name}: {what} took {took:?}");
        };
        let start = Instant::now();
        let job = host.submit(json!({"tasks": tasks})).await.id;
        took("submitted", start);
        let claimed = host.claim_one(1).await;
        let start = Instant::now();
        assert_eq!(host.settle(&claimed, 2, failed()).await.job_ended, Some(JobState::Failed));
        took("skipped", start);
        let last = host.task(job, "9999").await;
        assert_eq!(
            (last.state, last.fault.unwrap().code),
            (TaskState::Skipped, FaultCode::DependencyLost)
        );
        let start = Instant::now();
        let redriven = host.store.redrive(job, <_>::default(), at(3)).await.unwrap();
        took("redriven", start);
        assert_eq!(redriven.tasks.len(), 10_000);
        let start = Instant::now();
        let cancelled = host.store.cancel_task(claimed.task, at(4)).await.unwrap().unwrap();
        took("cancelled one", start);
        assert_eq!(
            (cancelled.ended.len(), cancelled.job_ended),
            (10_000, Some(JobState::Cancelled))
        );
        let choice = apflow_store::RedriveChoice { with_cancelled: true, ..<_>::default() };
        host.store.redrive(job, choice, at(5)).await.unwrap();
        let start = Instant::now();
        assert_eq!(cancel_job(&host, job, 6).await.ended.len(), 10_000);
        took("cancelled all", start);
        let start = Instant::now();
        assert_eq!(host.job(job).await.state, JobState::Cancelled);
        took("shown", start);
    }
}
