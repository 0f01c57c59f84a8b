//! Coming to an end: nothing new is taken in, and what runs may finish for a while.

use crate::engine::{Dispatcher, Engine};
use crate::error::EngineError;
use crate::stage::Stage;

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
