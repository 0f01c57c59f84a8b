//! Work that recurs while the host dispatches: a loop each, ended together.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::engine::Engine;

/// Starts every loop. They end when the set is dropped, so whatever they do must bear being cut
/// short.
pub(crate) fn start(engine: &Arc<Engine>) -> JoinSet<()> {
    let loops = JoinSet::new();
    tracing::debug!(attempts_max = engine.settings.attempts_max, "dispatching");
    loops
}

/// Does something now, and again each time that `period` has passed since it ended.
#[expect(dead_code, reason = "the first loop uses it")]
pub(crate) async fn every<W: Future<Output = ()>>(period: Duration, work: impl Fn() -> W) {
    loop {
        work().await;
        tokio::time::sleep(period).await;
    }
}
