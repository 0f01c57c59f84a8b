//! Which tasks are listed, and in what order.

use apflow_model::id::TaskId;
use apflow_model::state::TaskState;
use apflow_store::{NewJob, TaskFilter};
use serde_json::{Value, json};

use crate::host::{Host, at, completed, failed, forest, spec};

async fn listed(host: &Host, filter: &TaskFilter) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = host.store.list_tasks(filter, before, 2).await.unwrap();
        assert!(page.tasks.len() <= 2);
        found.extend(page.tasks.into_iter().map(|task| task.reference));
        if page.next.is_none() {
            return found;
        }
        before = page.next;
    }
}

async fn submit_by(host: &Host, principal: &str, job: Value, ms: u64) {
    let job = NewJob { spec: spec(job), principal: principal.into(), grants: Vec::new() };
    host.store.submit(job, at(ms)).await.unwrap();
}

#[tokio::test]
async fn tasks_are_listed_newest_first_by_every_filter() {
    let host = Host::start().await;
    let first = host.submit(forest(&[("a", &[]), ("b", &["a"]), ("c", &[])])).await;
    let claimed = host.claim(1, 2).await;
    host.settle(&claimed[0], 1, failed()).await;
    host.settle(&claimed[1], 1, completed()).await;
    let other = |id: &str| json!({"id": id, "executor": "other"});
    submit_by(&host, "bob", json!({"tasks": [other("d"), other("e"), other("f")]}), 50).await;
    let last = json!({"id": "g", "executor": "noop_executor", "run_at": at(90_000)});
    submit_by(&host, "ada", json!({"tasks": [last]}), 100).await;

    let all = TaskFilter::default();
    assert_eq!(listed(&host, &all).await, ["g", "f", "e", "d", "c", "b", "a"]);
    let with = |change: fn(&mut TaskFilter)| {
        let mut filter = TaskFilter::default();
        change(&mut filter);
        filter
    };
    let pending = with(|filter| {
        filter.states = vec![TaskState::Blocked, TaskState::Scheduled, TaskState::Ready];
    });
    assert_eq!(listed(&host, &pending).await, ["g", "f", "e", "d"]);
    let dead = with(|filter| filter.states = vec![TaskState::Failed]);
    assert_eq!(listed(&host, &dead).await, ["a"]);
    let ended = with(|filter| filter.states = vec![TaskState::Skipped, TaskState::Completed]);
    assert_eq!(listed(&host, &ended).await, ["c", "b"]);
    let executor = with(|filter| filter.executor = Some("other".into()));
    assert_eq!(listed(&host, &executor).await, ["f", "e", "d"]);
    let ada = with(|filter| filter.principal = Some("ada".into()));
    assert_eq!(listed(&host, &ada).await, ["g", "c", "b", "a"]);
    let mut both = ada.clone();
    both.states = pending.states.clone();
    assert_eq!(listed(&host, &both).await, ["g"]);
    let of_job = TaskFilter { job: Some(first.id), ..TaskFilter::default() };
    assert_eq!(listed(&host, &of_job).await, ["c", "b", "a"]);
    let between = with(|filter| (filter.since, filter.until) = (Some(at(50)), Some(at(100))));
    assert_eq!(listed(&host, &between).await, ["f", "e", "d"]);
    let later = with(|filter| filter.since = Some(at(101)));
    assert_eq!(listed(&host, &later).await, [""; 0]);
}

#[tokio::test]
async fn a_task_is_found_as_its_job_shows_it() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let claimed = host.claim_one(1).await;
    host.settle(&claimed, 2, completed()).await;
    for task in host.job(job.id).await.tasks {
        assert_eq!(host.store.find_task(task.id).await.unwrap(), Some(task));
    }
    assert_eq!(host.store.find_task(TaskId(7)).await.unwrap(), None);
}

#[tokio::test]
async fn the_history_of_checkpoints_is_listed_in_pages() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim_one(0).await;
    for n in 1..=3_u8 {
        let value = vec![n; usize::from(n)];
        let saved =
            host.store.save_checkpoint(claimed.task, 1, format!("s{n}"), value, at(n.into()));
        saved.await.unwrap();
    }
    let list =
        |after, limit, values| host.store.list_checkpoints(claimed.task, after, limit, values);
    let all = list(0, 9, false).await.unwrap();
    assert!(all.iter().map(|one| (one.n, one.bytes, one.step.as_str())).eq([
        (1, 1, "s1"),
        (2, 2, "s2"),
        (3, 3, "s3")
    ]));
    assert!(all.iter().all(|one| one.value.is_none() && one.attempt == 1));
    let page = list(1, 1, true).await.unwrap();
    assert_eq!((page.len(), page[0].value.as_deref()), (1, Some(&[2, 2][..])));
    assert_eq!(page[0].at, at(2));
}
