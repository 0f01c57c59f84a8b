//! The rows of files: uploads, and what tasks left.

use apflow_model::file::{Quota, Upload};
use apflow_model::id::FileId;
use apflow_model::plugin::Digest;
use apflow_store::{End, NewTaskFile, NewUpload, Removal, Room, StoreError};
use serde_json::json;

use crate::host::{Host, at, forest, retryable};

fn left(names: &[&str]) -> End {
    let file = |name: &&str| NewTaskFile { name: (*name).to_owned(), size: name.len() as u64 };
    End::Completed { output: json!(1), files: names.iter().map(file).collect() }
}

fn upload(name: &str) -> NewUpload {
    let (name, principal) = (name.to_owned(), "ada".to_owned());
    NewUpload { name, size: 7, sha256: Digest([0xab; 32]), principal }
}

async fn add(host: &Host, new: NewUpload, ms: u64) -> Upload {
    let room = host.store.name_room(at(ms));
    host.store.add_uploads(room, vec![new], at(ms)).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_upload_is_found_by_its_id_and_its_content_by_its_digest() {
    let host = Host::start().await;
    let first = add(&host, upload("a.csv"), 1).await;
    let second = add(&host, upload("b.csv"), 1).await;
    assert!(second.id > first.id);
    let host = host.restart().await;
    assert_eq!(host.store.find_upload(first.id).await.unwrap(), Some(first));
    assert_eq!(host.store.find_upload(FileId(7)).await.unwrap(), None);
    assert_eq!(host.store.uploaded_digests().await.unwrap(), [Digest([0xab; 32])].into());
    let third = add(&host, upload("c.csv"), 0).await;
    assert!(third.id > second.id, "although the clock went back over a restart");
}

#[tokio::test]
async fn a_completed_task_leaves_its_files_and_no_other_does() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[])])).await;
    let (a, b) = (host.claim_one(1).await, host.claim_one(1).await);
    host.settle(&a, 2, left(&["report.csv", "below/x"])).await;
    host.settle(&b, 2, End::Retry { fault: retryable("again"), run_at: at(9) }).await;
    let late = host.try_settle(&a, 3, left(&["late"])).await;
    assert!(matches!(late, Err(StoreError::AttemptLost)), "{late:?}");
    let files = host.store.list_files(job.id, None, 10).await.unwrap().files;
    let names: Vec<_> = files.iter().map(|file| (file.task.as_str(), file.name.as_str())).collect();
    assert_eq!(names, [("a", "report.csv"), ("a", "below/x")]);
    assert_eq!(host.store.tasks_with_files().await.unwrap(), [a.task].into());
    let found = host.store.find_file(job.id, Some("a"), "below/x").await.unwrap();
    assert_eq!(found.as_ref(), Some(&files[1]));
    for (task, name) in [("a", "below"), ("a", "late"), ("b", "report.csv")] {
        assert_eq!(host.store.find_file(job.id, Some(task), name).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_file_of_a_single_task_is_found_without_it() {
    let host = Host::start().await;
    let job = host.submit(forest(&[("a", &[]), ("b", &[])])).await;
    let (a, b) = (host.claim_one(1).await, host.claim_one(1).await);
    host.settle(&a, 2, left(&["only", "both"])).await;
    let found = async |name: &str| {
        let found = host.store.find_file(job.id, None, name).await.unwrap();
        found.map(|file| file.task)
    };
    assert_eq!(found("both").await.as_deref(), Some("a"));
    host.settle(&b, 3, left(&["both", "other"])).await;
    assert_eq!((found("both").await, found("late").await), (None, None));
    assert_eq!(found("only").await.as_deref(), Some("a"));
    assert_eq!(found("other").await.as_deref(), Some("b"));
}

#[tokio::test]
async fn files_are_listed_page_by_page() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x"})).await;
    host.submit(json!({"executor": "x"})).await;
    host.settle(&host.claim_one(1).await, 2, left(&["a", "b", "c"])).await;
    host.settle(&host.claim_one(1).await, 2, left(&["of another job"])).await;
    let first = host.store.list_files(job.id, None, 2).await.unwrap();
    assert_eq!((first.files.len(), first.next.is_some()), (2, true));
    let second = host.store.list_files(job.id, first.next, 2).await.unwrap();
    assert_eq!((second.files[0].name.as_str(), second.files.len()), ("c", 1));
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn dependencies_that_left_files_are_found() {
    let host = Host::start().await;
    let tasks = forest(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]);
    host.submit(tasks).await;
    let (a, b) = (host.claim_one(1).await, host.claim_one(1).await);
    host.settle(&a, 2, left(&["x"])).await;
    host.settle(&b, 2, left(&[])).await;
    let c = host.claim_one(3).await;
    let found = host.store.dependencies_with_files(c.task).await.unwrap();
    assert_eq!(found, [(a.task, "a".to_owned())]);
    assert_eq!(host.store.dependencies_with_files(a.task).await.unwrap(), []);
}

const QUOTA: Quota = Quota { files_max: 4, bytes_max: 100 };

/// Asks for room for files of ada's that have this many bytes, and would like 1000.
async fn ask(host: &Host, id: FileId, files: u64, bytes: u64, ms: u64) -> Result<u64, StoreError> {
    let (principal, expires_at) = ("ada".to_owned(), at(ms + 10));
    let room = Room { id, principal, files, bytes, bytes_wanted: 1_000, expires_at };
    host.store.keep_room(room, QUOTA, at(ms)).await
}

#[tokio::test]
async fn uploads_that_come_in_together_cannot_overrun_a_quota() {
    let host = Host::start().await;
    add(&host, upload("a"), 0).await;
    let (one, other) = (host.store.name_room(at(1)), host.store.name_room(at(1)));
    assert_eq!(ask(&host, one, 1, 20, 1).await.unwrap(), 93, "7 bytes are there");
    let refused = ask(&host, other, 1, 1, 1).await.unwrap_err();
    let StoreError::QuotaExceeded { files, bytes, quota } = refused else { panic!("{refused}") };
    assert_eq!((files, bytes, quota), (2, 100, QUOTA));
    // Room that was kept grows, and does not count against itself.
    assert_eq!(ask(&host, one, 3, 93, 1).await.unwrap(), 93);
    assert!(ask(&host, one, 4, 93, 1).await.is_err(), "too many files");
    assert!(ask(&host, one, 3, 94, 1).await.is_err(), "too many bytes");
    host.store.give_room_back(one).await.unwrap();
    assert_eq!(ask(&host, other, 3, 0, 1).await.unwrap(), 93);
    // The rows take the place of the room.
    let new = vec![upload("b"), upload("c")];
    assert_eq!(host.store.add_uploads(other, new, at(1)).await.unwrap().len(), 2);
    assert_eq!(ask(&host, one, 1, 79, 1).await.unwrap(), 79);
    assert!(ask(&host, other, 0, 1, 1).await.is_err());
}

#[tokio::test]
async fn room_of_an_upload_that_never_ended_is_given_back() {
    let host = Host::start().await;
    let (one, other) = (host.store.name_room(at(1)), host.store.name_room(at(1)));
    ask(&host, one, 1, 100, 0).await.unwrap();
    assert!(ask(&host, other, 1, 1, 9).await.is_err());
    assert_eq!(ask(&host, other, 1, 1, 10).await.unwrap(), 100);
}

#[tokio::test]
async fn uploads_are_listed_newest_first_by_whom_they_are() {
    let host = Host::start().await;
    let mut all = Vec::new();
    for (ms, name) in (1..).zip(["a", "b", "c", "d"]) {
        let principal = if name == "c" { "bob" } else { "ada" }.to_owned();
        all.push(add(&host, NewUpload { principal, ..upload(name) }, ms).await);
    }
    let list = async |principal, before, limit| {
        let page = host.store.list_uploads(principal, before, limit).await.unwrap();
        let names: String = page.uploads.into_iter().map(|upload| upload.name).collect();
        (names, page.next)
    };
    assert_eq!(list(None, None, 9).await, ("dcba".to_owned(), None));
    assert_eq!(list(Some("bob"), None, 9).await, ("c".to_owned(), None));
    assert_eq!(list(Some("eve"), None, 9).await, (String::new(), None));
    let (names, next) = list(Some("ada"), None, 2).await;
    assert_eq!((names.as_str(), next), ("db", Some(all[1].id)));
    assert_eq!(list(Some("ada"), next, 2).await, ("a".to_owned(), None));
}

#[tokio::test]
async fn an_upload_is_removed_unless_an_open_job_names_it() {
    let host = Host::start().await;
    let (one, same) = (add(&host, upload("a"), 1).await, add(&host, upload("b"), 1).await);
    let job = json!({"executor": "x", "inputs": {"file": {"$file": one.id}}});
    host.submit(job).await;
    let remove = async |id| host.store.remove_upload(id).await.unwrap();
    assert_eq!(remove(one.id).await, Removal::InUse);
    assert_eq!(remove(same.id).await, Removal::Removed(None), "another has the same bytes");
    assert_eq!(remove(same.id).await, Removal::Unknown);
    host.settle(&host.claim_one(1).await, 2, left(&[])).await;
    assert_eq!(remove(one.id).await, Removal::Removed(Some(one.sha256)));
    assert_eq!(host.store.find_upload(one.id).await.unwrap(), None);
}
