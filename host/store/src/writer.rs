//! The single writer: many writes, one commit.
//!
//! One task owns the one connection that writes. It takes what is waiting, applies each group of
//! like writes under its own savepoint, and commits all of them at once: the batch grows while the
//! disk is busy with the one before, so no timer is needed. Nobody is answered before the commit.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::sync::Arc;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;

/// The most writes that wait. Whoever asks for more waits for room in the queue.
const WRITES_WAITING_MAX: usize = 2_048;

/// The most writes in one commit.
const WRITES_PER_COMMIT_MAX: usize = 1_024;

/// What each write of a group answers.
pub(crate) type Answers<T> = Vec<Result<T, StoreError>>;

/// One change of the database, applied whole or not at all.
pub(crate) trait Write: Send + Sync + 'static {
    /// What it answers once it is durable.
    type Output: Send + 'static;

    /// Makes the change within the writer's transaction. An error undoes it.
    fn apply(
        &self,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// Changes of one kind, made together by the same statements: what is written most often.
pub(crate) trait WriteGroup: Send + Sync + Sized + 'static {
    /// What each answers once it is durable.
    type Output: Send + 'static;

    /// The most writes that are applied together.
    const WRITES_PER_GROUP_MAX: usize = WRITES_PER_COMMIT_MAX;

    /// Makes the changes within the writer's transaction.
    ///
    /// A write that is refused before it changed anything has its own answer; the others count. An
    /// error of the whole undoes all of them, and each is tried again alone.
    fn apply_group(
        writes: &[Self],
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Answers<Self::Output>, StoreError>> + Send;
}

impl<W: Write> WriteGroup for W {
    type Output = W::Output;

    const WRITES_PER_GROUP_MAX: usize = 1;

    async fn apply_group(
        writes: &[Self],
        connection: &mut SqliteConnection,
    ) -> Result<Answers<Self::Output>, StoreError> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(Ok(write.apply(&mut *connection).await?));
        }
        Ok(answers)
    }
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
    pub(crate) async fn write<W: WriteGroup>(&self, write: W) -> Result<W::Output, StoreError> {
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

type Applied<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// A [`WriteGroup`] whose type is forgotten.
trait Queued: Any + Send {
    /// How many of this kind are applied together at most.
    fn group_max(&self) -> usize;

    /// Applies it together with `others`, which are of its kind, and keeps the answers.
    ///
    /// Returns false when nothing of it counts.
    fn apply<'a>(
        &'a mut self,
        others: &'a mut [Box<dyn Queued>],
        connection: &'a mut SqliteConnection,
    ) -> Applied<'a>;

    /// Answers: with `failure` when there is one, else with what was kept.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

struct Waiting<W: WriteGroup> {
    /// Kept until the answer is good, so that it can be tried again.
    write: Option<W>,
    outcome: Option<Result<W::Output, StoreError>>,
    reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: WriteGroup> Queued for Waiting<W> {
    fn group_max(&self) -> usize {
        W::WRITES_PER_GROUP_MAX
    }

    fn apply<'a>(
        &'a mut self,
        others: &'a mut [Box<dyn Queued>],
        connection: &'a mut SqliteConnection,
    ) -> Applied<'a> {
        Box::pin(async move {
            let others = others.iter_mut().filter_map(|other| {
                let other: &mut dyn Any = other.as_mut();
                other.downcast_mut::<Self>()
            });
            let mut group: Vec<&mut Self> = std::iter::once(self).chain(others).collect();
            let writes: Vec<W> =
                group.iter_mut().filter_map(|waiting| waiting.write.take()).collect();
            let applied = W::apply_group(&writes, connection).await;
            for (waiting, write) in group.iter_mut().zip(writes) {
                waiting.write = Some(write);
            }
            match applied {
                Ok(answers) => {
                    for (waiting, answer) in group.into_iter().zip(answers) {
                        waiting.outcome = Some(answer);
                    }
                    true
                }
                Err(error) => {
                    for waiting in group {
                        waiting.outcome = Some(Err(error.clone()));
                    }
                    false
                }
            }
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
            // Fails when the database has rolled back by itself, as it does when the disk is full.
            if let Err(error) = execute(connection, "ROLLBACK").await {
                tracing::debug!(%error, "there was nothing to roll back");
            }
            // Every waiting caller hears of it, and one of them logs it as an error.
            tracing::debug!(%error, writes = batch.len(), "a commit failed");
            Some(StoreError::Database(Arc::new(error)))
        }
    };
    for write in batch {
        write.answer(failure.as_ref());
    }
}

async fn apply_all(
    connection: &mut SqliteConnection,
    mut batch: &mut [Box<dyn Queued>],
) -> Result<(), sqlx::Error> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    while let Some(first) = batch.first() {
        let max = first.group_max().max(1);
        let kind = kind_of(first.as_ref());
        let like = batch.iter().take(max).take_while(|write| kind_of(write.as_ref()) == kind);
        let (group, rest) = batch.split_at_mut(like.count());
        if !apply_group(connection, group).await? && group.len() > 1 {
            for alone in group {
                apply_group(connection, std::slice::from_mut(alone)).await?;
            }
        }
        batch = rest;
    }
    execute(connection, "COMMIT").await
}

/// Applies like writes under one savepoint. Returns false when all of it was undone.
async fn apply_group(
    connection: &mut SqliteConnection,
    group: &mut [Box<dyn Queued>],
) -> Result<bool, sqlx::Error> {
    let Some((first, others)) = group.split_first_mut() else { return Ok(true) };
    execute(connection, "SAVEPOINT one_group").await?;
    let is_good = first.apply(others, connection).await;
    if !is_good {
        execute(connection, "ROLLBACK TO one_group").await?;
    }
    execute(connection, "RELEASE one_group").await?;
    Ok(is_good)
}

fn kind_of(write: &dyn Queued) -> TypeId {
    let write: &dyn Any = write;
    write.type_id()
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}
