//! Hints between the processes of one server: look again, something has changed.
//!
//! A hint may be lost, come late or be about nothing: looking again now and then is the truth. A
//! file has no hints, since one process alone runs its tasks.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::Either;
use crate::dialect::HINT_CHANNEL;
use crate::hearing::Hearing;
use crate::store::Store;

/// The least time between two hints that one listener is given, however many came.
const GAP: Duration = Duration::from_millis(20);

/// How long to wait before listening again after a connection could not be made.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Tells when another process of the same database may have made work ready, cancelled something
/// or ended a job.
#[derive(Debug, Clone)]
pub struct Hints {
    count: watch::Receiver<u64>,
    last: Option<Instant>,
}

impl Hints {
    /// Waits for the next hint. What came since the last one is one hint; at most one is given
    /// every 20 ms. On a file it waits for ever.
    ///
    /// # Cancel safety
    ///
    /// Safe: a hint that was not returned is returned by the next call.
    pub async fn next(&mut self) {
        if let Some(last) = self.last {
            tokio::time::sleep_until(last + GAP).await;
        }
        if self.count.changed().await.is_err() {
            // The store is gone, and nobody gives hints any more.
            std::future::pending::<()>().await;
        }
        self.last = Some(Instant::now());
    }
}

impl Store {
    /// Listens to the other processes of the same database, from now on.
    pub fn hints(&self) -> Hints {
        if let Either::Postgres(pool) = self.readers() {
            let hearing = self.hearing();
            hearing.once(|| drop(tokio::spawn(listen(pool.clone(), Arc::clone(hearing)))));
        }
        Hints { count: self.hearing().subscribe(), last: None }
    }
}

/// Listens until the pool is closed.
async fn listen(pool: PgPool, hearing: Arc<Hearing>) {
    loop {
        let Err(error) = hear(&pool, &hearing).await;
        if matches!(error, sqlx::Error::PoolClosed) {
            return;
        }
        tracing::debug!(%error, "hints of other processes are missed for a moment");
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn hear(pool: &PgPool, hearing: &Hearing) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(HINT_CHANNEL).await?;
    // Whatever was said before was missed.
    hearing.tell();
    loop {
        let heard = listener.try_recv().await?;
        // None: the connection was lost and made again.
        if heard.is_none_or(|hint| hint.payload() != hearing.own) {
            hearing.tell();
        }
    }
}
