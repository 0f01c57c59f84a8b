//! Cost policies that were put by API.

use apflow_model::cost_policy::CostPolicy;
use apflow_store::KeptPolicy;
use serde_json::json;

use crate::host::{Host, at};

fn kept(name: &str, share: f64, ms: u64) -> KeptPolicy {
    let thresholds = json!([
        { "at": share, "action": "downgrade", "chain": ["a/b", "c/d"] },
        { "at": 1, "action": "block" },
    ]);
    let thresholds = serde_json::from_value(thresholds).unwrap();
    let policy = CostPolicy { name: name.to_owned(), thresholds };
    KeptPolicy { policy, changed_at: at(ms), changed_by: "ada".to_owned() }
}

#[tokio::test]
async fn a_policy_is_read_as_it_was_put_last_after_a_restart_too() {
    let host = Host::start().await;
    let (first, second, other) = (kept("b", 0.5, 1), kept("b", 0.29, 2), kept("a", 0.9, 3));
    for policy in [&first, &second, &other] {
        assert!(host.store.put_cost_policy(policy.clone()).await.unwrap());
    }
    let host = host.restart().await;
    let listed = host.store.list_cost_policies().await.unwrap();
    assert_eq!(listed, [other.clone(), second.clone()], "by name");
    assert_eq!(host.store.remove_cost_policy("b").await.unwrap(), Some(second));
    assert_eq!(host.store.remove_cost_policy("b").await.unwrap(), None);
    assert_eq!(host.store.list_cost_policies().await.unwrap(), [other]);
}
