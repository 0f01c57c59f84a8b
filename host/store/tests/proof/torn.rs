//! A log that ends anywhere is a database as it was after some commit.
//!
//! What a power cut leaves of `SQLite`'s write-ahead log is a prefix of it: every commit whose last
//! frame is in it counts, and nothing of the one after.

#![expect(
    clippy::disallowed_methods,
    reason = "the files are copied and cut behind the store's back"
)]

use std::fs;
use std::path::Path;

use apflow_model::fair::Limits;
use apflow_model::job::JobSpec;
use apflow_model::usage::Usage;
use apflow_store::{Address, End, JobFilter, NewJob, Settlement, Store};
use serde_json::json;

use crate::oracle::Oracle;
use crate::place::Place;
use crate::victim::{now, open_session};

/// The layout of the log: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.
const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
const PAGE_SIZE_AT: usize = 8;

const JOBS: i64 = 5;

#[tokio::test]
async fn a_log_that_is_cut_at_any_frame_holds_whole_commits() {
    let place = Place::make();
    let file = place.folder().join("apflow.db");
    let store = Store::open(&Address::File(file.clone())).await.unwrap();
    let session = open_session(&store, now()).await;
    for n in 0..JOBS {
        let tasks = json!({"tasks": [
            {"id": "a", "executor": "x"},
            {"id": "b", "executor": "x", "dependencies": ["a"]},
        ]});
        let spec = JobSpec::parse(tasks).unwrap();
        let new = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
        store.submit(new, now()).await.unwrap();
        let claimed = store.claim(session, now(), 1, Limits::default()).await.unwrap().tasks;
        let end = End::Completed { output: json!(n), files: Vec::new() };
        let (task, attempt, now) = (claimed[0].task, claimed[0].attempt, now());
        let usage = Usage::default();
        let settlement = Settlement { task, attempt, now, end, usage, events: Vec::new() };
        store.settle(settlement).await.unwrap();
    }
    let log = fs::read(beside(&file, "-wal")).unwrap();
    let page = u32::from_be_bytes(log[PAGE_SIZE_AT..PAGE_SIZE_AT + 4].try_into().unwrap());
    let frame = FRAME_HEADER_BYTES + u64::from(page);
    let frames = (log.len() as u64 - LOG_HEADER_BYTES) / frame;
    assert!(frames > 100, "{frames} frames are too few to be cut");
    let cut = place.folder().join("cut.db");
    let mut jobs_before = 0;
    for kept in 0..=frames {
        // Half a frame more, as a torn write leaves.
        let bytes = (LOG_HEADER_BYTES + kept * frame + frame / 2).min(log.len() as u64);
        fs::copy(&file, &cut).unwrap();
        fs::write(beside(&cut, "-wal"), &log[..usize::try_from(bytes).unwrap()]).unwrap();
        drop(fs::remove_file(beside(&cut, "-shm")));
        let jobs = look(&cut).await;
        assert!(jobs >= jobs_before, "{jobs} jobs after {jobs_before}, at frame {kept}");
        jobs_before = jobs;
    }
    assert_eq!(jobs_before, usize::try_from(JOBS).unwrap());
    store.close().await;
}

fn beside(file: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens what is left, runs it to its end, and says how many jobs it holds.
async fn look(file: &Path) -> usize {
    let store = Store::open(&Address::File(file.to_owned())).await.unwrap();
    Oracle::default().judge(&store).await;
    let jobs = store.list_jobs(&JobFilter::default(), None, 1_000).await.unwrap().jobs.len();
    store.close().await;
    jobs
}
