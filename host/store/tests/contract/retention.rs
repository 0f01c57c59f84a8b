//! What is removed when it is over: exactly that, slice by slice, whatever cuts it short.

use std::collections::BTreeMap;

use apflow_model::file::Upload;
use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::plugin::Digest;
use apflow_model::state::JobState;
use apflow_store::{
    End, JobFilter, NewTaskFile, NewUpload, Purge, ROWS_PER_SLICE_MAX, RemovedUploads, Slice,
};
use serde_json::json;

use crate::host::{Host, at, completed, failed, forest, retryable};

/// Every row that a job can leave.
const ROWS: &str = "\
    SELECT CAST((SELECT count(*) FROM job) + (SELECT count(*) FROM task) \
      + (SELECT count(*) FROM task_input) + (SELECT count(*) FROM task_output) \
      + (SELECT count(*) FROM dependency) + (SELECT count(*) FROM attempt) \
      + (SELECT count(*) FROM checkpoint) + (SELECT count(*) FROM event) \
      + (SELECT count(*) FROM task_file) + (SELECT count(*) FROM task_upload) AS BIGINT)";

/// Numbers that are drawn by a seed.
struct Drawn(u64);

impl Drawn {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % end
    }
}

/// Makes a job that ended in one of the ways there are, or has not, at a moment that is drawn.
async fn make(host: &Host, drawn: &mut Drawn) -> JobId {
    let job = match drawn.below(3) {
        0 => host.submit(json!({"executor": "x"})).await,
        1 => host.submit(forest(&[("a", &[]), ("b", &["a"])])).await,
        _ => host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &["a", "b?"])])).await,
    };
    let end = drawn.below(1_000);
    match drawn.below(5) {
        0 => {}
        1 => {
            host.store.cancel_job(job.id, at(end)).await.unwrap();
        }
        way => {
            while host.job(job.id).await.ended_at.is_none() {
                let claimed = host.claim_one(0).await;
                if drawn.below(2) == 0 {
                    let saved =
                        host.store.save_checkpoint(claimed.task, 1, "s".into(), vec![1], at(0));
                    saved.await.unwrap();
                }
                match way {
                    2 => host.settle(&claimed, end, failed()).await,
                    _ => host.settle(&claimed, end, completed()).await,
                };
            }
        }
    }
    job.id
}

/// Removes all that is marked, and checks every slice.
async fn remove_all(host: &Host) -> Vec<JobId> {
    let mut removed = Vec::new();
    loop {
        let slice = host.store.purge_slice(None).await.unwrap();
        assert!(slice.rows <= u64::from(ROWS_PER_SLICE_MAX), "{slice:?}");
        removed.extend(slice.jobs);
        if slice.is_last {
            return removed;
        }
    }
}

#[tokio::test]
async fn jobs_that_ended_before_a_moment_are_removed_and_no_others_change() {
    for seed in [3, 14, 159] {
        let host = Host::start().await;
        let mut drawn = Drawn(seed);
        // A job that is left open would be claimed by the next one.
        let mut before = BTreeMap::<JobId, Job>::new();
        for _ in 0..40 {
            let id = make(&host, &mut drawn).await;
            if host.job(id).await.ended_at.is_none() {
                host.claim(0, 1).await;
                while !host.claim(0, 100).await.is_empty() {}
            }
        }
        let all = host.store.list_jobs(&JobFilter::default(), None, 1_000).await.unwrap().jobs;
        for job in all {
            before.insert(job.id, host.job(job.id).await);
        }
        let limits = [
            (JobState::Completed, drawn.below(1_000)),
            (JobState::Failed, drawn.below(1_000)),
            (JobState::Cancelled, drawn.below(1_000)),
            (JobState::Pending, 1_000_000),
            (JobState::Running, 1_000_000),
        ];
        for (state, ms) in limits {
            host.store.purge_ended(state, at(ms), at(2_000)).await.unwrap();
        }
        let mut removed = remove_all(&host).await;
        removed.sort_unstable();
        let is_over = |job: &Job| {
            let limit = limits.iter().find(|(state, _)| *state == job.state).unwrap().1;
            job.ended_at.is_some_and(|end| end < at(limit))
        };
        let expected: Vec<_> =
            before.values().filter(|job| is_over(job)).map(|job| job.id).collect();
        assert!(!expected.is_empty() && expected.len() < before.len(), "seed {seed}");
        assert_eq!(removed, expected, "seed {seed}");
        for (id, job) in &before {
            let found = host.store.find_job(*id).await.unwrap();
            assert_eq!(found.as_ref(), (!is_over(job)).then_some(job), "seed {seed}");
            let events = host.events(*id).await;
            assert_eq!(events.is_empty(), is_over(job), "seed {seed}");
        }
    }
}

/// Submits a job of many tasks, each with a retry, a checkpoint, files and a log, and completes it.
async fn large_job(host: &Host) -> Job {
    let ids: Vec<String> = (0..300).map(|n| format!("t{n}")).collect();
    let mut tasks: Vec<(&str, &[&str])> = ids.iter().map(|id| (id.as_str(), &[][..])).collect();
    tasks.push(("last", &["t0", "t1", "t2?"]));
    let job = host.submit(forest(&tasks)).await;
    for claimed in host.claim(1, 300).await {
        let saved = host.store.save_checkpoint(claimed.task, 1, "s".into(), vec![7; 10], at(1));
        saved.await.unwrap();
        let again = End::Retry { fault: retryable("again"), run_at: at(2) };
        host.settle(&claimed, 1, again).await;
    }
    for claimed in host.claim(3, 300).await {
        let file = NewTaskFile { name: "a".to_owned(), size: 1 };
        let end = End::Completed { output: json!(1), files: vec![file] };
        host.settle(&claimed, 4, end).await;
    }
    host.settle(&host.claim_one(5).await, 6, completed()).await;
    host.job(job.id).await
}

#[tokio::test]
async fn a_large_job_goes_in_slices_and_is_gone_at_once() {
    let host = Host::start().await;
    let other = host.submit(json!({"executor": "x"})).await;
    host.settle(&host.claim_one(0).await, 0, failed()).await;
    let kept = host.database.number(ROWS).await;
    let job = large_job(&host).await;
    let all = host.database.number(ROWS).await;
    assert_eq!(host.store.purge_job(job.id, at(7)).await.unwrap(), Purge::Begun);
    assert_eq!(host.store.find_job(job.id).await.unwrap(), None);
    assert_eq!(host.store.job_state(job.id).await.unwrap(), None);
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap().jobs;
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(host.store.purge_job(job.id, at(8)).await.unwrap(), Purge::Unknown);
    let (mut rows, mut slices, mut host) = (0, 0, host);
    loop {
        let slice = host.store.purge_slice(Some(job.id)).await.unwrap();
        assert!(slice.rows <= u64::from(ROWS_PER_SLICE_MAX), "{slice:?}");
        if slice.is_last {
            break;
        }
        (rows, slices) = (rows + slice.rows, slices + 1);
        // Each time as if the host had been killed.
        host = host.restart().await;
    }
    assert_eq!(rows, u64::try_from(all - kept).unwrap());
    assert!(slices >= 3, "{rows} rows went in {slices} slices");
    assert_eq!(host.database.number(ROWS).await, kept);
    assert_eq!(
        host.store.purge_slice(None).await.unwrap(),
        Slice { is_last: true, ..Slice::default() }
    );
}

#[tokio::test]
async fn large_rows_go_a_few_at_a_time() {
    let host = Host::start().await;
    let text = "x".repeat(5 << 20);
    let task = |n| json!({"id": format!("t{n}"), "executor": "x", "inputs": {"text": text}});
    let tasks: Vec<_> = (0..4).map(task).collect();
    let job = host.submit(json!({ "tasks": tasks })).await;
    for claimed in host.claim(1, 10).await {
        for n in 0..3 {
            let value = vec![n; 1 << 19];
            let saved = host.store.save_checkpoint(claimed.task, 1, "s".into(), value, at(1));
            saved.await.unwrap();
        }
        host.settle(&claimed, 2, failed()).await;
    }
    host.store.purge_job(job.id, at(3)).await.unwrap();
    let inputs = async || host.database.number("SELECT count(*) FROM task_input").await;
    let mut counts = vec![inputs().await];
    while !host.store.purge_slice(None).await.unwrap().is_last {
        counts.push(inputs().await);
    }
    assert_eq!(counts, [4, 2, 0]);
    assert_eq!(host.database.number(ROWS).await, 0);
}

#[tokio::test]
async fn a_job_that_has_not_ended_is_not_removed() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &["a"])])).await;
    let pending = host.store.purge_job(job.id, at(1)).await.unwrap();
    assert_eq!(pending, Purge::NotEnded(JobState::Pending));
    host.settle(&host.claim_one(1).await, 2, completed()).await;
    let running = host.store.purge_job(job.id, at(1)).await.unwrap();
    assert_eq!(running, Purge::NotEnded(JobState::Running));
    assert_eq!(host.store.purge_job(JobId(7), at(1)).await.unwrap(), Purge::Unknown);
    assert!(host.store.purge_slice(Some(job.id)).await.unwrap().is_last);
    host.settle(&host.claim_one(3).await, 4, completed()).await;
    assert_eq!(host.store.purge_job(job.id, at(5)).await.unwrap(), Purge::Begun);
}

#[tokio::test]
async fn what_is_marked_at_once_is_bounded() {
    let host = Host::start().await;
    for ms in 0..3 {
        host.submit(json!({"executor": "x"})).await;
        host.settle(&host.claim_one(ms).await, ms, completed()).await;
    }
    // The same jobs many times over.
    host.spoil(
        "INSERT INTO job (id, principal, state, grants, task_count, open_count, event_count, \
                          created_at, ended_at) \
         WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1200) \
         SELECT id, 'ada', 'completed', '[]', 0, 0, 0, 0, 0 FROM n",
    )
    .await;
    let mark = async || host.store.purge_ended(JobState::Completed, at(1), at(9)).await.unwrap();
    assert_eq!((mark().await, mark().await, mark().await), (1_000, 201, 0));
    assert_eq!(remove_all(&host).await.len(), 1_201);
    let listed = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap().jobs;
    assert_eq!(listed.len(), 2);
}

async fn upload(host: &Host, byte: u8, ms: u64) -> Upload {
    let (name, principal) = ("a".to_owned(), "ada".to_owned());
    let new = NewUpload { name, size: 7, sha256: Digest([byte; 32]), principal };
    let room = host.store.name_room(at(ms));
    host.store.add_uploads(room, vec![new], at(ms)).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_upload_goes_when_it_is_old_and_no_open_job_names_it() {
    let host = Host::start().await;
    let unused = upload(&host, 1, 0).await;
    let named = upload(&host, 2, 0).await;
    let shared = upload(&host, 3, 0).await;
    let same_bytes = upload(&host, 3, 60).await;
    let late = upload(&host, 4, 60).await;
    let inputs = |id| json!({"args": [{"$file": id}, {"$file": id}]});
    let task = json!({"executor": "x", "inputs": inputs(named.id)});
    host.submit_at(task, 10).await;
    let remove = async |ms| host.store.remove_uploads(at(ms)).await.unwrap();
    assert_eq!(remove(0).await, RemovedUploads::default());
    let removed = remove(50).await;
    assert_eq!(removed, RemovedUploads { uploads: 2, unused: vec![unused.sha256] });
    for (upload, is_kept) in
        [(&unused, false), (&named, true), (&shared, false), (&same_bytes, true), (&late, true)]
    {
        let found = host.store.find_upload(upload.id).await.unwrap();
        assert_eq!(found.is_some(), is_kept, "{upload:?}");
    }
    host.settle(&host.claim_one(11).await, 20, completed()).await;
    let removed = remove(10).await;
    assert_eq!(removed.uploads, 0, "a job named it at 10");
    assert_eq!(remove(11).await.unused, [named.sha256]);
}

#[tokio::test]
async fn the_checkpoints_of_completed_tasks_are_kept_for_a_while_and_no_others_are_dropped() {
    let mut host = Host::start().await;
    host.store = host.store.keep_checkpoints();
    let job = host.submit(forest(&[("a", &[]), ("b", &[]), ("c", &[])])).await;
    let claimed = host.claim(0, 3).await;
    for held in &claimed {
        host.store.save_checkpoint(held.task, 1, "s".into(), vec![1], at(1)).await.unwrap();
    }
    host.settle(&claimed[0], 2, completed()).await;
    host.settle(&claimed[1], 2, failed()).await;
    let is_kept = async |place: usize| {
        host.store.load_checkpoint(job.tasks[place].id).await.unwrap().is_some()
    };
    assert!(is_kept(0).await);
    assert_eq!(host.store.drop_checkpoints(at(2)).await.unwrap(), 0);
    assert_eq!(host.store.drop_checkpoints(at(3)).await.unwrap(), 1);
    assert_eq!(host.store.drop_checkpoints(at(3)).await.unwrap(), 0);
    assert_eq!((is_kept(0).await, is_kept(1).await, is_kept(2).await), (false, true, true));
}
