//! Components that take hosts down are not run any more.

use std::time::Duration;

use apflow_model::plugin::Digest;
use apflow_model::quarantine::QuarantineRule;
use apflow_store::Recovered;
use serde_json::json;

use crate::host::{Host, at, claim, completed, open_session};
use crate::plugins::plugin;

const LEASE: Duration = Duration::from_secs(1);

/// A host that has the plugin `a`.
async fn start() -> Host {
    let host = Host::start().await;
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    host
}

/// Runs a task of `a` in a session that is lost then, `ms` into the test, beside `healthy` others
/// that end well.
async fn lose(host: &Host, ms: u64, healthy: u32) -> Recovered {
    let session = open_session(&host.store, ms, LEASE).await;
    for _ in 0..=healthy {
        host.submit_at(json!({"executor": "a"}), ms).await;
    }
    let mut claimed = claim(&host.store, session, ms, healthy + 1).await.unwrap();
    claimed.pop().expect("a task is ready");
    for claimed in claimed {
        host.settle(&claimed, ms, completed()).await;
    }
    let rescued = host.store.rescue(host.session, at(ms + 1_001), QuarantineRule::default()).await;
    let rescued = rescued.unwrap();
    assert_eq!(rescued.retried.len() + rescued.failed.len(), 1);
    // What is tried again is not to be lost once more.
    for claimed in host.claim(ms + 1_002, 10).await {
        host.settle(&claimed, ms + 1_003, completed()).await;
    }
    rescued
}

async fn is_quarantined(host: &Host) -> bool {
    let found = host.store.find_plugin("a").await.unwrap().unwrap();
    let listed = host.store.list_plugins().await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&found));
    found.quarantined_at.is_some()
}

#[tokio::test]
async fn a_component_that_ran_in_five_lost_sessions_is_quarantined_until_it_is_released() {
    let host = start().await;
    for n in 1..=4 {
        assert_eq!(lose(&host, n * 10_000, 0).await.quarantined, []);
    }
    assert!(!is_quarantined(&host).await);
    assert_eq!(lose(&host, 50_000, 0).await.quarantined, [Digest([7; 32])]);
    assert!(is_quarantined(&host).await);
    assert_eq!(lose(&host, 60_000, 0).await.quarantined, [], "it is told once");

    assert!(host.store.release_plugin("a").await.unwrap());
    assert!(!is_quarantined(&host).await);
    assert!(!host.store.release_plugin("a").await.unwrap());
    assert!(!host.store.release_plugin("nobody").await.unwrap());
    assert_eq!(lose(&host, 70_000, 0).await.quarantined, [], "it is counted from the start");
}

#[tokio::test]
async fn a_component_that_mostly_ends_well_is_not_quarantined() {
    let host = start().await;
    for n in 1..=6 {
        assert_eq!(lose(&host, n * 10_000, 9).await.quarantined, []);
    }
    assert!(!is_quarantined(&host).await);
}

#[tokio::test]
async fn losses_of_long_ago_are_forgotten() {
    let host = start().await;
    for n in 1..=6 {
        assert_eq!(lose(&host, n * 900_000, 0).await.quarantined, [], "four in an hour");
    }
}

#[tokio::test]
async fn another_version_is_not_quarantined() {
    let host = start().await;
    for n in 1..=5 {
        lose(&host, n * 10_000, 0).await;
    }
    assert!(is_quarantined(&host).await);
    let other = plugin("a", "1.0.1");
    host.store
        .put_plugin(apflow_model::plugin::Plugin { digest: Digest([8; 32]), ..other })
        .await
        .unwrap();
    assert!(!is_quarantined(&host).await);
    let removed = host.store.remove_plugin("a").await.unwrap().unwrap();
    assert_eq!(removed.quarantined_at, None);
}
