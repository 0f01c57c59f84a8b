//! A tool that failed for good, and the one that takes its place.

use apflow_model::fair::Limits;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::state::TaskState;
use apflow_store::{Claimed, End};
use serde_json::json;

use crate::host::{Host, at, completed};

async fn fall_back(host: &Host, claimed: &Claimed, from: &[&str], to: &str, ms: u64) {
    let fault = Fault::new(FaultCode::Permanent, "no");
    let from = from.iter().map(|name| (*name).to_owned()).collect();
    let (to, run_at) = (to.to_owned(), at(ms));
    let end = End::Fallback { fault, from, to, needs_approval: false, run_at };
    let settled = host.settle(claimed, ms, end).await;
    assert_eq!((settled.state, settled.became_ready), (TaskState::Ready, vec![claimed.task]));
}

#[tokio::test]
async fn the_next_tool_takes_the_task_over_in_its_own_lane_with_attempts_of_its_own() {
    let host = Host::start().await;
    let key = json!({"key": "one", "max": 1});
    let task = json!({"tool": "a", "inputs": {"x": 1}, "max_attempts": 2, "concurrency": key});
    let job = host.submit(task).await;
    let first = host.claim(1, 1).await.remove(0);
    let saved = host.store.save_checkpoint(first.task, 1, "step".into(), vec![1], at(1)).await;
    saved.unwrap();
    fall_back(&host, &first, &["a"], "b", 2).await;
    let second = host.claim(3, 1).await.remove(0);
    assert_eq!((second.executor.as_str(), second.attempt), ("b", 2));
    assert_eq!((second.inputs, second.attempts_before, second.attempts_max), (first.inputs, 1, 3));
    assert!(host.store.load_checkpoint(first.task).await.unwrap().is_none(), "it was of `a`");
    let task = host.store.find_job(job.id).await.unwrap().unwrap().tasks.remove(0);
    assert_eq!((task.executor.as_str(), task.fallback_from), ("b", vec!["a".to_owned()]));
    assert_eq!(task.concurrency.unwrap().key, "one");
}

#[tokio::test]
async fn the_limits_of_the_next_tool_hold_for_it() {
    let host = Host::start().await;
    host.submit(json!({"tool": "a"})).await;
    let first = host.claim(1, 1).await.remove(0);
    fall_back(&host, &first, &["a"], "b", 2).await;
    let held = Limits { allowances: [("b".to_owned(), 0)].into(), ..Limits::default() };
    assert!(host.claim_within(3, 1, held).await.tasks.is_empty());
    let held = Limits { allowances: [("a".to_owned(), 0)].into(), ..Limits::default() };
    let second = host.claim_within(3, 1, held).await.tasks.remove(0);
    host.settle(&second, 4, completed()).await;
    let findings = host.store.examine().await.unwrap().findings;
    assert!(findings.is_empty(), "every count is right: {findings:?}");
}

#[tokio::test]
async fn a_cancelled_task_gets_no_other_tool() {
    let host = Host::start().await;
    let job = host.submit(json!({"tool": "a"})).await;
    let first = host.claim(1, 1).await.remove(0);
    host.store.cancel_job(job.id, at(2)).await.unwrap();
    let fault = Fault::new(FaultCode::Permanent, "no");
    let (from, to) = (vec!["a".to_owned()], "b".to_owned());
    let end = End::Fallback { fault, from, to, needs_approval: false, run_at: at(3) };
    let settled = host.settle(&first, 3, end).await;
    assert_eq!(settled.state, TaskState::Cancelled);
    let task = host.store.find_job(job.id).await.unwrap().unwrap().tasks.remove(0);
    assert_eq!((task.executor.as_str(), task.fallback_from.len()), ("a", 0));
}
