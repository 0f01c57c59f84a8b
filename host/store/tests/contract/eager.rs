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
use tokio::sync::oneshot;

use crate::host::{Host, at, completed, spec};

fn one() -> Value {
    json!({"name": "n", "executor": "x", "inputs": {"a": [1]}, "max_attempts": 3, "priority": 1})
}

fn new() -> NewJob {
    NewJob { spec: spec(one()), principal: "ada".into(), grants: Vec::new() }
}

async fn plan(host: &Host, ms: u64) -> EagerJob {
    host.store.begin_eagerly(new(), host.session, at(ms)).await.unwrap()
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
    let answered = host.store.submit_ended(&eager, end()).await.unwrap();
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
    host.store.submit_running(&eager).await.unwrap();
    let claimed = eager.claimed(PluginRevision::default());
    let running = host.job(claimed.job).await;
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

/// Something to begin, and who is told of it.
fn beginning() -> (impl FnOnce() + Send + 'static, oneshot::Receiver<()>) {
    let (begun, told) = oneshot::channel();
    (move || begun.send(()).unwrap(), told)
}

#[tokio::test]
async fn a_job_that_begins_with_its_commit_goes_on_as_any_other() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    let (begin, mut told) = beginning();
    let answered = host.store.submit_begun(&eager, begin).await.unwrap();
    assert_eq!(&answered, eager.planned());
    told.try_recv().unwrap();
    let claimed = eager.claimed(PluginRevision::default());
    let running = host.job(claimed.job).await;
    let usual = host.submit_at(one(), 5).await;
    let claimed_usual = host.claim_one(5).await;
    assert_eq!(renamed(running, &usual), host.job(usual.id).await);
    host.settle(&claimed, 7, completed()).await;
    host.settle(&claimed_usual, 7, completed()).await;
    let ended = host.job(claimed.job).await;
    let usual = host.job(usual.id).await;
    assert_eq!(host.history(&ended.tasks[0]).await, host.history(&usual.tasks[0]).await);
    assert_eq!(renamed(ended, &usual), usual);
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn a_task_begins_although_nobody_waits_for_the_answer() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    let (begin, told) = beginning();
    let mut submitting = Box::pin(host.store.submit_begun(&eager, begin));
    tokio::select! {
        biased;
        stored = &mut submitting => panic!("it was not waited for: {stored:?}"),
        // Once is enough to have it queued.
        () = std::future::ready(()) => drop(submitting),
    }
    told.await.unwrap();
    assert_eq!(host.job(eager.planned().id).await.state, JobState::Running);
}

#[tokio::test]
async fn nothing_begins_that_was_stored_before_under_the_same_key() {
    let host = Host::start().await;
    let once = Once { key: "k".parse().unwrap(), hash: Digest([1; 32]), expires_at: at(1_000) };
    let (first, second) = (plan(&host, 5).await, plan(&host, 6).await);
    let (begin, mut told) = beginning();
    let stored = host.store.submit_begun_once(&first, once.clone(), begin).await.unwrap();
    assert_eq!(stored, Submitted::New(first.planned().clone()));
    told.try_recv().unwrap();
    let (begin, mut told) = beginning();
    let stored = host.store.submit_begun_once(&second, once, begin).await.unwrap();
    assert_eq!(stored, Submitted::Replayed(first.planned().id));
    told.try_recv().unwrap_err();
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.jobs.len(), 1);
}

#[tokio::test]
async fn nothing_begins_whose_session_was_lost() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    host.store.close_session(host.session, at(6)).await.unwrap();
    let (begin, mut told) = beginning();
    let stored = host.store.submit_begun(&eager, begin).await;
    assert!(matches!(stored, Err(StoreError::SessionLost)), "{stored:?}");
    told.try_recv().unwrap_err();
    assert_eq!(eager.into_new(), new());
}

#[tokio::test]
async fn a_job_that_runs_is_taken_up_after_a_crash() {
    let host = Host::start().await;
    let eager = plan(&host, 5).await;
    host.store.submit_running(&eager).await.unwrap();
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
    let stored = host.store.submit_running(&eager).await;
    assert!(matches!(stored, Err(StoreError::SessionLost)), "{stored:?}");
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.jobs, []);
}
