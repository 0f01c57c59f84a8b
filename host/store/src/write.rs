//! What a change of the database is, and when in a commit its turn comes.
//!
//! It makes no transaction: `commit` does.

use std::any::{Any, TypeId};
use std::pin::Pin;

use apflow_model::audit::Record;
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::error::StoreError;
use crate::pace::WRITES_MAX;

/// What each write of a group answers.
pub(crate) type Answers<T> = Vec<Result<T, StoreError>>;

/// When the writes of one commit are made. Always in this order, whoever asked first, so that like
/// writes are made together: what an attempt said comes before its end, what calls used before what
/// the next set aside, and a claim after all that may make tasks ready. What is over goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    Session,
    Events,
    Checkpoint,
    Breaker,
    Settle,
    Cancel,
    Release,
    Other,
    Charge,
    Reserve,
    Submit,
    Claim,
    Audit,
    Purge,
}

impl Turn {
    /// Whether it may make work ready, cancel something or end a job, which other processes may
    /// wait for.
    pub(crate) const fn is_news(self) -> bool {
        match self {
            Self::Session
            | Self::Events
            | Self::Checkpoint
            | Self::Charge
            | Self::Reserve
            | Self::Claim
            | Self::Audit
            | Self::Purge => false,
            Self::Breaker
            | Self::Settle
            | Self::Cancel
            | Self::Release
            | Self::Other
            | Self::Submit => true,
        }
    }
}

/// One change of the database, applied whole or not at all.
pub(crate) trait Write: Send + Sync + 'static {
    /// What it answers once it is durable.
    type Output: Send + 'static;

    /// When it is made.
    const TURN: Turn = Turn::Other;

    /// Whether it changed anything, so that there is something to record. It is asked of what was
    /// applied.
    fn is_change(_: &Self::Output) -> bool {
        true
    }

    /// Whether a change that answered this may have made work ready, or due at some moment.
    fn makes_work(_: &Self::Output) -> bool {
        Self::TURN.is_news()
    }

    /// Whether it is on the disk once it is answered. Else it outlives a crash of the process all the
    /// same, and the loss of power from the next synced commit on.
    fn is_synced(&self) -> bool {
        true
    }

    /// Makes the change within the writer's transaction. An error undoes it; one that
    /// [is a refusal](StoreError::is_refusal) comes before anything was changed.
    fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// Changes of one kind, made together by the same statements: what is written most often.
pub(crate) trait WriteGroup: Send + Sync + Sized + 'static {
    /// What each answers once it is durable.
    type Output: Send + 'static;

    /// When they are made.
    const TURN: Turn;

    /// The most writes that are applied together.
    const WRITES_PER_GROUP_MAX: usize = WRITES_MAX;

    /// As [`Write::is_change`].
    fn is_change(_: &Self::Output) -> bool {
        true
    }

    /// Whether a change that answered this may have made work ready, or due at some moment.
    fn makes_work(_: &Self::Output) -> bool {
        Self::TURN.is_news()
    }

    /// As [`Write::is_synced`].
    fn is_synced(&self) -> bool {
        true
    }

    /// What is recorded with it, besides itself.
    fn records(&self) -> &[Record] {
        &[]
    }

    /// Makes the changes within the writer's transaction.
    ///
    /// A write that is refused before it changed anything has its own answer; the others count. An
    /// error of the whole undoes all of them, and each half is tried again.
    fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> impl Future<Output = Result<Answers<Self::Output>, StoreError>> + Send;
}

impl<W: Write> WriteGroup for W {
    type Output = W::Output;

    const TURN: Turn = W::TURN;

    const WRITES_PER_GROUP_MAX: usize = 1;

    fn is_change(output: &W::Output) -> bool {
        W::is_change(output)
    }

    fn makes_work(output: &Self::Output) -> bool {
        W::makes_work(output)
    }

    fn is_synced(&self) -> bool {
        Write::is_synced(self)
    }

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<Self::Output>, StoreError> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            match write.apply(connection).await {
                Err(error) if !error.is_refusal() => return Err(error),
                answer => answers.push(answer),
            }
        }
        Ok(answers)
    }
}

/// Whether it was applied.
pub(crate) type Applied<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// A [`WriteGroup`] whose type is forgotten.
pub(crate) trait Queued: Any + Send {
    /// When it is made.
    fn turn(&self) -> Turn;

    /// How many of this kind are applied together at most.
    fn group_max(&self) -> usize;

    /// Whether it must be on the disk before it is answered.
    fn is_synced(&self) -> bool;

    /// Applies it together with `others`, which are of its kind, and keeps the answers.
    fn apply<'a>(
        &'a mut self,
        others: &'a mut [Box<dyn Queued>],
        connection: &'a mut Connection<'_>,
    ) -> Applied<'a>;

    /// What is recorded in the same commit, once it was applied and has changed anything.
    fn records(&self) -> Vec<&Record>;

    /// Whether it was applied, and may have made work ready.
    fn made_work(&self) -> bool;

    /// Whether it was applied, or tried to be.
    fn was_tried(&self) -> bool;

    /// Forgets that it was tried.
    fn forget(&mut self);

    /// Answers: with `failure` when there is one, else with what was kept.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

/// The kind of a write: only like ones are applied together.
pub(crate) fn kind_of(write: &dyn Queued) -> TypeId {
    let write: &dyn Any = write;
    write.type_id()
}

/// What became of a write.
pub(crate) struct Written<T> {
    pub(crate) outcome: Result<T, StoreError>,
    /// Whether it was recorded.
    pub(crate) is_recorded: bool,
}

/// A write, and who waits for it.
pub(crate) struct Waiting<W: WriteGroup> {
    /// Kept until it is durable, so that it can be tried again.
    write: Option<W>,
    outcome: Option<Result<W::Output, StoreError>>,
    record: Option<Record>,
    reply: oneshot::Sender<Written<W::Output>>,
}

impl<W: WriteGroup> Waiting<W> {
    pub(crate) fn new(
        write: W,
        record: Option<Record>,
        reply: oneshot::Sender<Written<W::Output>>,
    ) -> Self {
        Self { write: Some(write), outcome: None, record, reply }
    }

    /// Whether it was applied, and changed anything.
    fn is_change(&self) -> bool {
        matches!(&self.outcome, Some(Ok(output)) if W::is_change(output))
    }
}

impl<W: WriteGroup> Queued for Waiting<W> {
    fn turn(&self) -> Turn {
        W::TURN
    }

    fn group_max(&self) -> usize {
        W::WRITES_PER_GROUP_MAX
    }

    fn is_synced(&self) -> bool {
        self.write.as_ref().is_none_or(W::is_synced)
    }

    fn apply<'a>(
        &'a mut self,
        others: &'a mut [Box<dyn Queued>],
        connection: &'a mut Connection<'_>,
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
                    Ok(())
                }
                Err(error) => {
                    for waiting in group {
                        waiting.outcome = Some(Err(error.clone()));
                    }
                    Err(error)
                }
            }
        })
    }

    fn records(&self) -> Vec<&Record> {
        if !self.is_change() {
            return Vec::new();
        }
        let own = self.write.as_ref().map(W::records).unwrap_or_default();
        self.record.iter().chain(own).collect()
    }

    fn made_work(&self) -> bool {
        matches!(&self.outcome, Some(Ok(output)) if W::makes_work(output))
    }

    fn was_tried(&self) -> bool {
        self.outcome.is_some()
    }

    fn forget(&mut self) {
        self.outcome = None;
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let is_recorded = failure.is_none() && self.record.is_some() && self.is_change();
        let outcome = match (failure, self.outcome) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(StoreError::Closed),
        };
        if self.reply.send(Written { outcome, is_recorded }).is_err() {
            tracing::debug!("nobody waits for the answer of a write");
        }
    }
}
