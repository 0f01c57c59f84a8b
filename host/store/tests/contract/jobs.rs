//! Jobs are stored whole, found as they are, and listed newest first.

use apflow_model::hops::Hops;
use apflow_model::id::JobId;
use apflow_model::job::{Dependency, JobSpec};
use apflow_model::state::{JobState, TaskState};
use apflow_store::{JobFilter, NewJob, StoreError};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, spec};

#[tokio::test]
async fn a_job_is_found_as_it_was_answered() {
    let host = Host::start().await;
    let job = host
        .submit(json!({"name": "nightly", "tasks": [
            {"id": "a", "name": "first", "executor": "x", "inputs": {"n": 1}, "priority": 0},
            {"id": "b", "executor": "y", "parent_id": "a", "run_at": "2040-01-01T00:00:00Z"},
            {"id": "c", "executor": "z", "dependencies": [{"id": "b", "required": false}, "a"],
             "max_attempts": 7},
        ]}))
        .await;
    assert_eq!(host.job(job.id).await, job);
    let states: Vec<_> = job.tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Ready, TaskState::Scheduled, TaskState::Blocked]);
    assert_eq!((job.state, job.task_count), (JobState::Pending, 3));
    assert_eq!(job.tasks[1].parent, Some(job.tasks[0].id));
    assert_eq!(job.tasks[2].dependencies.len(), 2);
}

#[tokio::test]
async fn a_job_that_was_never_submitted_is_not_found() {
    assert_eq!(Host::start().await.store.find_job(JobId(42)).await.unwrap(), None);
}

#[tokio::test]
async fn a_job_and_its_tasks_are_stored_or_neither() {
    let host = Host::start().await;
    let mut spec = spec(forest(&[("a", &[]), ("b", &["a"])]));
    // A fault that the model would refuse, and that the database meets last.
    spec.tasks[1].dependencies.push(Dependency { task: 0, required: false });
    let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
    assert!(matches!(host.store.submit(job, at(0)).await, Err(StoreError::Database(_))));
    let page = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!((page.jobs.len(), host.claim(0, 10).await.len()), (0, 0));
}

#[tokio::test]
async fn a_job_knows_the_hosts_that_it_came_through() {
    let host = Host::start().await;
    let hops: Hops = "h_0123456789abcdef, h_fedcba9876543210".parse().unwrap();
    let spec = JobSpec { hops: hops.clone(), ..spec(forest(&[("a", &[])])) };
    let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
    let job = host.store.submit(job, at(0)).await.unwrap();
    assert_eq!((&job.hops, &host.job(job.id).await.hops), (&hops, &hops));
    assert_eq!(host.claim_one(0).await.hops, hops);
    host.submit(forest(&[("a", &[])])).await;
    assert!(host.claim_one(0).await.hops.is_empty());
}

#[tokio::test]
async fn odd_text_comes_back_as_it_was() {
    let host = Host::start().await;
    let name = "quote ', \"double\", \\u0000, \u{1f980}, \u{2028}";
    let odd = format!("{name}, nul \0");
    let inputs = json!({&odd: [odd, 1e300]});
    let job =
        host.submit(json!({"id": name, "name": name, "executor": "x", "inputs": inputs})).await;
    assert_eq!(host.job(job.id).await.tasks, job.tasks);
    let claimed = host.claim_one(0).await;
    assert_eq!((claimed.reference.as_str(), &claimed.inputs), (name, &inputs));
    let output = json!([odd, {"deep": {&odd: null}}]);
    let end = apflow_store::End::Completed { output: output.clone(), files: Vec::new() };
    host.settle(&claimed, 1, end).await;
    assert_eq!(host.job(job.id).await.tasks[0].output, Some(output));
}

#[tokio::test]
async fn pages_hold_every_job_once_newest_first() {
    let host = Host::start().await;
    let mut submitted = Vec::new();
    for _ in 0..7 {
        submitted.push(host.submit(json!({"executor": "x"})).await.id);
    }
    submitted.reverse();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = host.store.list_jobs(&JobFilter::default(), before, 3).await.unwrap();
        assert!(page.jobs.len() <= 3);
        listed.extend(page.jobs.iter().map(|job| job.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, submitted);
}

#[tokio::test]
async fn each_filter_narrows_the_list() {
    let host = Host::start().await;
    let good = host.submit_at(json!({"executor": "x"}), 0).await.id;
    let bad = host.submit_at(json!({"executor": "y"}), 10).await.id;
    let waiting = host.submit_at(json!({"executor": "x"}), 20).await.id;
    let (first, second) = (host.claim_one(30).await, host.claim_one(30).await);
    host.settle(&first, 40, completed()).await;
    host.settle(&second, 40, failed()).await;
    let list = async |filter: JobFilter| -> Vec<JobId> {
        let page = host.store.list_jobs(&filter, None, 10).await.unwrap();
        page.jobs.into_iter().map(|job| job.id).collect()
    };
    let all = JobFilter::default();
    let ends = vec![JobState::Completed, JobState::Failed];
    assert_eq!(list(JobFilter { states: ends, ..all.clone() }).await, [bad, good]);
    let executor = Some("x".to_owned());
    let tool = executor.clone();
    assert_eq!(list(JobFilter { executor, ..all.clone() }).await, [waiting, good]);
    assert_eq!(list(JobFilter { tool, ..all.clone() }).await, [waiting, good]);
    assert_eq!(list(JobFilter { since: Some(at(10)), ..all.clone() }).await, [waiting, bad]);
    assert_eq!(list(JobFilter { until: Some(at(10)), ..all.clone() }).await, [good]);
    let stranger = Some("bob".to_owned());
    assert!(list(JobFilter { principal: stranger, ..all.clone() }).await.is_empty());
}

#[tokio::test]
async fn the_state_of_a_job_is_told_without_its_tasks() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let state = || host.store.job_state(job.id);
    assert_eq!(state().await.unwrap(), Some(JobState::Pending));
    let claimed = host.claim_one(0).await;
    assert_eq!(state().await.unwrap(), Some(JobState::Running));
    host.settle(&claimed, 1, failed()).await;
    assert_eq!(state().await.unwrap(), Some(JobState::Failed));
    assert_eq!(host.store.job_state(JobId(1)).await.unwrap(), None);
}
