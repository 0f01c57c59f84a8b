//! Results of tools are kept with the end that they come from, and no longer or more than may be.

use std::time::Duration;

use apflow_model::cache::{CacheLimits, RESULT_BYTES_MAX};
use apflow_model::plugin::Digest;
use apflow_model::usage::Usage;
use apflow_store::{Claimed, End, NewResult, NewTaskFile, RunSource, Settlement, Store, ToolRun};
use serde_json::{Value, json};

use crate::host::{Host, at, completed, failed, retryable};
use crate::plugins::plugin;

fn key(n: u8) -> Digest {
    Digest([n; 32])
}

pub(crate) fn run(tool: &str, us: u64, keep: Option<(u8, u64)>) -> ToolRun {
    let keep = keep.map(|(n, ms)| NewResult { key: key(n), expires_at: at(ms) });
    let source = RunSource::Run { took: Duration::from_micros(us), keep };
    ToolRun { tool: tool.to_owned(), source }
}

pub(crate) async fn settle(store: &Store, claimed: &Claimed, ms: u64, end: End, run: ToolRun) {
    let settlement = Settlement {
        task: claimed.task,
        attempt: claimed.attempt,
        now: at(ms),
        end,
        usage: Usage::default(),
        events: Vec::new(),
    };
    store.settle_tool(settlement, run).await.unwrap();
}

/// Runs a task of `jq` to this end, `ms` into the test; its result would expire after a second.
async fn end(host: &Host, n: u8, ms: u64, end: End) {
    host.submit(json!({"executor": "jq"})).await;
    let claimed = host.claim_one(ms).await;
    settle(&host.store, &claimed, ms, end, run("jq", 1, Some((n, ms + 1_000)))).await;
}

fn returned(output: Value) -> End {
    End::Completed { output, files: Vec::new() }
}

async fn found(host: &Host, n: u8, ms: u64) -> Option<Value> {
    host.store.find_result(&key(n), at(ms)).await.unwrap().map(|found| found.output)
}

/// How many results there are, and their bytes, by the total and by the list.
async fn total(host: &Host) -> (u64, u64) {
    let kept = host.store.list_results(None, None, 1_000).await.unwrap();
    let bytes = kept.results.iter().map(|result| result.bytes).sum();
    assert_eq!((kept.total, kept.bytes), (kept.results.len() as u64, bytes));
    (kept.total, kept.bytes)
}

#[tokio::test]
async fn a_good_end_is_kept_until_it_expires() {
    let host = Host::start().await;
    end(&host, 1, 10, returned(json!({"rows": [1]}))).await;
    assert_eq!(found(&host, 1, 1_009).await, Some(json!({"rows": [1]})));
    assert_eq!(found(&host, 1, 1_010).await, None);
    assert_eq!(found(&host, 2, 11).await, None);
    assert_eq!(host.store.forget_results(at(1_009)).await.unwrap(), 0);
    assert_eq!(host.store.forget_results(at(1_010)).await.unwrap(), 1);
    assert_eq!(total(&host).await, (0, 0));
}

#[tokio::test]
async fn a_newer_result_takes_the_place_of_an_older() {
    let host = Host::start().await;
    end(&host, 1, 10, returned(json!("older"))).await;
    end(&host, 1, 20, returned(json!("new"))).await;
    assert_eq!(found(&host, 1, 1_015).await, Some(json!("new")));
    assert_eq!(total(&host).await, (1, 5));
}

#[tokio::test]
async fn results_of_one_commit_with_one_key_are_one() {
    let host = Host::start().await;
    for _ in 0..3 {
        host.submit(json!({"executor": "jq"})).await;
    }
    let claimed = host.claim(1, 3).await;
    let ends = claimed.iter().map(|claimed| {
        settle(&host.store, claimed, 2, completed(), run("jq", 1, Some((1, 1_000))))
    });
    futures_of(ends).await;
    assert_eq!(total(&host).await.0, 1);
}

/// Waits for all of them at once.
async fn futures_of(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn neither_faults_nor_ends_with_files_nor_large_ones_are_kept() {
    let host = Host::start().await;
    end(&host, 1, 10, failed()).await;
    let file = NewTaskFile { name: "a".into(), size: 1 };
    end(&host, 2, 20, End::Completed { output: json!(1), files: vec![file] }).await;
    end(&host, 3, 30, returned(json!("a".repeat(RESULT_BYTES_MAX)))).await;
    end(&host, 4, 40, End::Retry { fault: retryable("no"), run_at: at(1_000_000) }).await;
    assert_eq!(total(&host).await, (0, 0));
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many() {
    let mut host = Host::start().await;
    host.store = host.store.caching(CacheLimits { results_max: 3, bytes_max: 1 << 20 });
    for n in 1..=5 {
        end(&host, n, n.into(), returned(json!(n))).await;
    }
    assert_eq!(total(&host).await, (3, 3));
    assert_eq!((found(&host, 2, 10).await, found(&host, 3, 10).await), (None, Some(json!(3))));
    host.store = host.store.caching(CacheLimits { results_max: 100, bytes_max: 1_000 });
    for n in 6..=8 {
        end(&host, n, n.into(), returned(json!("a".repeat(398)))).await;
    }
    assert_eq!(total(&host).await, (2, 800));
    host.store = host.store.caching(CacheLimits { results_max: 0, bytes_max: 1_000 });
    end(&host, 9, 9, returned(json!(1))).await;
    assert_eq!(total(&host).await, (0, 0));
}

#[tokio::test]
async fn pages_of_results_hold_each_once_and_the_newest_first() {
    let host = Host::start().await;
    // Two of them were kept at the same moment.
    for (n, ms) in [(1, 10), (2, 20), (3, 20), (4, 30)] {
        end(&host, n, ms, returned(json!(n))).await;
    }
    for tool in [None, Some("jq")] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = host.store.list_results(tool, after.as_ref(), 2).await.unwrap();
            seen.extend(page.results.iter().map(|result| result.key));
            let Some(cursor) = page.cursor else { break };
            assert_eq!(page.results.len(), 2);
            after = Some(cursor);
        }
        assert_eq!(seen, [4, 3, 2, 1].map(key), "{tool:?}");
    }
    assert!(host.store.list_results(Some("wc"), None, 2).await.unwrap().cursor.is_none());
}

#[tokio::test]
async fn results_are_forgotten_by_tool_or_all_together() {
    let host = Host::start().await;
    end(&host, 1, 10, returned(json!(1))).await;
    host.submit(json!({"executor": "wc"})).await;
    let claimed = host.claim_one(20).await;
    settle(&host.store, &claimed, 20, completed(), run("wc", 1, Some((2, 9_000)))).await;
    let listed = host.store.list_results(Some("jq"), None, 10).await.unwrap();
    assert_eq!((listed.total, listed.results.len(), listed.results[0].key), (2, 1, key(1)));
    assert_eq!(host.store.clear_results(Some("jq".into())).await.unwrap(), 1);
    assert_eq!(found(&host, 2, 30).await, Some(json!({"ok": true})));
    assert_eq!(host.store.clear_results(None).await.unwrap(), 1);
    assert_eq!(total(&host).await, (0, 0));
}

#[tokio::test]
async fn results_go_when_their_tool_is_replaced_or_removed() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("jq", "1.0.0")).await.unwrap();
    end(&host, 1, 10, returned(json!(1))).await;
    host.store.put_plugin(plugin("jq", "1.0.1")).await.unwrap();
    assert_eq!(total(&host).await, (0, 0));
    end(&host, 1, 20, returned(json!(1))).await;
    host.store.remove_plugin("jq").await.unwrap();
    assert_eq!(total(&host).await, (0, 0));
}
