//! Jobs whose task began with the commit that stored them, or before, are as any others.

use apflow_model::event::Happening;
use apflow_model::job::Job;
use apflow_model::plugin::Digest;
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use apflow_store::{
    EagerEnd, EagerJob, End, JobFilter, NewEvent, NewJob, Once, PluginRevision, Settlement,
    StoreError, Submitted,
};
use serde_json::{Value, json};

use crate::host::{Host, at, completed, spec};

fn one() -> Value {
    json!({"name": "n", "executor": "x", "inputs": {"a": [1]}, "max_attempts": 3, "priority": 1})
}

fn new() -> NewJob {
    NewJob { spec: spec(one()), principal: "ada".into(), grants: Vec::new() }
}

async fn plan(host: &Host, ms: u64) -> EagerJob {
    host.store.begin_eagerly(new(), None, host.session, at(ms)).await.unwrap()
}

/// The job that was stored.
fn stored(submitted: Submitted) -> Job {
    match submitted {
        Submitted::New(job) => job,
        Submitted::Replayed(id) => panic!("{id} was stored before"),
    }
}

fn usage() -> Usage {
    Usage { wall_us: 10, ..Usage::default() }
}

fn said() -> Vec<NewEvent> {
    let what = Happening::Progress { fraction: 0.5, message: "half".into() };
    vec![NewEvent { at: at(6), what }]
}

fn end() -> EagerEnd {
    EagerEnd { at: at(7), output: json!({"ok": true}), usage: usage(), events: said() }
}

/// A job, with the ids of another in the place of its own.
fn renamed(mut job: Job, other: &Job) -> Job {
    job.id = other.id;
    for (task, other) in job.tasks.iter_mut().zip(&other.tasks) {
        (task.id, task.job_id) = (other.id, other.job_id);
    }
    job
}

#[tokio::test]
async fn a_job_that_is_stored_with_its_end_is_as_if_it_had_been_claimed() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.jobs, [], "nothing is stored before");
    let answered = stored(host.store.submit_ended(&eager, end()).await.unwrap());
    assert_eq!(host.job(answered.id).await, answered);

    let usual = host.submit_at(one(), 5).await;
    let claimed = host.claim_one(5).await;
    let output = json!({"ok": true});
    host.store
        .settle(Settlement {
            task: claimed.task,
            attempt: claimed.attempt,
            now: at(7),
            end: End::Completed { output, files: Vec::new() },
            usage: usage(),
            events: said(),
        })
        .await
        .unwrap();
    let usual = host.job(usual.id).await;
    assert_eq!(renamed(answered.clone(), &usual), usual);
    let happened = async |job: &Job| {
        let events = host.events(job.id).await.into_iter();
        events.map(|event| (event.n, event.at, event.attempt, event.what)).collect::<Vec<_>>()
    };
    assert_eq!(happened(&answered).await, happened(&usual).await);
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn what_is_handed_to_an_eager_attempt_is_what_a_claim_hands_out() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await.claimed(PluginRevision::default());
    host.submit_at(one(), 5).await;
    let claimed = host.claim_one(5).await;
    let mut expected = claimed.clone();
    (expected.job, expected.task, expected.plugins) = (eager.job, eager.task, eager.plugins);
    // Nobody has looked whether there are any.
    expected.has_budgets = true;
    assert_eq!(eager, expected);
}

#[tokio::test]
async fn a_job_that_is_stored_while_it_runs_goes_on_as_any_other() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    let running = stored(host.store.submit_running(&eager, false).await.unwrap());
    let claimed = eager.claimed(PluginRevision::default());
    assert_eq!(host.job(claimed.job).await, running);
    assert_eq!((running.state, running.tasks[0].state), (JobState::Running, TaskState::Running));
    assert_eq!(running.tasks[0].started_at, Some(at(5)));
    assert!(host.claim(6, 10).await.is_empty(), "it runs already");
    host.store.save_checkpoint(claimed.task, 1, "s".into(), vec![1], at(6)).await.unwrap();
    host.settle(&claimed, 7, completed()).await;
    let ended = host.job(claimed.job).await;
    assert_eq!(ended.state, JobState::Completed);
    let states = [TaskState::Ready, TaskState::Running, TaskState::Completed];
    assert_eq!(host.history(&ended.tasks[0]).await, states);
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn a_job_that_runs_before_it_is_stored_is_as_if_it_had_been_claimed() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    let running = stored(host.store.submit_running(&eager, true).await.unwrap());
    let claimed = eager.claimed(PluginRevision::default());
    let usual = host.submit_at(one(), 5).await;
    let claimed_usual = host.claim_one(5).await;
    assert_eq!(renamed(running, &usual), host.job(usual.id).await);
    let output = json!({"ok": true});
    for claimed in [&claimed, &claimed_usual] {
        let end = End::Completed { output: output.clone(), files: Vec::new() };
        let settled = host
            .store
            .settle(Settlement {
                task: claimed.task,
                attempt: claimed.attempt,
                now: at(7),
                end,
                usage: usage(),
                events: Vec::new(),
            })
            .await
            .unwrap();
        assert!(!settled.was_cancelled);
    }
    let ended = host.job(claimed.job).await;
    assert_eq!(eager.ended(at(7), output, usage()), ended, "its host knows it by heart");
    let usual = host.job(usual.id).await;
    assert_eq!(host.history(&ended.tasks[0]).await, host.history(&usual.tasks[0]).await);
    assert_eq!(renamed(ended, &usual), usual);
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn nothing_is_stored_whose_key_stands_for_a_job_already() {
    let host = Host::start().await;
    let once = Once { key: "k".parse().unwrap(), hash: Digest([1; 32]), expires_at: at(1_000) };
    let begin = async |ms| {
        let (new, once) = (new(), Some(once.clone()));
        host.store.begin_eagerly(new, once, host.session, at(ms)).await.unwrap()
    };
    let first = begin(5).await;
    stored(host.store.submit_running(&first, true).await.unwrap());
    let replayed = Submitted::Replayed(first.planned().id);
    let running = begin(6).await;
    assert_eq!(host.store.submit_running(&running, true).await.unwrap(), replayed);
    let ended = begin(6).await;
    assert_eq!(host.store.submit_ended(&ended, end()).await.unwrap(), replayed);
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.jobs.len(), 1);
}

#[tokio::test]
async fn a_job_that_runs_is_taken_up_after_a_crash() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    host.store.submit_running(&eager, false).await.unwrap();
    let host = host.restart().await;
    let task = eager.planned().tasks[0].id;
    assert_eq!(host.recover(10).await.retried, [task]);
    assert_eq!(host.claim_one(11).await.attempt, 2);
}

#[tokio::test]
async fn a_session_that_was_lost_stores_no_running_job() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    host.store.close_session(host.session, at(6)).await.unwrap();
    let stored = host.store.submit_running(&eager, false).await;
    assert!(matches!(stored, Err(StoreError::SessionLost)), "{stored:?}");
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.jobs, []);
    assert_eq!(eager.new_job(), &new());
}
