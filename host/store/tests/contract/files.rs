//! The rows of files: uploads, and what tasks left.

use apflow_model::id::FileId;
use apflow_model::plugin::Digest;
use apflow_store::{End, NewTaskFile, NewUpload, StoreError};
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

#[tokio::test]
async fn an_upload_is_found_by_its_id_and_its_content_by_its_digest() {
    let host = Host::start().await;
    let first = host.store.add_upload(upload("a.csv"), at(1)).await.unwrap();
    let second = host.store.add_upload(upload("b.csv"), at(1)).await.unwrap();
    assert!(second.id > first.id);
    let host = host.restart().await;
    assert_eq!(host.store.find_upload(first.id).await.unwrap(), Some(first));
    assert_eq!(host.store.find_upload(FileId(7)).await.unwrap(), None);
    assert_eq!(host.store.uploaded_digests().await.unwrap(), [Digest([0xab; 32])].into());
    let third = host.store.add_upload(upload("c.csv"), at(0)).await.unwrap();
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
    let found = host.store.find_file(job.id, "a", "below/x").await.unwrap();
    assert_eq!(found.as_ref(), Some(&files[1]));
    for (task, name) in [("a", "below"), ("a", "late"), ("b", "report.csv")] {
        assert_eq!(host.store.find_file(job.id, task, name).await.unwrap(), None);
    }
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
