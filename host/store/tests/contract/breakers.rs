//! Circuit breakers, and what they hold back.

use apflow_model::breaker::{
    Admission, Breaker, BreakerKey, BreakerRule, BreakerState, Outcome, Passage,
};
use apflow_model::state::TaskState;
use apflow_store::{BREAKERS_MAX, BreakerMove, KeptBreaker, Moved, Store};
use serde_json::json;

use crate::host::{Host, at, completed};

const RULE: BreakerRule =
    BreakerRule { failures: 3, open_seconds: 10, open_seconds_max: 15, probes: 1 };

fn executor() -> BreakerKey {
    BreakerKey::Executor("noop_executor".to_owned())
}

fn destination() -> BreakerKey {
    BreakerKey::Destination("http://a.example:80".to_owned())
}

fn ended(key: BreakerKey, ms: u64, outcome: Outcome) -> BreakerMove {
    let passage = Passage { began: at(ms), ended: at(ms), probe: None, outcome };
    let fault = (outcome == Outcome::Failure).then(|| format!("at {ms} \0"));
    BreakerMove { key, rule: RULE, passage, fault }
}

async fn fail(store: &Store, key: &BreakerKey, moments: &[u64]) -> Vec<Moved> {
    let failures = moments.iter().map(|ms| ended(key.clone(), *ms, Outcome::Failure));
    store.move_breakers(failures.collect()).await.unwrap()
}

async fn kept(store: &Store, key: &BreakerKey) -> Option<KeptBreaker> {
    store.list_breakers().await.unwrap().remove(key)
}

#[tokio::test]
async fn an_open_breaker_survives_a_restart() {
    let host = Host::start().await;
    let moved = fail(&host.store, &executor(), &[1, 2, 3, 4]).await;
    let states = moved.iter().map(|moved| moved.after.state(at(4)));
    assert!(states.eq([
        BreakerState::Closed,
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::Open
    ]));
    let before = host.store.list_breakers().await.unwrap();
    let open = &before[&executor()];
    assert_eq!((open.breaker.failures(), open.breaker.until()), (3, Some(at(10_003))));
    assert_eq!(open.fault.as_deref(), Some("at 3 \0"));
    assert_eq!((open.probes_max, open.changed_at), (1, at(3)));
    let host = host.restart().await;
    assert_eq!(host.store.list_breakers().await.unwrap(), before);
}

#[tokio::test]
async fn two_hosts_count_the_failures_of_both() {
    let host = Host::start().await;
    let other = Store::open(&host.database.address()).await.unwrap();
    fail(&host.store, &destination(), &[1]).await;
    fail(&other, &destination(), &[2]).await;
    let moved = fail(&host.store, &destination(), &[3]).await;
    assert_eq!(moved[0].after.state(at(3)), BreakerState::Open);
    let success = ended(destination(), 10_003, Outcome::Success);
    let moved = other.move_breakers(vec![success]).await.unwrap();
    assert!(moved[0].after.is_well());
    assert_eq!(kept(&host.store, &destination()).await, None);
    other.close().await;
}

#[tokio::test]
async fn failures_that_come_together_are_all_counted() {
    let host = Host::start().await;
    let key = destination();
    let all = (0..3).map(|ms| {
        let (store, key) = (host.store.clone(), key.clone());
        tokio::spawn(async move { fail(&store, &key, &[ms]).await })
    });
    let mut opened = 0;
    for moved in all.collect::<Vec<_>>() {
        let moved = moved.await.unwrap();
        opened += usize::from(moved[0].after.until().is_some());
    }
    assert_eq!(opened, 1);
    assert_eq!(kept(&host.store, &key).await.unwrap().breaker.failures(), 3);
}

#[tokio::test]
async fn what_is_well_is_not_kept() {
    let host = Host::start().await;
    for outcome in [Outcome::Success, Outcome::Neither] {
        host.store.move_breakers(vec![ended(executor(), 1, outcome)]).await.unwrap();
    }
    assert!(host.store.list_breakers().await.unwrap().is_empty());
    fail(&host.store, &executor(), &[1]).await;
    host.store.move_breakers(vec![ended(executor(), 2, Outcome::Success)]).await.unwrap();
    assert!(host.store.list_breakers().await.unwrap().is_empty());
}

#[tokio::test]
async fn tasks_of_an_executor_that_is_left_alone_wait_without_using_an_attempt() {
    let host = Host::start().await;
    let waits = host.submit(json!({"executor": "noop_executor"})).await;
    let runs = host.submit(json!({"executor": "other"})).await;
    fail(&host.store, &executor(), &[1, 2, 3]).await;
    let claimed = host.claim(4, 10).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.job).collect::<Vec<_>>(), [runs.id]);
    let task = &host.job(waits.id).await.tasks[0];
    assert_eq!((task.state, task.attempts.len()), (TaskState::Ready, 0));
    let held = task.held_by.as_ref().unwrap();
    assert_eq!((&held.breaker, held.until), (&executor(), at(10_003)));
    assert!(host.claim(10_002, 10).await.is_empty());
    assert_eq!(host.claim(10_003, 10).await[0].attempt, 1);
}

#[tokio::test]
async fn as_many_probes_run_as_the_rule_says_beside_what_ran_before() {
    let host = Host::start().await;
    for _ in 0..5 {
        host.submit(json!({"executor": "noop_executor"})).await;
    }
    let before = host.claim(1, 2).await;
    assert_eq!(before.len(), 2);
    fail(&host.store, &executor(), &[1, 2, 3]).await;
    let probe = host.claim(10_003, 10).await;
    assert_eq!(probe.len(), 1);
    assert!(host.claim(10_004, 10).await.is_empty());
    // A probe that says nothing makes room for the next.
    host.settle(&probe[0], 10_005, completed()).await;
    assert_eq!(host.claim(10_006, 10).await.len(), 1);
    let success = ended(executor(), 10_007, Outcome::Success);
    host.store.move_breakers(vec![success]).await.unwrap();
    assert_eq!(host.claim(10_008, 10).await.len(), 1);
}

#[tokio::test]
async fn hosts_share_the_places_of_probes() {
    let host = Host::start().await;
    let other = Store::open(&host.database.address()).await.unwrap();
    let ask = async |store: &Store, ms, lapses| {
        store.admit(destination(), at(ms), at(lapses)).await.unwrap().0
    };
    assert_eq!(ask(&host.store, 1, 2).await, Admission::Free);
    fail(&host.store, &destination(), &[1, 2, 3]).await;
    assert!(matches!(ask(&other, 4, 5).await, Admission::Wait(_)));
    assert_eq!(ask(&other, 10_003, 11_000).await, Admission::Probe(at(11_000)));
    assert_eq!(ask(&host.store, 10_004, 12_000).await, Admission::Full);
    // The host of the probe is gone.
    other.close().await;
    assert_eq!(ask(&host.store, 11_000, 12_000).await, Admission::Probe(at(12_000)));
    let mut failure = ended(destination(), 11_001, Outcome::Failure);
    failure.passage.probe = Some(at(12_000));
    host.store.move_breakers(vec![failure]).await.unwrap();
    let Breaker::Open { until, times, probes, .. } =
        kept(&host.store, &destination()).await.unwrap().breaker
    else {
        panic!("a failed probe opens it again");
    };
    assert_eq!((until, times, probes.len()), (at(26_001), 2, 0));
}

#[tokio::test]
async fn what_is_reset_is_forgotten() {
    let host = Host::start().await;
    let reset = async |key| host.store.reset_breaker(&key).await.unwrap();
    fail(&host.store, &executor(), &[1]).await;
    fail(&host.store, &destination(), &[1, 2, 3]).await;
    assert!(reset(destination()).await);
    assert!(!reset(destination()).await);
    fail(&host.store, &destination(), &[4]).await;
    assert_eq!(host.store.reset_breakers(BreakerKey::EXECUTOR).await.unwrap(), 1);
    assert_eq!(host.store.list_breakers().await.unwrap().len(), 1);
    assert_eq!(host.store.reset_breakers("").await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_long_past_is_forgotten() {
    let host = Host::start().await;
    fail(&host.store, &executor(), &[1, 2, 3]).await;
    fail(&host.store, &destination(), &[5]).await;
    assert_eq!(host.store.forget_breakers(at(4), at(10_003)).await.unwrap(), 0, "it is open");
    assert_eq!(host.store.forget_breakers(at(4), at(10_004)).await.unwrap(), 1);
    assert!(kept(&host.store, &destination()).await.is_some());
}

#[tokio::test]
async fn no_more_breakers_are_kept_than_there_is_room_for() {
    let host = Host::start().await;
    let failure =
        |n: u32| ended(BreakerKey::Destination(format!("tcp://{n}:1")), 1, Outcome::Failure);
    let moved = host.store.move_breakers((0..=BREAKERS_MAX).map(failure).collect()).await.unwrap();
    assert!(moved.last().unwrap().after.is_well());
    let count = async || host.store.list_breakers().await.unwrap().len();
    assert_eq!(count().await, 1_000);
    host.store.move_breakers(vec![failure(BREAKERS_MAX)]).await.unwrap();
    assert_eq!(count().await, 1_000);
}
