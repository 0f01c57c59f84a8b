//! Tasks whose tools need an approval are parked until somebody decides.

use apflow_model::approval::{Decided, Decision, ParkedFor};
use apflow_model::event::Happening;
use apflow_model::fair::Limits;
use apflow_model::fault::FaultCode;
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use apflow_model::plugin::Plugin;
use apflow_model::state::{JobState, TaskState};
use apflow_model::tool::Tool;
use apflow_store::{End, NewJob, RedriveChoice, Ruling};
use serde_json::json;

use crate::host::{Host, at, completed, retryable, spec};
use crate::plugins::plugin;

/// A host on which the tool `rm` needs an approval.
async fn gated() -> Host {
    let host = Host::start().await;
    host.spoil("INSERT INTO tool_rule (tool, needs_approval) VALUES ('rm', TRUE)").await;
    host
}

fn said(decision: Decision, principal: &str, ms: u64) -> Decided {
    let reason = Some("looked at it".parse().unwrap());
    Decided { decision, principal: principal.to_owned(), reason, at: at(ms) }
}

async fn rule(host: &Host, task: TaskId, decision: Decision, ms: u64) -> Ruling {
    host.store.rule(task, said(decision, "eve", ms)).await.unwrap()
}

/// Submits a task of `rm`, and has it parked.
async fn park(host: &Host) -> Task {
    let job = host.submit(json!({"executor": "rm", "inputs": {"path": "/"}})).await;
    assert_eq!(host.claim(1, 10).await, []);
    let task = host.job(job.id).await.tasks.pop().unwrap();
    assert_eq!((task.state, task.parked_for), (TaskState::Parked, Some(ParkedFor::Approval)));
    task
}

#[tokio::test]
async fn a_task_is_parked_until_it_is_approved_and_then_runs() {
    use TaskState::{Completed, Parked, Ready, Running};
    let host = gated().await;
    let task = park(&host).await;
    assert_eq!(host.claim(2, 10).await, [], "it is not asked for again");
    let listed = host.store.list_approvals(None, None, 10).await.unwrap();
    assert_eq!((listed.approvals.len(), listed.next), (1, None));
    let pending = &listed.approvals[0];
    assert_eq!((pending.task_id, pending.tool.as_str()), (task.id, "rm"));
    assert_eq!((&pending.inputs, pending.principal.as_str()), (&json!({"path": "/"}), "ada"));

    let Ruling::Made(made) = rule(&host, task.id, Decision::Approved, 5).await else { panic!() };
    assert_eq!((made.job, made.became_ready, made.job_ended), (task.job_id, vec![task.id], None));
    assert_eq!(host.store.list_approvals(None, None, 10).await.unwrap().approvals, []);
    let claimed = host.claim_one(6).await;
    assert_eq!((claimed.task, claimed.attempt), (task.id, 1));
    host.settle(&claimed, 7, completed()).await;

    let done = host.store.find_task(task.id).await.unwrap().unwrap();
    assert_eq!(done.parked_for, None);
    assert_eq!(done.approvals[0].decided, Some(said(Decision::Approved, "eve", 5)));
    assert_eq!(host.history(&done).await, [Ready, Parked, Ready, Running, Completed]);
    let told: Vec<_> = host.events(task.job_id).await.into_iter().map(|event| event.what).collect();
    assert!(told.contains(&Happening::ApprovalAsked { tool: "rm".into() }));
    let decided = Happening::ApprovalDecided(said(Decision::Approved, "eve", 5));
    assert!(told.contains(&decided));
}

#[tokio::test]
async fn who_decides_again_changes_nothing() {
    let host = gated().await;
    let task = park(&host).await;
    assert!(matches!(rule(&host, task.id, Decision::Approved, 5).await, Ruling::Made(_)));
    let count = host.events(task.job_id).await.len();
    for decision in [Decision::Approved, Decision::Denied] {
        let again = host.store.rule(task.id, said(decision, "mallory", 6)).await.unwrap();
        assert_eq!(again, Ruling::Earlier(said(Decision::Approved, "eve", 5)));
    }
    assert_eq!(host.events(task.job_id).await.len(), count);
    let other = host.submit(json!({"executor": "ls"})).await.tasks[0].id;
    assert_eq!(rule(&host, other, Decision::Denied, 7).await, Ruling::NotAsked(TaskState::Ready));
    assert_eq!(rule(&host, TaskId(1), Decision::Denied, 7).await, Ruling::Unknown);
}

#[tokio::test]
async fn a_denied_task_has_failed_and_what_requires_it_is_skipped() {
    let host = gated().await;
    let job = host
        .submit(json!({"tasks": [
            {"id": "rm", "executor": "rm"},
            {"id": "after", "executor": "ls", "dependencies": ["rm"]},
        ]}))
        .await;
    assert_eq!(host.claim(1, 10).await, []);
    let task = host.task(job.id, "rm").await;
    let Ruling::Made(made) = rule(&host, task.id, Decision::Denied, 5).await else { panic!() };
    assert_eq!((made.became_ready, made.job_ended), (vec![], Some(JobState::Failed)));
    let task = host.task(job.id, "rm").await;
    let fault = task.fault.unwrap();
    assert_eq!((task.state, fault.code), (TaskState::Failed, FaultCode::Denied));
    assert_eq!(fault.message, "eve denied it: looked at it");
    assert_eq!(host.task(job.id, "after").await.state, TaskState::Skipped);
    assert_eq!(host.job(job.id).await.state, JobState::Failed);
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn an_approval_is_for_every_attempt_but_not_for_a_redrive() {
    let host = gated().await;
    let task = park(&host).await;
    rule(&host, task.id, Decision::Approved, 5).await;
    let again = End::Retry { fault: retryable("again"), run_at: at(7) };
    host.settle(&host.claim_one(6).await, 7, again).await;
    let claimed = host.claim_one(8).await;
    assert_eq!(claimed.attempt, 2);
    host.settle(&claimed, 9, crate::host::failed()).await;

    let redriven = host.store.redrive(task.job_id, RedriveChoice::default(), at(10)).await;
    assert_eq!(redriven.unwrap().tasks, [(task.id, TaskState::Ready)]);
    assert_eq!(host.claim(11, 10).await, []);
    let task = host.store.find_task(task.id).await.unwrap().unwrap();
    assert_eq!(task.parked_for, Some(ParkedFor::Approval));
    assert_eq!((task.approvals.len(), task.approvals[0].decided.clone()), (1, None));
}

#[tokio::test]
async fn a_denial_is_asked_again_after_a_redrive() {
    let host = gated().await;
    let task = park(&host).await;
    rule(&host, task.id, Decision::Denied, 5).await;
    host.store.redrive(task.job_id, RedriveChoice::default(), at(6)).await.unwrap();
    assert_eq!(host.claim(7, 10).await, []);
    assert!(matches!(rule(&host, task.id, Decision::Approved, 8).await, Ruling::Made(_)));
    assert_eq!(host.claim_one(9).await.task, task.id);
}

#[tokio::test]
async fn a_deadline_passes_while_a_task_waits_for_approval() {
    let host = gated().await;
    let spec = json!({"executor": "rm", "deadline": at(100)});
    let job = host.submit(spec).await;
    assert_eq!(host.claim(1, 10).await, []);
    let late = host.claim_within(100, 10, Limits::default()).await;
    assert_eq!(late.expired.len(), 1);
    let task = host.job(job.id).await.tasks.pop().unwrap();
    assert_eq!(task.fault.unwrap().code, FaultCode::DeadlineExceeded);
    assert_eq!(host.store.list_approvals(None, None, 10).await.unwrap().approvals, []);
    let late = rule(&host, task.id, Decision::Approved, 101).await;
    assert_eq!(late, Ruling::NotAsked(TaskState::Failed));
}

#[tokio::test]
async fn a_parked_task_can_be_cancelled() {
    let host = gated().await;
    let task = park(&host).await;
    host.store.cancel_task(task.id, at(5)).await.unwrap().unwrap();
    let late = rule(&host, task.id, Decision::Approved, 6).await;
    assert_eq!(late, Ruling::NotAsked(TaskState::Cancelled));
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn parked_tasks_take_no_place_from_others() {
    let host = gated().await;
    for executor in ["rm", "rm", "ls", "rm", "ls"] {
        host.submit(json!({"executor": executor})).await;
    }
    let handed_out = host.claim_within(1, 2, Limits::default()).await;
    let executors: Vec<_> = handed_out.tasks.iter().map(|task| task.executor.as_str()).collect();
    assert_eq!(executors, ["ls", "ls"]);
    host.claim(2, 2).await;
    let first = host.store.list_approvals(None, None, 2).await.unwrap();
    assert_eq!(first.approvals.len(), 2);
    let second = host.store.list_approvals(None, first.next, 2).await.unwrap();
    assert_eq!((second.approvals.len(), second.next), (1, None));
}

#[tokio::test]
async fn of_a_tool_no_more_tasks_run_at_once_than_it_says() {
    let host = Host::start().await;
    host.spoil("INSERT INTO tool_rule (tool, needs_approval, running_max) VALUES ('rm', FALSE, 2)")
        .await;
    for _ in 0..5 {
        host.submit(json!({"executor": "rm"})).await;
    }
    let claimed = host.claim(1, 10).await;
    assert_eq!(claimed.len(), 2);
    assert_eq!(host.claim(2, 10).await, []);
    host.settle(&claimed[0], 3, completed()).await;
    assert_eq!(host.claim(4, 10).await.len(), 1);
}

#[tokio::test]
async fn a_parked_task_that_nobody_is_asked_about_is_found_and_asked_about_again() {
    let host = gated().await;
    let task = park(&host).await;
    host.spoil("DELETE FROM approval").await;
    let found = host.store.examine().await.unwrap().findings;
    let found: Vec<_> = found.iter().map(|found| (&*found.check, found.count)).collect();
    assert_eq!(found, [("parked-without-approval", 1)]);
    assert_eq!(host.store.repair("parked-without-approval", at(5)).await.unwrap(), 1);
    assert_eq!(host.store.examine().await.unwrap().findings, []);
    assert_eq!(host.claim(6, 10).await, []);
    assert_eq!(
        host.store.list_approvals(None, None, 1).await.unwrap().approvals[0].task_id,
        task.id
    );
}

#[tokio::test]
async fn of_a_tool_no_more_tasks_start_a_minute_than_it_says() {
    let host = Host::start().await;
    host.spoil(
        "INSERT INTO tool_rule (tool, needs_approval, starts_per_minute) VALUES ('rm', FALSE, 120)",
    )
    .await;
    for _ in 0..10 {
        host.submit(json!({"executor": "rm"})).await;
    }
    let mut started = Vec::new();
    for ms in (1..4_000).step_by(100) {
        for claimed in host.claim(ms, 10).await {
            started.push(ms);
            host.settle(&claimed, ms, completed()).await;
        }
    }
    assert_eq!(started, [1, 1, 501, 1_001, 1_501, 2_001, 2_501, 3_001, 3_501]);
}

#[tokio::test]
async fn the_rules_of_a_tool_are_those_of_its_file() {
    let host = Host::start().await;
    let of = |more: &str| {
        let text = format!(
            "name: rm\nversion: 1.0.0\ndescription: It.\ncategory: data\nrun: {{ command: a.wasm }}\n{more}"
        );
        let tool = Tool::parse(&text, None).unwrap();
        let manifest = tool.manifest().unwrap();
        Plugin { manifest, tool: Some(tool), ..plugin("rm", "1.0.0") }
    };
    host.store
        .put_plugin(of("requires_approval: true\nlimits: { concurrency: 1 }\n"))
        .await
        .unwrap();
    for _ in 0..2 {
        host.submit(json!({"executor": "rm"})).await;
    }
    assert_eq!(host.claim(1, 10).await, []);
    for pending in host.store.list_approvals(None, None, 10).await.unwrap().approvals {
        rule(&host, pending.task_id, Decision::Approved, 2).await;
    }
    assert_eq!(host.claim(3, 10).await.len(), 1, "one at once");
    host.store.put_plugin(of("")).await.unwrap();
    host.submit(json!({"executor": "rm"})).await;
    assert_eq!(host.claim(4, 10).await.len(), 2, "neither rule holds any more");
}

/// Submits one task whose role asks for an approval.
async fn submit_gated(host: &Host, task: serde_json::Value) -> Task {
    let mut spec = spec(task);
    spec.tasks[0].needs_approval = true;
    let job = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
    host.store.submit(job, at(0)).await.unwrap().tasks.remove(0)
}

#[tokio::test]
async fn a_task_is_parked_for_its_role_whatever_its_tool_says() {
    let host = Host::start().await;
    let other = host.submit(json!({"executor": "ls"})).await;
    let task = submit_gated(&host, json!({"executor": "ls"})).await;
    let ran = host.claim(1, 10).await;
    assert_eq!(ran.iter().map(|task| task.job).collect::<Vec<_>>(), [other.id]);
    rule(&host, task.id, Decision::Approved, 2).await;
    let claimed = host.claim_one(3).await;
    host.settle(&claimed, 4, crate::host::failed()).await;
    host.store.redrive(task.job_id, RedriveChoice::default(), at(5)).await.unwrap();
    assert_eq!(host.claim(6, 10).await, [], "its role asks again");
    assert_eq!(host.store.examine().await.unwrap().findings, []);
}

#[tokio::test]
async fn a_fallback_asks_for_itself_as_the_role_of_its_job_says() {
    let host = Host::start().await;
    for needs_approval in [true, false] {
        host.submit(json!({"tool": "a"})).await;
        let first = host.claim_one(1).await;
        let fault = retryable("no");
        let (from, to) = (vec!["a".to_owned()], "b".to_owned());
        let end = End::Fallback { fault, from, to, needs_approval, run_at: at(2) };
        host.settle(&first, 2, end).await;
        assert_eq!(host.claim(3, 10).await.is_empty(), needs_approval);
    }
}

#[tokio::test]
async fn only_the_approvals_of_one_owner_are_listed_when_one_is_given() {
    let host = gated().await;
    let task = park(&host).await;
    for (owner, expected) in
        [(Some("ada"), vec![task.id]), (Some("bob"), vec![]), (None, vec![task.id])]
    {
        let page = host.store.list_approvals(owner, None, 10).await.unwrap();
        let listed: Vec<_> = page.approvals.iter().map(|pending| pending.task_id).collect();
        assert_eq!(listed, expected, "{owner:?}");
    }
}
