//! Many writes, one commit, and each on its own.

use std::time::Instant;

use apflow_model::id::TaskId;
use apflow_model::job::Dependency;
use apflow_model::state::JobState;
use apflow_model::usage::Usage;
use apflow_store::{JobFilter, NewJob, Settlement, StoreError};
use serde_json::json;
use tokio::task::JoinSet;

use crate::host::{Host, at, completed, forest, spec};

/// On one thread, all of these are queued before the writer takes the first.
#[tokio::test(flavor = "current_thread")]
async fn a_write_that_fails_takes_none_of_its_neighbours_along() {
    let host = Host::start().await;
    let mut writes = JoinSet::new();
    for n in 0..300 {
        let store = host.store.clone();
        writes.spawn(async move {
            let mut spec = spec(forest(&[("a", &[]), ("b", &["a"])]));
            if n % 3 == 0 {
                spec.tasks[1].dependencies.push(Dependency { task: 0, required: false });
            }
            let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
            let stored = store.submit(job, at(n)).await;
            let lost = store.append_events(TaskId(1), 1, Vec::new()).await;
            assert!(matches!(lost, Err(StoreError::AttemptLost)));
            assert_eq!(stored.is_ok(), n % 3 != 0);
        });
    }
    writes.join_all().await;
    let page = host.store.list_jobs(&JobFilter::default(), None, 1_000).await.unwrap();
    assert_eq!(page.jobs.len(), 200);
    assert_eq!(host.claim(400, 1_000).await.len(), 200);
}

/// On one thread, both are queued before the writer takes the first.
#[tokio::test(flavor = "current_thread")]
async fn a_claim_sees_what_is_submitted_in_the_same_commit() {
    let host = Host::start().await;
    // The first of its lane makes that.
    host.submit(json!({"executor": "x"})).await;
    host.claim_one(1).await;
    let job = host.submit(json!({"executor": "x"}));
    let (claimed, job) = tokio::join!(host.claim(1, 10), job);
    assert_eq!((claimed.len(), claimed[0].job), (1, job.id));
}

#[tokio::test]
async fn a_write_is_made_even_when_nobody_waits_for_it() {
    let host = Host::start().await;
    // The first of its lane makes that.
    host.submit(json!({"executor": "x"})).await;
    host.claim_one(1).await;
    let store = host.store.clone();
    let job = NewJob {
        spec: spec(json!({"executor": "x"})),
        principal: "ada".into(),
        grants: Vec::new(),
    };
    let submitting = tokio::spawn(async move { store.submit(job, at(0)).await.map(drop) });
    tokio::task::yield_now().await;
    submitting.abort();
    // A fast database may have answered before.
    drop(submitting.await);
    assert_eq!(host.claim(1, 10).await.len(), 1);
}

#[tokio::test]
async fn a_thousand_tasks_pass_through() {
    let host = Host::start().await;
    let began = Instant::now();
    let mut submits = JoinSet::new();
    for n in 0..1_000 {
        let store = host.store.clone();
        submits.spawn(async move {
            let spec = spec(json!({"executor": "noop_executor"}));
            let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
            store.submit(job, at(n)).await.unwrap();
        });
    }
    submits.join_all().await;
    let (submitted, began) = (began.elapsed(), Instant::now());
    let claimed = host.claim(2_000, 1_000).await;
    let (taken, began) = (began.elapsed(), Instant::now());
    assert_eq!(claimed.len(), 1_000);
    let mut ends = JoinSet::new();
    for claimed in claimed {
        let store = host.store.clone();
        ends.spawn(async move {
            let settlement = Settlement {
                task: claimed.task,
                attempt: claimed.attempt,
                now: at(3_000),
                end: completed(),
                usage: Usage::default(),
                events: Vec::new(),
            };
            store.settle(settlement).await.unwrap().job_ended
        });
    }
    let ends = ends.join_all().await;
    assert!(ends.iter().all(|end| *end == Some(JobState::Completed)));
    println!(
        "1000 tasks: submitted in {submitted:?}, claimed in {:?}, settled in {:?}",
        taken,
        began.elapsed()
    );
}
