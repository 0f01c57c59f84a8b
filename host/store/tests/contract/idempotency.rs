//! A key stands for one job, whoever asks how often, and until it expires.

use std::time::Duration;

use apflow_model::id::JobId;
use apflow_model::plugin::Digest;
use apflow_store::{JobFilter, NewJob, Once, StoreError, Submitted};
use serde_json::json;
use tokio::task::JoinSet;

use crate::host::{Host, at, forest, spec};

/// How long keys are kept here, in milliseconds.
const KEPT: u64 = 1_000;

fn once(key: &str, hash: u8, ms: u64) -> Once {
    let expires_at = at(ms).after(Duration::from_millis(KEPT));
    Once { key: key.parse().unwrap(), hash: Digest([hash; 32]), expires_at }
}

fn job(principal: &str) -> NewJob {
    let spec = spec(forest(&[("a", &[]), ("b", &["a"])]));
    NewJob { spec, principal: principal.into(), grants: Vec::new() }
}

async fn submit(host: &Host, once: Once, ms: u64) -> Result<Submitted, StoreError> {
    host.store.submit_once(job("ada"), once, at(ms)).await
}

async fn new(host: &Host, once: Once, ms: u64) -> JobId {
    match submit(host, once, ms).await.unwrap() {
        Submitted::New(job) => job.id,
        Submitted::Replayed(id) => panic!("{id} was stored before"),
    }
}

async fn count(host: &Host) -> usize {
    host.store.list_jobs(&JobFilter::default(), None, 1_000).await.unwrap().jobs.len()
}

#[tokio::test]
async fn the_same_submission_is_the_same_job() {
    let host = Host::start().await;
    let id = new(&host, once("k", 1, 0), 0).await;
    let again = submit(&host, once("k", 1, 5), 5).await.unwrap();
    assert_eq!(again, Submitted::Replayed(id));
    let found = host.store.find_by_key("ada", &once("k", 1, 5), at(5)).await.unwrap();
    assert_eq!((found, count(&host).await), (Some(id), 1));
    assert_eq!(host.claim(6, 10).await.len(), 1, "only the first was stored");
}

#[tokio::test]
async fn another_submission_with_the_key_is_refused() {
    let host = Host::start().await;
    new(&host, once("k", 1, 0), 0).await;
    let refused = submit(&host, once("k", 2, 5), 5).await;
    assert!(matches!(refused, Err(StoreError::IdempotencyConflict)), "{refused:?}");
    let refused = host.store.find_by_key("ada", &once("k", 2, 5), at(5)).await;
    assert!(matches!(refused, Err(StoreError::IdempotencyConflict)), "{refused:?}");
    assert_eq!(count(&host).await, 1);
}

#[tokio::test]
async fn every_principal_has_keys_of_its_own() {
    let host = Host::start().await;
    new(&host, once("k", 1, 0), 0).await;
    let other = host.store.submit_once(job("bob"), once("k", 2, 0), at(0)).await.unwrap();
    assert!(matches!(other, Submitted::New(_)));
    assert_eq!(host.store.find_by_key("eve", &once("k", 1, 0), at(0)).await.unwrap(), None);
}

/// On one thread, all of these are queued before the writer takes the first: one group of one
/// commit.
#[tokio::test(flavor = "current_thread")]
async fn one_of_many_at_once_is_stored() {
    let host = Host::start().await;
    let mut submits = JoinSet::new();
    for n in 0..64 {
        let store = host.store.clone();
        // Every fourth says something else.
        let hash = u8::from(n % 4 == 3);
        submits.spawn(async move {
            (hash, store.submit_once(job("ada"), once("k", hash, n), at(n)).await)
        });
    }
    let (mut stored, mut replayed) = (Vec::new(), Vec::new());
    for (hash, submitted) in submits.join_all().await {
        match (hash, submitted) {
            (0, Ok(Submitted::New(job))) => stored.push(job.id),
            (0, Ok(Submitted::Replayed(id))) => replayed.push(id),
            (1, Err(StoreError::IdempotencyConflict)) => {}
            (hash, other) => panic!("{hash}: {other:?}"),
        }
    }
    assert_eq!((stored.len(), replayed.len()), (1, 47));
    assert!(replayed.iter().all(|id| *id == stored[0]));
    assert_eq!(count(&host).await, 1);
}

/// From many threads and over many commits.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_one_after_the_other_is_stored() {
    let host = Host::start().await;
    let mut submits = JoinSet::new();
    for n in 0..8 {
        let store = host.store.clone();
        submits.spawn(async move {
            let mut new = 0;
            for round in 0..8 {
                let key = once(&format!("k{round}"), 1, n);
                let submitted = store.submit_once(job("ada"), key, at(n)).await.unwrap();
                new += usize::from(matches!(submitted, Submitted::New(_)));
            }
            new
        });
    }
    assert_eq!(submits.join_all().await.into_iter().sum::<usize>(), 8);
    assert_eq!(count(&host).await, 8);
}

#[tokio::test]
async fn a_key_that_has_expired_is_free() {
    let host = Host::start().await;
    let first = new(&host, once("k", 1, 0), 0).await;
    let last = submit(&host, once("k", 1, KEPT - 1), KEPT - 1).await.unwrap();
    assert_eq!(last, Submitted::Replayed(first), "asking again does not keep it for longer");
    assert_eq!(host.store.find_by_key("ada", &once("k", 2, KEPT), at(KEPT)).await.unwrap(), None);
    let second = new(&host, once("k", 2, KEPT), KEPT).await;
    let again = submit(&host, once("k", 2, KEPT + 1), KEPT + 1).await.unwrap();
    assert_eq!(again, Submitted::Replayed(second));
}

#[tokio::test]
async fn expired_keys_are_forgotten_in_slices() {
    let host = Host::start().await;
    for n in 0..5 {
        new(&host, once(&format!("k{n}"), 1, n), n).await;
    }
    assert_eq!(host.store.forget_keys(at(KEPT - 1), 10).await.unwrap(), 0);
    assert_eq!(host.store.forget_keys(at(KEPT + 3), 3).await.unwrap(), 3, "the oldest");
    assert_eq!(host.store.forget_keys(at(KEPT + 3), 3).await.unwrap(), 1);
    let kept = submit(&host, once("k4", 1, 5), 5).await.unwrap();
    assert!(matches!(kept, Submitted::Replayed(_)));
}

#[tokio::test]
async fn a_key_outlives_a_restart_and_its_job() {
    let host = Host::start().await;
    let id = new(&host, once("k", 1, 0), 0).await;
    let host = host.restart().await;
    assert_eq!(submit(&host, once("k", 1, 1), 1).await.unwrap(), Submitted::Replayed(id));
    host.spoil("DELETE FROM job").await;
    assert_eq!(submit(&host, once("k", 1, 2), 2).await.unwrap(), Submitted::Replayed(id));
}

#[tokio::test]
async fn a_job_that_is_refused_leaves_its_key_free() {
    let host = Host::start().await;
    let mut wrong = job("ada");
    // A fault that the model would refuse, and that the database meets last.
    wrong.spec.tasks[1]
        .dependencies
        .push(apflow_model::job::Dependency { task: 0, required: false });
    let refused = host.store.submit_once(wrong, once("k", 1, 0), at(0)).await;
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    new(&host, once("k", 2, 0), 0).await;
}

/// On one thread, none is written before all have asked.
#[tokio::test(flavor = "current_thread")]
async fn a_full_lane_refuses_submissions_and_no_completion() {
    let host = Host::start().await;
    host.submit(json!({"executor": "noop_executor"})).await;
    let claimed = host.claim_one(0).await;
    let mut submits = JoinSet::new();
    for n in 0..3_000 {
        let store = host.store.clone();
        submits.spawn(async move { store.submit(job("ada"), at(n)).await });
    }
    let (settled, submits) =
        tokio::join!(host.try_settle(&claimed, 1, crate::host::completed()), submits.join_all());
    settled.unwrap();
    let stored = submits.iter().filter(|submitted| submitted.is_ok()).count();
    let refused = submits.iter().filter(|answer| matches!(answer, Err(StoreError::Busy))).count();
    assert_eq!(stored + refused, 3_000);
    assert!(stored >= 2_048 && refused > 0, "{stored} were stored, {refused} refused");
    let states = host.job(claimed.job).await.state;
    assert_eq!(states, apflow_model::state::JobState::Completed);
}
