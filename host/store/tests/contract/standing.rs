//! The claim that stands at the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use apflow_model::clock::Timestamp;
use apflow_model::fair::Limits;
use apflow_model::job::Job;
use apflow_store::{HandedOut, Places, StoreError};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::host::{Host, at, completed, forest};

/// As many places as are said at present, at the fifth millisecond.
#[derive(Default)]
struct Desk(AtomicU32);

impl Desk {
    fn with(places: u32) -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(places)))
    }
}

impl Places for Desk {
    fn now(&self) -> Timestamp {
        at(5)
    }

    fn free(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

type Standing = JoinHandle<Result<HandedOut, StoreError>>;

/// Lets a claim stand, and returns once it does. What was made ready before is no news to it.
async fn stand(host: &Host, desk: &Arc<Desk>, is_eager: bool) -> Standing {
    host.store.claim_now();
    let look = host.store.claim_when_ready(host.session, Desk::with(0), Limits::default(), false);
    look.await.unwrap();
    let (store, session, desk) = (host.store.clone(), host.session, Arc::clone(desk));
    let claim =
        async move { store.claim_when_ready(session, desk, Limits::default(), is_eager).await };
    let standing = tokio::spawn(claim);
    // On one thread, it is with the writer once the test was run again.
    tokio::task::yield_now().await;
    standing
}

fn is_of(handed_out: &HandedOut, job: &Job) -> bool {
    handed_out.tasks.iter().map(|task| task.task).eq(job.tasks.iter().map(|task| task.id))
}

#[tokio::test]
async fn a_task_is_handed_out_when_it_is_submitted() {
    let host = Host::start().await;
    let standing = stand(&host, &Desk::with(4), false).await;
    let job = host.submit(json!({"executor": "x"})).await;
    let handed_out = standing.await.unwrap().unwrap();
    assert!(is_of(&handed_out, &job));
    assert!(!handed_out.has_more);
}

#[tokio::test]
async fn what_waited_for_an_end_is_handed_out_with_it() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let first = host.claim_one(1).await;
    let standing = stand(&host, &Desk::with(4), false).await;
    host.settle(&first, 2, completed()).await;
    let handed_out = standing.await.unwrap().unwrap();
    assert_eq!(handed_out.tasks[0].task, job.tasks[1].id);
}

#[tokio::test]
async fn an_end_that_nothing_waited_for_leaves_the_claim_standing() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let first = host.claim_one(1).await;
    let standing = stand(&host, &Desk::with(4), false).await;
    host.settle(&first, 2, completed()).await;
    let job = host.submit(json!({"executor": "x"})).await;
    assert!(is_of(&standing.await.unwrap().unwrap(), &job));
}

#[tokio::test]
async fn a_claim_without_a_place_waits_until_one_is_free() {
    let host = Host::start().await;
    let desk = Desk::with(0);
    let standing = stand(&host, &desk, false).await;
    let job = host.submit(json!({"executor": "x"})).await;
    host.store.place_is_free();
    host.submit(json!({"executor": "y"})).await;
    assert!(!standing.is_finished());
    desk.0.store(1, Ordering::SeqCst);
    host.store.place_is_free();
    let handed_out = standing.await.unwrap().unwrap();
    assert!(is_of(&handed_out, &job));
    assert!(handed_out.has_more);
}

#[tokio::test]
async fn what_became_ready_before_the_claim_stood_is_handed_out() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let standing = stand(&host, &Desk::with(4), true).await;
    assert!(is_of(&standing.await.unwrap().unwrap(), &job));
}

#[tokio::test]
async fn a_claim_that_is_asked_for_looks_and_says_when_to_look_again() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x", "run_at": at(700)})).await;
    let standing = stand(&host, &Desk::with(4), false).await;
    host.store.claim_now();
    let handed_out = standing.await.unwrap().unwrap();
    assert!(handed_out.tasks.is_empty());
    assert_eq!(handed_out.next_run_at, Some(at(700)));
}

#[tokio::test]
async fn a_second_claim_takes_the_place_of_the_first() {
    let host = Host::start().await;
    let first = stand(&host, &Desk::with(4), false).await;
    let second = stand(&host, &Desk::with(4), false).await;
    let job = host.submit(json!({"executor": "x"})).await;
    assert!(matches!(first.await.unwrap(), Err(StoreError::Closed)));
    assert!(is_of(&second.await.unwrap().unwrap(), &job));
}

#[tokio::test]
async fn a_claim_ends_with_its_store() {
    let host = Host::start().await;
    let standing = stand(&host, &Desk::with(4), false).await;
    host.store.close().await;
    assert!(matches!(standing.await.unwrap(), Err(StoreError::Closed)));
}
