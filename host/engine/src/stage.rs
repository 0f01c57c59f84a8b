//! How far an engine is with coming to an end. It ends nothing itself.

use tokio::sync::watch;

/// How far an engine is with ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
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
    /// Goes on to a stage, unless it is past it.
    pub(crate) fn advance(&self, stage: Stage) {
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
