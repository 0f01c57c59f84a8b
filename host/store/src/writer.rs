//! The single writer: many writes, one commit.
//!
//! One task owns the one connection that writes. It takes what is waiting and commits all of it at
//! once: the batch grows while the disk is busy with the one before, so no timer is needed. Nobody
//! is answered before the commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::commit;
use crate::error::StoreError;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::write::{Queued, Turn, WRITES_PER_COMMIT_MAX, Waiting, WriteGroup};

/// The most writes that wait in a lane.
const WRITES_WAITING_MAX: usize = 2_048;

/// How often to look, without being asked to write, whether the database can be written again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The way to the writer.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    /// What running work waits for. Its number is bounded by what runs, so it goes first.
    urgent: mpsc::Sender<Message>,
    /// New work, however much of it there is.
    submits: mpsc::Sender<Message>,
    trouble: watch::Receiver<Option<StoreError>>,
    metrics: Arc<Metrics>,
}

enum Message {
    Write(Box<dyn Queued>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the task that owns the connection.
    pub(crate) fn start(link: Link) -> Self {
        let (urgent, first) = mpsc::channel(WRITES_WAITING_MAX);
        let (submits, second) = mpsc::channel(WRITES_WAITING_MAX);
        let (told, trouble) = watch::channel(None);
        let lanes = Lanes { urgent: first, submits: second };
        let metrics = Arc::<Metrics>::default();
        tokio::spawn(run(link, lanes, told, Arc::clone(&metrics)));
        Self { urgent, submits, trouble, metrics }
    }

    /// Applies a write and answers once it is durable.
    ///
    /// New work is refused when its lane is full: whoever sends it can wait better than the host.
    /// What running work waits for is not: it waits for room.
    pub(crate) async fn write<W: WriteGroup>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Write(Box::new(Waiting::new(write, reply)));
        if W::TURN == Turn::Submit {
            self.submits.try_send(message).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Closed(_) => StoreError::Closed,
            })?;
        } else {
            self.urgent.send(message).await.map_err(|_| StoreError::Closed)?;
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Why nothing can be written at present.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.trouble.borrow().clone()
    }

    /// What was counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How many writes wait, by what for: running work, and new work.
    pub(crate) fn waiting(&self) -> [(&'static str, usize); 2] {
        let waiting = |lane: &mpsc::Sender<Message>| lane.max_capacity() - lane.capacity();
        [("urgent", waiting(&self.urgent)), ("submit", waiting(&self.submits))]
    }

    /// Commits what is waiting and closes the connection.
    pub(crate) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.urgent.send(Message::Close(reply)).await.is_ok() {
            // No answer means that the writer has ended already.
            answer.await.unwrap_or_default();
        }
    }
}

/// What waits to be written.
struct Lanes {
    urgent: mpsc::Receiver<Message>,
    submits: mpsc::Receiver<Message>,
}

impl Lanes {
    /// Waits for something. None once both lanes have ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    async fn next(&mut self) -> Option<Message> {
        tokio::select! {
            biased;
            Some(message) = self.urgent.recv() => Some(message),
            Some(message) = self.submits.recv() => Some(message),
            else => None,
        }
    }

    /// Takes as much as fits into one commit with `first`.
    fn take(&mut self, first: Message) -> Vec<Message> {
        let mut taken = vec![first];
        for lane in [&mut self.urgent, &mut self.submits] {
            while taken.len() < WRITES_PER_COMMIT_MAX
                && let Ok(message) = lane.try_recv()
            {
                taken.push(message);
            }
        }
        taken
    }

    /// Takes in no more. What waits is still taken.
    fn close(&mut self) {
        self.urgent.close();
        self.submits.close();
    }
}

async fn run(
    mut link: Link,
    mut lanes: Lanes,
    told: watch::Sender<Option<StoreError>>,
    metrics: Arc<Metrics>,
) {
    let mut closing = Vec::new();
    loop {
        let is_in_trouble = told.borrow().is_some();
        let first = tokio::select! {
            first = lanes.next() => first,
            () = tokio::time::sleep(PROBE_EVERY), if is_in_trouble => {
                tell(&told, &commit::probe(&mut link).await);
                continue;
            }
        };
        let Some(first) = first else { break };
        // Whoever was just answered may ask for more. So may others that are about to run: what they
        // ask for takes part in this commit, instead of waiting for the next.
        tokio::task::yield_now().await;
        let messages = lanes.take(first);
        let mut batch = Vec::with_capacity(messages.len());
        for message in messages {
            match message {
                Message::Write(write) => batch.push(write),
                Message::Close(reply) => {
                    lanes.close();
                    closing.push(reply);
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        let begun = Instant::now();
        let committed = commit::commit(&mut link, &mut batch).await;
        metrics.committed(batch.len(), begun.elapsed(), committed.is_ok());
        tell(&told, &committed);
        for write in batch {
            write.answer(committed.as_ref().err());
        }
    }
    link.close().await;
    for reply in closing {
        reply.send(()).unwrap_or_default();
    }
}

/// Says whether the database can be written, when that has changed.
fn tell(told: &watch::Sender<Option<StoreError>>, result: &Result<(), StoreError>) {
    let trouble = result.as_ref().err().filter(|error| error.is_temporary());
    let had_trouble = told.borrow().is_some();
    match trouble {
        Some(error) if !had_trouble => tracing::error!(%error, "nothing can be written"),
        None if had_trouble => tracing::info!("the database can be written again"),
        Some(_) | None => return,
    }
    told.send_replace(trouble.cloned());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use apflow_model::clock::Timestamp;
    use tokio::task::JoinSet;

    use super::*;
    use crate::address::Address;
    use crate::connection::{Connection, query};
    use crate::store::Store;
    use crate::write::{Answers, Write};

    async fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        (folder, Store::open(&address).await.unwrap())
    }

    /// A statement as a write.
    struct Run(&'static str);

    impl Write for Run {
        type Output = ();

        async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
            query(self.0).execute(connection).await?;
            Ok(())
        }
    }

    /// More than fits into the pages that there are.
    const FILL: &str = "INSERT INTO plugin (name, version, digest, world, manifest, descriptor, \
                        builtin, loaded_at) \
                        VALUES (hex(randomblob(100000)), '', '', '', '', '', FALSE, 0)";

    #[tokio::test]
    async fn a_full_disk_fails_what_is_in_flight_and_passes_by_itself() {
        let (_folder, store) = open().await;
        let (now, lease) = (Timestamp::from_unix_ms(1), Duration::from_secs(15));
        store.open_session("test".to_owned(), now, lease).await.unwrap();
        store.write(Run("PRAGMA max_page_count = 1")).await.unwrap();
        let (first, second) = tokio::join!(store.write(Run(FILL)), store.write(Run(FILL)));
        for full in [first, second] {
            assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
        }
        assert!(matches!(store.trouble(), Some(StoreError::Unavailable(_))));
        assert!(store.list_plugins().await.unwrap().is_empty(), "it can be read all the same");
        // What fits is still written, and says that the disk has room again.
        store.write(Run("PRAGMA max_page_count = 100000")).await.unwrap();
        assert!(store.trouble().is_none());
        store.write(Run(FILL)).await.unwrap();
    }

    #[tokio::test]
    async fn the_database_is_looked_at_while_nobody_writes() {
        let (_folder, store) = open().await;
        let mut trouble = store.writer().trouble.clone();
        store.write(Run("PRAGMA max_page_count = 1")).await.unwrap();
        store.write(Run(FILL)).await.unwrap_err();
        assert!(trouble.borrow_and_update().is_some());
        trouble.changed().await.unwrap();
        assert!(trouble.borrow().is_none());
    }

    /// A write that fails when it is the seventh.
    struct Nth(u32);

    static APPLIED: AtomicU32 = AtomicU32::new(0);

    impl WriteGroup for Nth {
        type Output = u32;

        const TURN: Turn = Turn::Other;

        async fn apply_group(
            writes: &[Self],
            connection: &mut Connection<'_>,
        ) -> Result<Answers<u32>, StoreError> {
            APPLIED.fetch_add(1, Ordering::Relaxed);
            if writes.iter().any(|write| write.0 == 7) {
                query("SELECT no FROM nowhere").execute(connection).await?;
            }
            Ok(writes.iter().map(|write| Ok(write.0)).collect())
        }
    }

    /// On one thread, all of these are queued before the writer takes the first.
    #[tokio::test(flavor = "current_thread")]
    async fn a_group_is_halved_until_what_fails_is_alone() {
        let (_folder, store) = open().await;
        let mut writes = JoinSet::new();
        for n in 0..64 {
            let store = store.clone();
            writes.spawn(async move {
                let written = store.write(Nth(n)).await;
                match n {
                    7 => assert!(matches!(written, Err(StoreError::Database(_)))),
                    n => assert_eq!(written.unwrap(), n),
                }
            });
        }
        writes.join_all().await;
        // All of them once, and then the 64, and both halves of what fails down to one.
        assert_eq!(APPLIED.load(Ordering::Relaxed), 1 + 1 + 2 * 6);
    }
}
