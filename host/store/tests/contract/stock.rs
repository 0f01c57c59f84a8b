//! What there is in the database, in numbers.

use apflow_model::state::TaskState;
use serde_json::json;

use crate::host::{Host, at, completed, forest};

#[tokio::test]
async fn the_oldest_task_of_a_state_is_found_whatever_its_lane_and_priority() {
    let host = Host::start().await;
    let empty = host.store.stock(10, at(0)).await.unwrap();
    assert!(empty.oldest.iter().all(|(_, since)| since.is_none()), "{empty:?}");
    assert!(empty.bytes > 0);
    host.submit_as("ada", json!({"executor": "x", "run_at": at(500)})).await;
    host.submit_as("bob", json!({"executor": "y", "priority": 3})).await;
    host.submit_as("ada", json!({"executor": "x"})).await;
    host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let running = host.claim(7, 2).await;
    let stock = host.store.stock(10, at(8)).await.unwrap();
    let oldest = |wanted| stock.oldest.iter().find(|(state, _)| *state == wanted).unwrap().1;
    assert_eq!(oldest(TaskState::Running), Some(at(7)));
    assert_eq!(oldest(TaskState::Scheduled), Some(at(500)));
    assert!(oldest(TaskState::Ready).is_some_and(|since| since <= at(7)), "{stock:?}");
    assert_eq!(oldest(TaskState::Parked), None);
    let count = |wanted| stock.tasks.iter().find(|(state, _)| *state == wanted).unwrap().1;
    assert_eq!((count(TaskState::Running), count(TaskState::Ready)), (2, 1));
    assert_eq!((count(TaskState::Blocked), count(TaskState::Scheduled)), (1, 1));
    for claimed in running {
        assert!(claimed.due_at <= at(7), "{claimed:?}");
        host.settle(&claimed, 8, completed()).await;
    }
}

#[tokio::test]
async fn a_task_that_is_skipped_is_told_with_the_end_that_it_depends_on() {
    let host = Host::start().await;
    host.submit(forest(&[("a", &[]), ("b", &["a"]), ("c", &["b"])])).await;
    let claimed = host.claim_one(1).await;
    let settled = host.settle(&claimed, 2, crate::host::failed()).await;
    assert_eq!((settled.state, settled.skipped), (TaskState::Failed, 2));
}
