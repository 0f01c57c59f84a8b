//! What cost policies notify of, until it was posted.

use apflow_store::Notification;

use crate::host::{Host, at};

async fn take(host: &Host, ms: u64) -> Vec<Notification> {
    host.store.take_notifications(at(ms), at(ms + 30), 2).await.unwrap()
}

async fn notify(host: &Host, count: usize) {
    const INSERT: &str = "INSERT INTO notification (id, at, job_id, policy, webhook, body) \
                          SELECT COALESCE(max(id), 0) + 1, 5, 7, 'careful', 'http://x', '{}' \
                          FROM notification";
    for _ in 0..count {
        host.database.run(INSERT).await;
    }
}

#[tokio::test]
async fn what_was_taken_is_nobody_elses_until_its_time_and_comes_again_then() {
    let host = Host::start().await;
    assert!(take(&host, 0).await.is_empty());
    notify(&host, 3).await;
    let first = take(&host, 0).await;
    assert_eq!(first.len(), 2, "no more than was asked for");
    assert_eq!((first[0].tries, &*first[0].webhook, &*first[0].body), (1, "http://x", "{}"));
    assert_eq!(take(&host, 1).await.len(), 1, "the third");
    assert!(take(&host, 2).await.is_empty());
    // Whoever took the first two is gone.
    let host = host.restart().await;
    let again = take(&host, 30).await;
    assert_eq!(again.iter().map(|one| (one.id, one.tries)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
}

#[tokio::test]
async fn what_waits_comes_when_it_is_due_and_what_is_forgotten_never() {
    let host = Host::start().await;
    notify(&host, 2).await;
    let taken = take(&host, 0).await;
    host.store.delay_notification(taken[0].id, at(100)).await.unwrap();
    host.store.forget_notification(taken[1].id).await.unwrap();
    assert!(take(&host, 99).await.is_empty());
    let due = take(&host, 100).await;
    assert_eq!(due.iter().map(|one| one.id).collect::<Vec<_>>(), [taken[0].id]);
}
