//! The runs of tools are counted with their ends.

use apflow_model::tool::metrics::{RUNS_KEPT_MAX, ToolMetrics};
use apflow_store::{End, RunSource, ToolRun};
use serde_json::json;

use crate::cache::{run, settle};
use crate::host::{Host, at, completed, failed, retryable};
use crate::plugins::plugin;

async fn end(host: &Host, ms: u64, end: End, run: ToolRun) {
    host.submit(json!({"executor": "jq"})).await;
    let claimed = host.claim_one(ms).await;
    settle(&host.store, &claimed, ms, end, run).await;
}

#[tokio::test]
async fn ends_are_counted_by_what_they_say_of_the_tool() {
    let host = Host::start().await;
    assert_eq!(host.store.tool_metrics("jq").await.unwrap(), ToolMetrics::default());
    end(&host, 1, completed(), run("jq", 10, Some((1, 9_000)))).await;
    let hit = ToolRun { source: RunSource::Cache, tool: "jq".into() };
    end(&host, 2, completed(), hit).await;
    let (fault, run_at) = (retryable("no"), at(3));
    let next = End::Fallback {
        fault,
        from: vec!["jq".into()],
        to: "yq".into(),
        needs_approval: false,
        run_at,
    };
    end(&host, 3, next, run("jq", 30, None)).await;
    host.settle(&host.claim_one(3).await, 3, failed()).await;
    let fault = retryable("again");
    let later = End::Retry { fault: fault.clone(), run_at: at(1_000_000) };
    end(&host, 4, later, run("jq", 20, None)).await;
    end(&host, 5, End::Cancelled { fault }, run("jq", 99, None)).await;
    let metrics = host.store.tool_metrics("jq").await.unwrap();
    let expected = ToolMetrics {
        runs: 3,
        successes: 1,
        failures: 2,
        cache_hits: 1,
        cache_misses: 1,
        fallbacks: 1,
        window: 3,
        median_us: Some(20),
        p95_us: Some(30),
    };
    assert_eq!(metrics, expected);
    assert_eq!(host.store.tool_metrics("wc").await.unwrap(), ToolMetrics::default());
}

#[tokio::test]
async fn only_the_last_runs_are_looked_at() {
    let host = Host::start().await;
    for n in 0..RUNS_KEPT_MAX + 10 {
        end(&host, n, completed(), run("jq", if n < 10 { 1_000_000 } else { n }, None)).await;
    }
    let metrics = host.store.tool_metrics("jq").await.unwrap();
    assert_eq!((metrics.runs, metrics.window), (RUNS_KEPT_MAX + 10, RUNS_KEPT_MAX));
    assert!(metrics.p95_us.unwrap() < 1_000, "the first ten are forgotten: {metrics:?}");
}

#[tokio::test]
async fn a_removed_tool_leaves_no_counts() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("jq", "1.0.0")).await.unwrap();
    end(&host, 1, completed(), run("jq", 10, None)).await;
    host.store.remove_plugin("jq").await.unwrap();
    assert_eq!(host.store.tool_metrics("jq").await.unwrap(), ToolMetrics::default());
}
