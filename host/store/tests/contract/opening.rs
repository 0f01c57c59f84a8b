//! Opening a database: what it keeps, and which one is refused.

use std::time::Duration;

use apflow_store::{JobFilter, Store, StoreError};
use serde_json::json;

use crate::host::{Host, at, completed, forest};

#[tokio::test]
async fn reopening_the_database_keeps_everything() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    host.settle(&host.claim_one(1).await, 2, completed()).await;
    let (before, events) = (host.job(job.id).await, host.events(job.id).await);
    let host = host.restart().await;
    assert_eq!(host.job(job.id).await, before);
    assert_eq!(host.events(job.id).await, events);
    let settled = host.settle(&host.claim_one(3).await, 4, completed()).await;
    assert!(settled.job_ended.is_some());
}

#[tokio::test]
async fn a_host_is_the_same_after_a_restart_and_no_other() {
    let host = Host::start().await;
    let id = host.store.host().clone();
    let host = host.restart().await;
    assert_eq!(*host.store.host(), id);
    assert_ne!(*Host::start().await.store.host(), id);
}

#[tokio::test]
async fn ids_grow_over_a_restart_even_when_the_clock_goes_back() {
    let host = Host::start().await;
    let first = host.submit_at(json!({"executor": "x"}), 60_000).await;
    let host = host.restart().await;
    let second = host.submit_at(json!({"executor": "x"}), 0).await;
    assert!(second.id > first.id && second.id.0 > first.tasks[0].id.0);
}

#[tokio::test]
async fn a_database_of_a_newer_schema_is_refused() {
    let host = Host::start().await;
    host.store.close().await;
    host.spoil(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', TRUE, '', 0)",
    )
    .await;
    let refused = Store::open(&host.database.address()).await.unwrap_err();
    assert!(matches!(refused, StoreError::SchemaTooNew { found: 99, .. }), "{refused}");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let host = Host::start().await;
    let other = host.store.clone();
    host.store.close().await;
    host.store.close().await;
    let opened = other.open_session("test".to_owned(), at(0), Duration::from_secs(15)).await;
    assert!(matches!(opened, Err(StoreError::Closed)));
    let listed = other.list_jobs(&JobFilter::default(), None, 1).await;
    assert!(matches!(listed, Err(StoreError::Closed)));
}
