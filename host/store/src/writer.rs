//! The single writer: many writes, one commit.
//!
//! One task owns the one connection that writes. It takes what is waiting and commits all of it at
//! once: the batch grows while the disk is busy with the one before, so no timer is needed. Nobody
//! is answered before the commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::chain;
use crate::commit;
use crate::error::StoreError;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::standing::{Places, Rouser, Standing};
use crate::write::{Queued, Turn, Waiting, WriteGroup, Written};

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
    rouser: Arc<Rouser>,
    trouble: watch::Receiver<Option<StoreError>>,
    metrics: Arc<Metrics>,
}

enum Message {
    Write(Box<dyn Queued>),
    Stand(Standing),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the task that owns the connection.
    pub(crate) fn start(link: Link) -> Self {
        let (urgent, first) = mpsc::channel(WRITES_WAITING_MAX);
        let (submits, second) = mpsc::channel(WRITES_WAITING_MAX);
        let (told, trouble) = watch::channel(None);
        let lanes = Lanes { urgent: first, submits: second };
        let (rouser, metrics) = (Arc::<Rouser>::default(), Arc::<Metrics>::default());
        tokio::spawn(run(link, lanes, (Arc::clone(&rouser), Arc::clone(&metrics)), told));
        Self { urgent, submits, rouser, trouble, metrics }
    }

    /// Applies a write and answers once it is durable.
    ///
    /// New work is refused when its lane is full: whoever sends it can wait better than the host.
    /// What running work waits for is not: it waits for room.
    ///
    /// What the task that asks wants recorded is recorded in the same commit.
    pub(crate) async fn write<W: WriteGroup>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let record = chain::pending();
        let message = Message::Write(Box::new(Waiting::new(write, record, reply)));
        if W::TURN == Turn::Submit {
            self.submits.try_send(message).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Closed(_) => StoreError::Closed,
            })?;
        } else {
            self.urgent.send(message).await.map_err(|_| StoreError::Closed)?;
        }
        let Written { outcome, is_recorded } = answer.await.map_err(|_| StoreError::Closed)?;
        if is_recorded {
            chain::forget_pending();
        }
        outcome
    }

    /// Lets a claim stand until it takes part in a commit, and answers once that is durable. There is
    /// one at a time: it takes the place of an earlier one, which is answered with
    /// [`StoreError::Closed`].
    pub(crate) async fn stand<W: WriteGroup>(
        &self,
        claim: W,
        places: Arc<dyn Places>,
        is_eager: bool,
    ) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let claim = Box::new(Waiting::new(claim, None, reply));
        let message = Message::Stand(Standing { claim, places, is_eager });
        self.urgent.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?.outcome
    }

    /// What makes it look at the claim that stands.
    pub(crate) fn rouser(&self) -> &Rouser {
        &self.rouser
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

    /// Takes as much as one commit may hold, with `first`. What running work waits for goes first,
    /// but leaves three quarters of it to new work that waits: else whoever submits would wait for
    /// all that runs.
    fn take(&mut self, first: Option<Message>, max: usize) -> Vec<Message> {
        let mut taken = Vec::from_iter(first);
        let urgent_max = max - self.submits.len().min(max / 4 * 3);
        for (lane, max) in [(&mut self.urgent, urgent_max), (&mut self.submits, max)] {
            while taken.len() < max
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
    (rouser, metrics): (Arc<Rouser>, Arc<Metrics>),
    told: watch::Sender<Option<StoreError>>,
) {
    let mut closing = Vec::new();
    let mut standing: Option<Standing> = None;
    // Whether a commit made something ready that no claim has looked at since.
    let mut has_news = false;
    let (mut last_line, mut pace) = (None, Pace::default());
    loop {
        let is_in_trouble = told.borrow().is_some();
        let first = tokio::select! {
            biased;
            first = lanes.next() => match first {
                Some(first) => Some(first),
                None => break,
            },
            () = rouser.bell.notified() => None,
            () = tokio::time::sleep(PROBE_EVERY), if is_in_trouble => {
                tell(&told, commit::probe(&mut link).await.as_ref().err());
                continue;
            }
        };
        // Whoever was just answered may ask for more. So may others that are about to run: what they
        // ask for takes part in this commit, instead of waiting for the next.
        tokio::task::yield_now().await;
        let mut batch = Vec::new();
        for message in lanes.take(first, pace.writes_max()) {
            match message {
                Message::Write(write) => batch.push(write),
                Message::Stand(next) => {
                    standing = Some(Standing { is_eager: next.is_eager || has_news, ..next });
                    has_news = false;
                }
                Message::Close(reply) => {
                    lanes.close();
                    closing.push(reply);
                }
            }
        }
        let mut claim = standing.take();
        let is_due = claim.as_ref().is_some_and(|claim| claim.is_due(rouser.take_force()));
        if batch.is_empty() && !is_due {
            standing = claim;
            continue;
        }
        let begun = Instant::now();
        let standing_claim = claim.as_mut();
        let committed =
            commit::commit(&mut link, &mut batch, standing_claim, is_due, &mut last_line).await;
        metrics.committed(batch.len(), begun.elapsed(), committed.is_ok());
        pace.learn(batch.len(), begun.elapsed());
        let failure = committed.as_ref().err();
        tell(&told, failure);
        for write in batch {
            write.answer(failure);
        }
        let is_news = committed.as_ref().is_ok_and(|has_news| *has_news);
        match claim {
            None => has_news |= is_news,
            Some(claim) if claim.claim.was_tried() => claim.claim.answer(failure),
            // Nothing was ready, or no place free: it stands on.
            Some(claim) => {
                let is_eager = claim.is_eager || is_news;
                standing = Some(Standing { is_eager, ..claim });
            }
        }
    }
    drop(standing);
    link.close().await;
    for reply in closing {
        reply.send(()).unwrap_or_default();
    }
}

/// Says whether the database can be written, when that has changed.
fn tell(told: &watch::Sender<Option<StoreError>>, failure: Option<&StoreError>) {
    let trouble = failure.filter(|error| error.is_temporary());
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

    #[tokio::test]
    async fn running_work_goes_first_and_leaves_most_of_a_commit_to_new_work() {
        let ((urgent, first), (submits, second)) = (mpsc::channel(100), mpsc::channel(100));
        let mut lanes = Lanes { urgent: first, submits: second };
        let fill = |lane: &mpsc::Sender<Message>, count| {
            for _ in 0..count {
                let write = Waiting::new(Run("SELECT 1"), None, oneshot::channel().0);
                lane.try_send(Message::Write(Box::new(write))).unwrap();
            }
        };
        fill(&urgent, 100);
        assert_eq!(lanes.take(None, 40).len(), 40);
        assert_eq!(lanes.urgent.len(), 60, "nobody submits");
        fill(&submits, 100);
        assert_eq!(lanes.take(None, 40).len(), 40);
        assert_eq!((lanes.urgent.len(), lanes.submits.len()), (50, 70));
        assert_eq!(lanes.take(None, 80).len(), 80);
        assert_eq!((lanes.urgent.len(), lanes.submits.len()), (30, 10));
        assert_eq!(lanes.take(None, 80).len(), 40);
        assert_eq!((lanes.urgent.len(), lanes.submits.len()), (0, 0));
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
