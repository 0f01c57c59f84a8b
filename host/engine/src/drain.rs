//! Coming to an end: nothing new is taken in, and what runs may finish for a while.

use tokio::sync::watch;

use crate::engine::{Dispatcher, Engine};
use crate::error::EngineError;

/// How far an engine is with ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It does not end.
    Working,
    /// Attempts may finish, and nothing else begins.
    Draining,
    /// Attempts are stopped.
    Hurrying,
    /// Nothing runs any more.
    Drained,
}

/// How far an engine is with ending, for all who wait for it.
pub(crate) struct Drain(watch::Sender<Stage>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Working))
    }
}

impl Drain {
    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let is_further = stage > *now;
            *now = stage.max(*now);
            is_further
        });
    }

    /// Whether nothing new is taken in.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow() > Stage::Working
    }

    /// Done when attempts must not go on.
    pub(crate) async fn hurried(&self) {
        self.reached(Stage::Hurrying).await;
    }

    /// Done when nothing runs any more.
    pub(crate) async fn over(&self) {
        self.reached(Stage::Drained).await;
    }

    async fn reached(&self, stage: Stage) {
        // The sender is there as long as this waits.
        drop(self.0.subscribe().wait_for(|now| *now >= stage).await);
    }
}

impl Engine {
    /// Takes no more jobs in, hands no more tasks out, and waits until the attempts that run have
    /// ended. Those that have not after [`Settings::grace`](crate::Settings::grace), or when the end
    /// is [hurried](Engine::hurry), are stopped, and their tasks are given back.
    ///
    /// Everything else goes on: what there is can be read.
    pub async fn drain(&self) {
        self.drain.advance(Stage::Draining);
        if let Some(dispatcher) = self.dispatcher.lock().await.take() {
            let Dispatcher { stop, running, mut background } = dispatcher;
            stop.notify_one();
            if let Err(error) = running.await {
                tracing::error!(%error, "the dispatcher did not end well");
            }
            background.shutdown().await;
            self.breakers.store_moves().await;
        }
        self.drain.advance(Stage::Drained);
    }

    /// Stops the attempts that still run while the engine [drains](Engine::drain).
    pub fn hurry(&self) {
        self.drain.advance(Stage::Hurrying);
    }

    /// [Drains](Engine::drain) the engine, and closes the database.
    pub async fn close(&self) {
        self.drain().await;
        self.store.close().await;
        // Another host may work here from now on.
        drop(self.lock.lock().await.take());
    }

    /// Refuses new jobs once the host is about to end.
    ///
    /// # Errors
    ///
    /// [`EngineError::Draining`].
    pub(crate) fn admit_jobs(&self) -> Result<(), EngineError> {
        if self.drain.has_begun() { Err(EngineError::Draining) } else { Ok(()) }
    }
}
