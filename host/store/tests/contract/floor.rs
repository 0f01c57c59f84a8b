//! What benchmarks measure the store against is the same work.

use apflow_model::id::JobId;
use apflow_model::state::{JobState, TaskState};
use apflow_store::Floor;
use serde_json::json;

use crate::host::{Host, at, completed};

#[tokio::test]
async fn the_floor_writes_what_a_task_leaves() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "noop_executor", "inputs": {}})).await;
    let claimed = host.claim_one(0).await;
    host.settle(&claimed, 0, completed()).await;
    let mut floor = Floor::open(&host.database.address(), host.session).await.unwrap();
    floor.write(3, at(0)).await.unwrap();
    floor.tidy().await.unwrap();
    floor.close().await;
    let (true_job, job) = (host.job(job.id).await, host.job(JobId(2)).await);
    assert_eq!((job.state, job.task_count), (JobState::Completed, 1));
    let (task, true_task) = (&job.tasks[0], &true_job.tasks[0]);
    assert_eq!((task.max_attempts, task.priority), (true_task.max_attempts, true_task.priority));
    assert_eq!(task.attempts.len(), 1);
    assert_eq!(host.history(task).await, host.history(true_task).await);
    assert_eq!(host.history(task).await.last(), Some(&TaskState::Completed));
    assert!(host.claim(1, 10).await.is_empty());
}
