//! A host keeps its tasks as long as it is heard of, and no longer.

use std::time::Duration;

use apflow_model::quarantine::QuarantineRule;
use apflow_model::state::TaskState;
use apflow_store::{Hold, NewJob, Recovered, SessionId, Store, StoreError};
use serde_json::json;

use crate::host::{Host, at, claim, completed, forest, open_session, spec};

const SECOND: Duration = Duration::from_secs(1);

/// Another host of the same database, with a session of one second.
async fn other(host: &Host) -> (Store, SessionId) {
    let store = Store::open(&host.database.address()).await.unwrap();
    let session = open_session(&store, 0, SECOND).await;
    (store, session)
}

async fn rescue(store: &Store, session: SessionId, ms: u64) -> Recovered {
    store.rescue(session, at(ms), QuarantineRule::default()).await.unwrap()
}

#[track_caller]
fn is_lost<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::SessionLost)), "{answer:?}");
}

#[tokio::test]
async fn a_session_claims_until_its_lease_ends() {
    let host = Host::start().await;
    assert!(!host.store.has_ready().await.unwrap());
    host.submit(forest(&[("a", &[]), ("b", &[])])).await;
    let session = open_session(&host.store, 0, SECOND).await;
    assert_eq!(claim(&host.store, session, 1_000, 1).await.unwrap().len(), 1);
    assert!(host.store.has_ready().await.unwrap());
    is_lost(&claim(&host.store, session, 1_001, 1).await);
    assert_eq!(host.claim(1_001, 10).await.len(), 1, "what was refused is there for others");
}

#[tokio::test]
async fn a_heartbeat_renews_a_lease_but_never_brings_one_back() {
    let host = Host::start().await;
    let session = open_session(&host.store, 0, SECOND).await;
    host.store.heartbeat(session, at(900), SECOND).await.unwrap();
    host.store.heartbeat(session, at(1_900), SECOND).await.unwrap();
    is_lost(&host.store.heartbeat(session, at(2_901), SECOND).await);
    rescue(&host.store, host.session, 2_901).await;
    // Said late, by a host that stood still: it is over all the same.
    is_lost(&host.store.heartbeat(session, at(2_900), SECOND).await);
    is_lost(&claim(&host.store, session, 2_900, 1).await);
}

#[tokio::test]
async fn a_closed_session_claims_nothing() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    assert_eq!(host.store.close_session(host.session, at(1)).await.unwrap(), []);
    is_lost(&claim(&host.store, host.session, 2, 1).await);
    is_lost(&host.store.heartbeat(host.session, at(2), SECOND).await);
}

#[tokio::test]
async fn a_live_lease_is_never_rescued() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let (store, session) = other(&host).await;
    let claimed = claim(&store, session, 0, 1).await.unwrap().pop().unwrap();
    let next = host.store.next_lease_end(host.session).await.unwrap();
    assert_eq!(next, Some(at(1_000)));
    assert_eq!(rescue(&host.store, host.session, 1_000).await, Recovered::default());
    assert_eq!(rescue(&host.store, host.session, 1_001).await.retried, [claimed.task]);
    let late = host.try_settle(&claimed, 1_002, completed()).await;
    assert!(matches!(late, Err(StoreError::AttemptLost)), "{late:?}");
    assert_eq!(host.store.next_lease_end(host.session).await.unwrap(), None);
    assert_eq!(host.claim_one(1_003).await.attempt, 2);
}

#[tokio::test]
async fn a_rescue_leaves_its_own_session_alone() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let session = open_session(&host.store, 0, SECOND).await;
    let claimed = claim(&host.store, session, 0, 1).await.unwrap().pop().unwrap();
    assert_eq!(rescue(&host.store, session, 5_000).await, Recovered::default());
    host.settle(&claimed, 5_000, completed()).await;
}

#[tokio::test]
async fn two_rescuers_take_a_task_up_once() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "max_attempts": 10})).await;
    let lost = open_session(&host.store, 0, SECOND).await;
    claim(&host.store, lost, 0, 1).await.unwrap();
    let second = Store::open(&host.database.address()).await.unwrap();
    let session = open_session(&second, 2_000, SECOND).await;
    let (one, other) =
        tokio::join!(rescue(&host.store, host.session, 2_000), rescue(&second, session, 2_000));
    assert_eq!(one.retried.len() + other.retried.len(), 1);
    let task = host.task(job.id, "task-1").await;
    let (running, ready) = (TaskState::Running, TaskState::Ready);
    assert_eq!(host.history(&task).await, [ready, running, ready]);
    assert_eq!(task.attempts.len(), 1);
}

#[tokio::test]
async fn what_a_claim_took_without_an_answer_is_given_back() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[])])).await;
    let claimed = host.claim(0, 2).await;
    let kept = vec![claimed[0].task];
    let given = host.store.give_back_all_but(host.session, kept, at(1)).await.unwrap();
    assert_eq!(given, [claimed[1].task]);
    let held = host.store.held(host.session).await.unwrap();
    assert_eq!(held, [((claimed[0].task, 1), Hold::Held)].into());
    let again = host.claim_one(2).await;
    assert_eq!((again.task, again.attempt, again.attempts_max), (claimed[1].task, 2, 4));
    host.settle(&claimed[0], 3, completed()).await;
    assert_eq!(host.store.running_tasks().await.unwrap(), [again.task].into());
    assert!(host.job(job.id).await.ended_at.is_none());
}

#[tokio::test]
async fn two_hosts_of_a_server_make_no_id_twice() {
    let host = Host::start().await;
    let (second, _) = other(&host).await;
    let submit = |store: &Store| {
        let spec = spec(json!({"executor": "x"}));
        let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
        let store = store.clone();
        async move { store.submit(job, at(7)).await.map(|job| job.id) }
    };
    for _ in 0..20 {
        let (one, other) = tokio::join!(submit(&host.store), submit(&second));
        assert_ne!(one.unwrap(), other.unwrap());
    }
}
