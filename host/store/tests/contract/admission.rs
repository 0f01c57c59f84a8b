//! How many tasks may be open, and what happens to a job that would go over.

use apflow_model::concurrency::{Admission, OpenMax};
use apflow_model::id::JobId;
use apflow_store::{JobFilter, StoreError};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::host::{Host, completed};

fn tasks(count: usize) -> Value {
    json!({"tasks": vec![json!({"executor": "x"}); count]})
}

async fn admitting(all: u64, each: Option<u64>) -> Host {
    let mut host = Host::start().await;
    let tasks_open_max_per_principal = each.map(OpenMax);
    let admission = Admission { tasks_open_max: OpenMax(all), tasks_open_max_per_principal };
    host.store = host.store.admitting(admission);
    host
}

#[tokio::test]
async fn a_job_that_would_go_over_is_refused_whole_and_taken_in_when_others_have_ended() {
    let host = admitting(3, None).await;
    host.submit(tasks(2)).await;
    let refused = host.try_submit("bob", tasks(2), 1).await;
    let Err(StoreError::TooManyTasks { tasks: 2, open: 2, open_max: 3, principal: None }) = refused
    else {
        panic!("{refused:?}");
    };
    let page = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(page.jobs.len(), 1);
    host.settle(&host.claim_one(2).await, 3, completed()).await;
    host.submit_as("bob", tasks(2)).await;
}

#[tokio::test]
async fn a_principal_over_its_own_limit_does_not_keep_others_out() {
    let host = admitting(100, Some(2)).await;
    host.submit(tasks(2)).await;
    let refused = host.try_submit("ada", tasks(1), 1).await;
    let Err(StoreError::TooManyTasks { open: 2, open_max: 2, principal: Some(of), .. }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(of, "ada");
    host.submit_as("bob", tasks(2)).await;
}

/// On one thread, all of these are queued before the writer takes the first.
#[tokio::test(flavor = "current_thread")]
async fn jobs_of_one_commit_count_for_each_other() {
    let host = admitting(7, None).await;
    let mut submitting = JoinSet::new();
    for _ in 0..10 {
        let submit = apflow_store::NewJob {
            spec: crate::host::spec(tasks(2)),
            principal: "ada".into(),
            grants: Vec::new(),
        };
        let store = host.store.clone();
        submitting.spawn(async move { store.submit(submit, crate::host::at(0)).await });
    }
    let stored: Vec<JobId> =
        submitting.join_all().await.into_iter().flatten().map(|job| job.id).collect();
    assert_eq!((stored.len(), host.claim(1, 100).await.len()), (3, 6));
}
