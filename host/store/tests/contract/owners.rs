//! Who submitted what, and in which role.

use apflow_model::id::{JobId, TaskId};
use apflow_store::NewJob;
use serde_json::json;

use crate::host::{Host, at, spec};

#[tokio::test]
async fn a_job_and_its_tasks_belong_to_who_submitted_it_in_the_role_they_had() {
    let host = Host::start().await;
    let mut spec = spec(json!({"executor": "ls"}));
    spec.role = Some("agent".into());
    let new = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
    let job = host.store.submit(new, at(0)).await.unwrap();
    let owner = Some("ada".to_owned());
    assert_eq!(host.store.owner_of_job(job.id).await.unwrap(), owner);
    assert_eq!(host.store.owner_of_task(job.tasks[0].id).await.unwrap(), owner);
    assert_eq!(host.store.role_of_job(job.id).await.unwrap(), Some("agent".to_owned()));
}

#[tokio::test]
async fn what_is_not_there_or_was_removed_belongs_to_nobody() {
    let host = Host::start().await;
    assert_eq!(host.store.owner_of_job(JobId(1)).await.unwrap(), None);
    assert_eq!(host.store.owner_of_task(TaskId(1)).await.unwrap(), None);
    let job = host.submit(json!({"executor": "ls"})).await;
    assert_eq!(host.store.role_of_job(job.id).await.unwrap(), Some("admin".to_owned()));
    host.store.cancel_job(job.id, at(1)).await.unwrap();
    host.store.purge_job(job.id, at(2)).await.unwrap();
    assert_eq!(host.store.owner_of_job(job.id).await.unwrap(), None);
    assert_eq!(host.store.owner_of_task(job.tasks[0].id).await.unwrap(), None);
}
