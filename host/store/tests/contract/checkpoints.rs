//! Checkpoints outlive attempts, and only the attempt that holds the task saves them.

use apflow_model::event::Happening;
use apflow_store::{CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX, End, StoreError};
use serde_json::json;

use crate::host::{Host, at, completed, retryable};

#[tokio::test]
async fn the_newest_checkpoint_is_loaded() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let task = host.claim_one(0).await.task;
    assert_eq!(host.store.load_checkpoint(task).await.unwrap(), None);
    for (ms, value) in [(1, vec![0, 255]), (2, vec![]), (3, vec![7])] {
        host.store.save_checkpoint(task, 1, "step".into(), value, at(ms)).await.unwrap();
    }
    let saved = host.store.load_checkpoint(task).await.unwrap().unwrap();
    assert_eq!((saved.step.as_str(), saved.attempt), ("step", 1));
    assert_eq!((saved.at, saved.value), (at(3), vec![7]));
}

#[tokio::test]
async fn a_retry_keeps_the_checkpoints_and_a_good_end_drops_them() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let first = host.claim_one(0).await;
    host.store.save_checkpoint(first.task, 1, "s".into(), vec![1], at(1)).await.unwrap();
    host.settle(&first, 2, End::Retry { fault: retryable("busy"), run_at: at(2) }).await;
    let second = host.claim_one(3).await;
    let saved = host.store.load_checkpoint(second.task).await.unwrap().unwrap();
    assert_eq!((saved.attempt, saved.value), (1, vec![1]));
    host.settle(&second, 4, completed()).await;
    assert_eq!(host.store.load_checkpoint(second.task).await.unwrap(), None);
}

#[tokio::test]
async fn a_lost_attempt_cannot_save() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let first = host.claim_one(0).await;
    host.settle(&first, 1, End::Retry { fault: retryable("busy"), run_at: at(1) }).await;
    host.claim_one(2).await;
    let saved = host.store.save_checkpoint(first.task, 1, "s".into(), vec![1], at(3)).await;
    assert!(matches!(saved, Err(StoreError::AttemptLost)));
    assert_eq!(host.store.load_checkpoint(first.task).await.unwrap(), None);
}

#[tokio::test]
async fn a_checkpoint_over_the_limit_is_refused() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let task = host.claim_one(0).await.task;
    let largest = usize::try_from(CHECKPOINT_BYTES_MAX).unwrap();
    let save = |step: &str, bytes| {
        host.store.save_checkpoint(task, 1, step.to_owned(), vec![0; bytes], at(1))
    };
    save("", largest).await.unwrap();
    let refused = save("", largest + 1).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the checkpoint has 1048577 bytes, but may have at most 1048576"
    );
}

#[tokio::test]
async fn the_name_of_a_step_counts_as_part_of_its_checkpoint() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let task = host.claim_one(0).await.task;
    let half = usize::try_from(CHECKPOINT_BYTES_MAX / 2).unwrap();
    let save =
        |step, value| host.store.save_checkpoint(task, 1, "s".repeat(step), vec![0; value], at(1));
    save(half, half).await.unwrap();
    for (step, value) in [(half + 1, half), (2 * half + 1, 0)] {
        let refused = save(step, value).await.unwrap_err();
        assert!(matches!(refused, StoreError::CheckpointTooLarge { bytes: 1_048_577, .. }));
    }
}

#[tokio::test]
async fn a_step_that_not_every_database_can_store_is_refused() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let task = host.claim_one(0).await.task;
    let refused = host.store.save_checkpoint(task, 1, "a\0".into(), Vec::new(), at(1)).await;
    assert!(refused.unwrap_err().to_string().contains("NUL"));
}

#[tokio::test]
async fn one_checkpoint_too_many_is_refused() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let task = host.claim_one(0).await.task;
    let mut saves = tokio::task::JoinSet::new();
    for _ in 0..CHECKPOINTS_MAX {
        let store = host.store.clone();
        saves
            .spawn(async move { store.save_checkpoint(task, 1, "s".into(), vec![1], at(1)).await });
    }
    assert!(saves.join_all().await.iter().all(Result::is_ok));
    let refused = host.store.save_checkpoint(task, 1, "s".into(), vec![1], at(1)).await;
    assert!(matches!(refused, Err(StoreError::TooManyCheckpoints { .. })));
}

#[tokio::test]
async fn a_checkpoint_is_an_event() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    let task = host.claim_one(0).await.task;
    let n = host.store.save_checkpoint(task, 1, "s".into(), vec![1, 2], at(1)).await.unwrap();
    let event = host.events(job.id).await.pop().unwrap();
    assert_eq!((event.n, event.attempt), (n, 1));
    assert_eq!(event.what, Happening::Checkpoint { step: "s".into(), bytes: 2 });
}
