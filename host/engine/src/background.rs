//! Work that recurs while the host dispatches: a loop each, ended together.

use std::sync::Arc;
use std::time::Duration;

use apflow_store::SessionId;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::retention;

/// Starts every loop. They end when the set is dropped, so whatever they do must bear being cut
/// short.
pub(crate) fn start(engine: &Arc<Engine>, session: SessionId) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    tracing::debug!(?session, attempts_max = engine.settings.attempts_max, "dispatching");
    let own = Arc::clone(engine);
    loops.spawn(async move { every(retention::LOOK_EVERY, || own.retain()).await });
    loops
}

/// Does something now, and again each time that `period` has passed since it ended.
pub(crate) async fn every<W: Future<Output = ()>>(period: Duration, work: impl Fn() -> W) {
    loop {
        work().await;
        tokio::time::sleep(period).await;
    }
}
