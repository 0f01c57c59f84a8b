//! The single writer: many writes, one commit.
//!
//! One task owns the one connection that writes. It takes what is waiting, applies each write
//! under its own savepoint, and commits all of them at once: the batch grows while the disk is
//! busy with the one before, so no timer is needed. Nobody is answered before the commit.

use std::pin::Pin;
use std::sync::Arc;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;

/// The most writes that wait. Whoever asks for more waits for room in the queue.
const WRITES_WAITING_MAX: usize = 2_048;

/// The most writes in one commit.
const WRITES_PER_COMMIT_MAX: usize = 1_024;

/// One change of the database, applied whole or not at all.
pub(crate) trait Write: Send + 'static {
    /// What it answers once it is durable.
    type Output: Send + 'static;

    /// Makes the change within the writer's transaction.
    fn apply(
        self,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the task that owns `connection`.
    pub(crate) fn start(connection: SqliteConnection) -> Self {
        let (queue, waiting) = mpsc::channel(WRITES_WAITING_MAX);
        tokio::spawn(run(connection, waiting));
        Self { queue }
    }

    /// Applies a write and answers once it is durable.
    pub(crate) async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { write: Some(write), outcome: None, reply };
        let message = Message::Write(Box::new(waiting));
        self.queue.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits what is waiting and closes the connection.
    pub(crate) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // No answer means that the writer has ended already.
            answer.await.unwrap_or_default();
        }
    }
}

enum Message {
    Write(Box<dyn Queued>),
    Close(oneshot::Sender<()>),
}

/// A [`Write`] whose type is forgotten.
trait Queued: Send {
    /// Applies it and keeps the answer. Returns whether it is to be committed.
    fn apply<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// Answers: with `failure` when there is one, else with what was kept.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

struct Waiting<W: Write> {
    write: Option<W>,
    outcome: Option<Result<W::Output, StoreError>>,
    reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: Write> Queued for Waiting<W> {
    fn apply<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            if let Some(write) = self.write.take() {
                self.outcome = Some(write.apply(connection).await);
            }
            matches!(self.outcome, Some(Ok(_)))
        })
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let outcome = match (failure, self.outcome) {
            // A write that was refused on its own account keeps its own reason.
            (_, Some(Err(error))) => Err(error),
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(Ok(output))) => Ok(output),
            (None, None) => Err(StoreError::Closed),
        };
        if self.reply.send(outcome).is_err() {
            tracing::debug!("nobody waits for the answer of a write");
        }
    }
}

async fn run(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(WRITES_PER_COMMIT_MAX);
    while queue.recv_many(&mut messages, WRITES_PER_COMMIT_MAX).await > 0 {
        let mut batch = Vec::with_capacity(messages.len());
        let mut closing = None;
        for message in messages.drain(..) {
            match message {
                // What comes after the close is dropped, which answers `Closed`.
                Message::Write(write) if closing.is_none() => batch.push(write),
                Message::Write(_) => {}
                Message::Close(reply) => closing = Some(reply),
            }
        }
        commit(&mut connection, batch).await;
        if let Some(reply) = closing {
            queue.close();
            drop(queue);
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the database did not close cleanly");
            }
            // Whoever asked may be gone.
            reply.send(()).unwrap_or_default();
            return;
        }
    }
}

async fn commit(connection: &mut SqliteConnection, mut batch: Vec<Box<dyn Queued>>) {
    if batch.is_empty() {
        return;
    }
    let failure = match apply_all(connection, &mut batch).await {
        Ok(()) => None,
        Err(error) => {
            // Fails when SQLite has rolled back by itself, as it does when the disk is full.
            if let Err(error) = execute(connection, "ROLLBACK").await {
                tracing::debug!(%error, "there was nothing to roll back");
            }
            tracing::error!(
                error = &error as &dyn std::error::Error,
                writes = batch.len(),
                "a commit failed"
            );
            Some(StoreError::Database(Arc::new(error)))
        }
    };
    for write in batch {
        write.answer(failure.as_ref());
    }
}

async fn apply_all(
    connection: &mut SqliteConnection,
    batch: &mut [Box<dyn Queued>],
) -> Result<(), sqlx::Error> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    // A write that is alone needs no savepoint: the transaction is its own.
    if let [alone] = batch {
        let is_good = alone.apply(connection).await;
        return execute(connection, if is_good { "COMMIT" } else { "ROLLBACK" }).await;
    }
    for write in batch {
        execute(connection, "SAVEPOINT one_write").await?;
        if !write.apply(connection).await {
            execute(connection, "ROLLBACK TO one_write").await?;
        }
        execute(connection, "RELEASE one_write").await?;
    }
    execute(connection, "COMMIT").await
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}
