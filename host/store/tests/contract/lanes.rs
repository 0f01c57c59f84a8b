//! Lanes, and how many of their tasks are in which state.

use std::collections::BTreeMap;

use apflow_model::state::{JobState, TaskState};
use apflow_store::{Depth, JobFilter};
use serde_json::json;

use crate::database::BEFORE_LANES;
use crate::host::{Host, at, completed, failed, forest};

/// Checks the kept counts against the tasks themselves.
pub(crate) async fn check_tallies(host: &Host) {
    let mut states = BTreeMap::<i64, u64>::new();
    let mut lanes = BTreeMap::<_, BTreeMap<i64, u64>>::new();
    for job in host.store.list_jobs(&JobFilter::default(), None, 1_000).await.unwrap().jobs {
        for task in host.job(job.id).await.tasks {
            *states.entry(task.state.code()).or_default() += 1;
            if !task.state.is_end() {
                let lane = lanes.entry((job.principal.clone(), task.executor, task.concurrency));
                *lane.or_default().entry(task.state.code()).or_default() += 1;
            }
        }
    }
    let codes = |counts: Vec<(TaskState, u64)>| {
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(state, count)| (state.code(), count)).collect::<BTreeMap<_, _>>()
    };
    let depth = host.store.depth(1_000).await.unwrap();
    assert_eq!(codes(depth.states), states);
    let kept = depth.lanes.into_iter();
    let kept = kept.map(|lane| ((lane.principal, lane.executor, lane.key), codes(lane.states)));
    assert_eq!(kept.collect::<BTreeMap<_, _>>(), lanes);
}

fn count(depth: &Depth, state: TaskState) -> u64 {
    depth.states.iter().find(|(of, _)| *of == state).unwrap().1
}

#[tokio::test]
async fn the_deepest_lanes_are_listed_first() {
    let host = Host::start().await;
    host.submit_as("ada", json!({"executor": "x"})).await;
    let keyed = json!({"executor": "x", "concurrency": {"key": "crm", "max": 2}});
    host.submit_as("ada", json!({"tasks": [keyed, keyed, keyed]})).await;
    host.submit_as("bob", json!({"tasks": [{"executor": "y"}, {"executor": "y"}]})).await;
    host.settle(&host.claim_one(1).await, 2, failed()).await;
    host.claim(3, 2).await;
    let depth = host.store.depth(2).await.unwrap();
    assert_eq!((depth.lanes.len(), count(&depth, TaskState::Failed)), (2, 1));
    assert_eq!(count(&depth, TaskState::Running), 2);
    assert_eq!(depth.lanes[0].key.as_ref().unwrap().key, "crm");
    check_tallies(&host).await;
}

#[tokio::test]
async fn counts_go_down_with_removed_jobs() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    host.submit(json!({"executor": "x"})).await;
    host.settle(&host.claim_one(1).await, 2, completed()).await;
    host.spoil("DELETE FROM job WHERE id = (SELECT min(id) FROM job)").await;
    assert!(host.store.find_job(job.id).await.unwrap().is_none());
    let depth = host.store.depth(10).await.unwrap();
    assert_eq!(count(&depth, TaskState::Completed), 0);
    check_tallies(&host).await;
}

#[tokio::test]
async fn a_database_made_before_there_were_lanes_goes_on_where_it_stood() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let later = host.submit_as("bob", json!({"executor": "x", "run_at": at(500)})).await;
    host.submit_as("bob", json!({"executor": "y"})).await;
    host.settle(&host.claim_one(1).await, 2, completed()).await;
    let running = host.claim_one(3).await;
    host.spoil(BEFORE_LANES).await;
    let host = host.restart().await;
    check_tallies(&host).await;
    assert_eq!(host.job(later.id).await, later);
    host.settle(&running, 4, completed()).await;
    let left = host.claim(600, 10).await;
    assert_eq!(left.len(), 2);
    for claimed in left {
        host.settle(&claimed, 601, completed()).await;
    }
    assert_eq!(host.job(job.id).await.state, JobState::Completed);
    check_tallies(&host).await;
}
