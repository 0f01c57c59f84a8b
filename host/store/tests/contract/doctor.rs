//! What an examination finds: each check what it is there for, and nothing in a healthy database.

use apflow_model::doctor::Finding;
use apflow_model::state::{JobState, TaskState};
use apflow_store::End;
use serde_json::json;
use tokio::task::JoinSet;

use crate::host::{Host, at, claim, completed, failed, forest, retryable};

/// A host with a job in each state, and a task in most.
async fn busy() -> Host {
    let host = Host::start().await;
    host.submit(forest(&[
        ("first", &[]),
        ("second", &["first"]),
        ("third", &["first", "second?"]),
    ]))
    .await;
    host.settle(&host.claim_one(1).await, 2, completed()).await;
    let second = host.claim_one(3).await;
    for value in [vec![1], vec![2]] {
        host.store.save_checkpoint(second.task, 1, "s".into(), value, at(4)).await.unwrap();
    }
    host.submit(forest(&[("done", &[])])).await;
    host.settle(&host.claim_one(5).await, 6, completed()).await;
    host.submit(forest(&[("lost", &[]), ("skipped", &["lost"])])).await;
    let again = End::Retry { fault: retryable("again"), run_at: at(7) };
    host.settle(&host.claim_one(7).await, 7, again).await;
    host.settle(&host.claim_one(8).await, 9, failed()).await;
    let cancelled = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    host.store.cancel_job(cancelled.id, at(10)).await.unwrap();
    host.submit(json!({"executor": "x", "run_at": "2100-01-01T00:00:00Z"})).await;
    host.submit(forest(&[("ready", &[])])).await;
    host
}

async fn findings(host: &Host) -> Vec<Finding> {
    host.store.examine().await.unwrap().findings
}

/// Breaks a busy database, expects exactly this finding, and that a repair leaves none.
async fn finds(check: &str, count: u64, sql: &'static str) -> Host {
    let host = found(check, count, sql).await;
    assert!(host.store.repair(check, at(20)).await.unwrap() > 0, "{check}");
    assert_eq!(findings(&host).await, [], "{check}");
    assert_eq!(host.store.repair(check, at(20)).await.unwrap(), 0, "{check}");
    host
}

/// Breaks a busy database, and expects exactly this finding, which nobody can repair.
async fn finds_for_good(check: &str, count: u64, sql: &'static str) {
    let host = found(check, count, sql).await;
    assert_eq!(host.store.repair(check, at(20)).await.unwrap(), 0, "{check}");
    assert_eq!(findings(&host).await.len(), 1, "{check}");
}

async fn found(check: &str, count: u64, sql: &'static str) -> Host {
    let host = busy().await;
    assert_eq!(findings(&host).await, []);
    host.database.break_with(sql).await;
    let found = findings(&host).await;
    let found: Vec<_> = found.iter().map(|found| (&*found.check, found.count)).collect();
    assert_eq!(found, [(check, count)]);
    host
}

#[tokio::test]
async fn the_tasks_of_a_lane_are_counted() {
    finds("tally", 1, "UPDATE tally SET n = n + 1 WHERE state = 8").await;
    finds("tally", 1, "DELETE FROM tally WHERE state = 8").await;
    finds("tally", 1, "INSERT INTO tally (state, lane_id, n) VALUES (8, 999, 3)").await;
}

#[tokio::test]
async fn what_a_task_waits_for_is_settled() {
    finds(
        "dependency-unresolved",
        1,
        "UPDATE dependency SET outcome = NULL \
         WHERE task_id IN (SELECT id FROM task WHERE reference = 'third') AND outcome = 8; \
         UPDATE task SET waiting_count = 2 WHERE reference = 'third'",
    )
    .await;
    finds("waiting-count", 1, "UPDATE task SET waiting_count = 7 WHERE reference = 'third'").await;
    finds_for_good(
        "dependency-outcome",
        1,
        "UPDATE dependency SET outcome = 9 \
         WHERE task_id IN (SELECT id FROM task WHERE reference = 'third') AND outcome = 8",
    )
    .await;
    finds_for_good(
        "started-too-early",
        1,
        "INSERT INTO dependency (dependency_id, task_id, required, outcome) \
         SELECT lost.id, done.id, TRUE, 9 FROM task AS lost, task AS done \
         WHERE lost.reference = 'lost' AND done.reference = 'done'",
    )
    .await;
}

#[tokio::test]
async fn a_running_task_is_held_by_one_attempt_of_a_session() {
    let lost = [
        ("running-without-session", "UPDATE task SET session_id = 999 WHERE state = 3"),
        (
            "running-without-attempt",
            "UPDATE attempt SET ended_at = 4 \
             WHERE task_id IN (SELECT id FROM task WHERE reference = 'second')",
        ),
    ];
    for (check, sql) in lost {
        let host = finds(check, 1, sql).await;
        let again = host.claim(30, 10).await;
        let second = again.iter().find(|claimed| claimed.reference == "second").unwrap();
        assert_eq!(second.attempt, 2, "it is tried again");
        assert_eq!(findings(&host).await, []);
    }
    finds(
        "attempt-left-open",
        2,
        "UPDATE attempt SET ended_at = NULL \
         WHERE task_id IN (SELECT id FROM task WHERE reference IN ('done', 'lost'))",
    )
    .await;
    finds_for_good(
        "attempt-numbers",
        1,
        "UPDATE attempt SET n = 3 WHERE n = 2 \
           AND task_id IN (SELECT id FROM task WHERE reference = 'lost')",
    )
    .await;
}

#[tokio::test]
async fn an_ended_task_keeps_what_it_should() {
    finds("ended-without-moment", 1, "UPDATE task SET ended_at = NULL WHERE reference = 'done'")
        .await;
    finds(
        "output-of-unfinished",
        1,
        "INSERT INTO task_output (task_id, body) SELECT id, '1' FROM task WHERE reference = 'lost'",
    )
    .await;
    finds_for_good(
        "output-missing",
        1,
        "DELETE FROM task_output WHERE task_id IN (SELECT id FROM task WHERE reference = 'done')",
    )
    .await;
    finds_for_good("checkpoint-numbers", 1, "UPDATE checkpoint SET n = 5 WHERE n = 2").await;
}

#[tokio::test]
async fn a_job_counts_its_tasks_and_stands_where_they_put_it() {
    finds("task-count", 6, "UPDATE job SET task_count = task_count + 1").await;
    finds("open-count", 1, "UPDATE job SET open_count = 1 WHERE open_count = 2").await;
    finds("job-state", 1, "UPDATE job SET state = 'pending' WHERE state = 'running'").await;
    let host = finds(
        "job-state",
        1,
        "UPDATE job SET state = 'running', ended_at = NULL WHERE state = 'failed'",
    )
    .await;
    let ended = host.database.number("SELECT ended_at FROM job WHERE state = 'failed'").await;
    assert_eq!(ended, at(9).unix_ms(), "when its last task ended");
}

#[tokio::test]
async fn a_history_is_whole_and_agrees_with_the_tasks() {
    finds_for_good(
        "event-numbers",
        1,
        "DELETE FROM event WHERE n = 1 \
           AND job_id IN (SELECT job_id FROM task WHERE reference = 'done')",
    )
    .await;
    finds(
        "event-count",
        1,
        "UPDATE job SET event_count = 99 \
         WHERE id IN (SELECT job_id FROM task WHERE reference = 'done')",
    )
    .await;
    finds(
        "event-state",
        1,
        "DELETE FROM event WHERE n = 3 \
           AND job_id IN (SELECT job_id FROM task WHERE reference = 'done'); \
         UPDATE job SET event_count = 2 \
         WHERE id IN (SELECT job_id FROM task WHERE reference = 'done')",
    )
    .await;
}

#[tokio::test]
async fn no_row_is_without_the_row_it_belongs_to() {
    finds(
        "row-without-job",
        1,
        "INSERT INTO event (job_id, n, at, attempt, what) VALUES (7, 1, 0, 0, '{}')",
    )
    .await;
    finds(
        "row-without-task",
        1,
        "INSERT INTO attempt (task_id, n, session_id, started_at) VALUES (7, 1, 1, 0)",
    )
    .await;
}

#[tokio::test]
async fn a_task_that_is_stuck_gets_unstuck() {
    let host = busy().await;
    host.database
        .break_with(
            "UPDATE dependency SET outcome = 8 WHERE outcome IS NULL \
               AND task_id IN (SELECT id FROM task WHERE reference = 'third'); \
             UPDATE task SET state = 8, session_id = NULL, ended_at = 4 WHERE reference = 'second'; \
             INSERT INTO task_output (task_id, body) \
               SELECT id, '1' FROM task WHERE reference = 'second'",
        )
        .await;
    let checks: Vec<_> = findings(&host).await.into_iter().map(|found| found.check).collect();
    assert_eq!(checks, ["waiting-count", "attempt-left-open", "open-count", "event-state"]);
    for check in checks {
        assert!(host.store.repair(&check, at(20)).await.unwrap() > 0, "{check}");
    }
    assert_eq!(findings(&host).await, []);
    let claimed = host.claim(30, 10).await;
    let third = claimed.iter().find(|claimed| claimed.reference == "third").unwrap();
    let settled = host.settle(third, 31, completed()).await;
    assert_eq!(
        (settled.state, settled.job_ended),
        (TaskState::Completed, Some(JobState::Completed))
    );
}

#[tokio::test]
async fn what_is_found_is_named_and_counted() {
    let host = Host::start().await;
    host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    for _ in 0..12 {
        host.submit(json!({"executor": "x"})).await;
    }
    host.spoil("UPDATE job SET event_count = event_count + 1").await;
    let found = findings(&host).await.pop().unwrap();
    assert_eq!((found.count, found.examples.len(), found.is_repairable), (13, 10, true));
    assert!(found.examples[0].starts_with("j_"), "{found:?}");
    let figures = host.store.examine().await.unwrap().figures;
    assert_eq!(
        (figures.jobs["pending"], figures.tasks["ready"], figures.tasks["blocked"]),
        (13, 13, 1)
    );
    assert_eq!(figures.oldest_ready, Some(at(0)));
    assert!(figures.bytes > 0 && figures.gives_space_back, "{figures:?}");
}

#[tokio::test]
async fn a_job_that_is_being_removed_is_left_out() {
    let host = Host::start().await;
    let ids: Vec<String> = (0..400).map(|n| format!("t{n}")).collect();
    let tasks: Vec<(&str, &[&str])> = ids.iter().map(|id| (id.as_str(), &[][..])).collect();
    let job = host.submit(forest(&tasks)).await;
    for claimed in host.claim(1, 400).await {
        host.settle(&claimed, 2, completed()).await;
    }
    host.store.purge_job(job.id, at(3)).await.unwrap();
    let mut slices = 0;
    while !host.store.purge_slice(None).await.unwrap().is_last {
        assert_eq!(findings(&host).await, []);
        slices += 1;
    }
    assert!(slices > 2, "it went in {slices} slices");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_database_has_no_findings_while_jobs_run() {
    let host = Host::start().await;
    let (store, session) = (host.store.clone(), host.session);
    let mut working = JoinSet::new();
    for worker in 0..4_u64 {
        let (store, host_spec) =
            (store.clone(), forest(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b?"])]));
        working.spawn(async move {
            for round in 0..60 {
                let spec = crate::host::spec(host_spec.clone());
                let job = apflow_store::NewJob { spec, principal: "ada".into(), grants: vec![] };
                let job = store.submit(job, at(round)).await.unwrap();
                for claimed in claim(&store, session, round, 3).await.unwrap() {
                    let end = match (round + worker) % 4 {
                        0 => failed(),
                        1 => End::Retry { fault: retryable("again"), run_at: at(round) },
                        _ => completed(),
                    };
                    let settlement = apflow_store::Settlement {
                        task: claimed.task,
                        attempt: claimed.attempt,
                        now: at(round),
                        end,
                        usage: apflow_model::usage::Usage::default(),
                        events: Vec::new(),
                    };
                    // Somebody may have cancelled it.
                    drop(store.settle(settlement).await);
                }
                if round % 7 == 0 {
                    store.cancel_job(job.id, at(round)).await.unwrap();
                    store.purge_job(job.id, at(round)).await.unwrap();
                    store.purge_slice(None).await.unwrap();
                }
            }
        });
    }
    let mut looks = 0;
    while !working.is_empty() {
        assert_eq!(findings(&host).await, []);
        looks += 1;
        while let Some(done) = working.try_join_next() {
            done.unwrap();
        }
    }
    assert!(looks > 3, "it was examined only {looks} times");
    assert_eq!(findings(&host).await, []);
}
