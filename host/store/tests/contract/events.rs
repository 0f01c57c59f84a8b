//! Event numbers have no gaps, and pages go on from the last number seen.

use apflow_model::event::Happening;
use apflow_model::id::JobId;
use apflow_model::state::JobState;
use apflow_store::{End, History, NewEvent, StoreError};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, retryable};

fn progress(fraction: f64) -> NewEvent {
    NewEvent { at: at(1), what: Happening::Progress { fraction, message: "on".into() } }
}

#[tokio::test]
async fn event_numbers_have_no_gaps() {
    let host = Host::start().await;
    let tasks: [(&str, &[&str]); 4] = [("a", &[]), ("b", &["a"]), ("c", &["a?"]), ("d", &["b"])];
    let jobs = [host.submit(forest(&tasks)).await.id, host.submit(forest(&tasks)).await.id];
    let mut is_first = true;
    loop {
        let claimed = host.claim(1, 10).await;
        if claimed.is_empty() {
            break;
        }
        for claimed in claimed {
            let events = vec![progress(0.1), progress(0.2)];
            host.store.append_events(claimed.task, claimed.attempt, events).await.unwrap();
            let end = match (is_first, claimed.attempt) {
                (true, _) => failed(),
                (false, 1) => End::Retry { fault: retryable("busy"), run_at: at(1) },
                (false, _) => completed(),
            };
            is_first = false;
            host.settle(&claimed, 2, end).await;
        }
    }
    for job in jobs {
        let events = host.events(job).await;
        assert!(events.len() > 10);
        assert!(events.iter().map(|event| event.n).eq(1..=events.len() as u64));
        assert!(events.iter().all(|event| event.job_id == job));
    }
}

#[tokio::test]
async fn a_page_goes_on_from_the_last_number_seen() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await.id;
    let task = host.claim_one(0).await.task;
    let events = (0..5).map(|tenth| progress(f64::from(tenth) / 10.0)).collect();
    assert_eq!(host.store.append_events(task, 1, events).await.unwrap(), 7);
    let all = host.events(job).await;
    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = host.store.list_events(job, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.n;
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert!(host.store.list_events(JobId(42), 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_attempt_cannot_add_events() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await.id;
    let claimed = host.claim_one(0).await;
    host.settle(&claimed, 1, completed()).await;
    let before = host.events(job).await;
    let added = host.store.append_events(claimed.task, 1, vec![progress(1.0)]).await;
    assert!(matches!(added, Err(StoreError::AttemptLost)));
    assert_eq!(host.events(job).await, before);
}

#[tokio::test]
async fn a_history_says_how_far_it_goes_and_whether_its_job_has_ended() {
    let host = Host::start().await;
    let jobs =
        [host.submit(forest(&[("a", &[])])).await.id, host.submit(forest(&[("b", &[])])).await.id];
    let claimed = host.claim_one(1).await;
    host.settle(&claimed, 2, completed()).await;
    let mut histories = host.store.histories(&[jobs[0], JobId(1), jobs[1]]).await.unwrap();
    histories.sort_by_key(|history| history.job.0);
    let known = [(jobs[0], JobState::Completed, 3), (jobs[1], JobState::Pending, 1)];
    assert_eq!(histories, known.map(|(job, state, events)| History { job, state, events }));
    for history in histories {
        assert_eq!(host.events(history.job).await.len() as u64, history.events);
    }
    assert_eq!(host.store.histories(&[]).await.unwrap(), []);
}
