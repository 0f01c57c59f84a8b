//! Work that recurs while the host dispatches: a loop each, ended together.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::chain;
use crate::{cost_policies, notifications, retention, schedules};

/// How often to look for idempotency keys that have expired.
const FORGET_KEYS_EVERY: Duration = Duration::from_mins(1);
/// How many of them one commit forgets.
const KEYS_PER_COMMIT: u32 = 1_000;

/// How often to forget breakers that are long past.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// Starts every loop. They end when the set is dropped, so whatever they do must bear being cut
/// short.
pub(crate) fn start(engine: &Arc<Engine>) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let breakers = Arc::clone(&engine.breakers);
    loops.spawn(async move { breakers.keep().await });
    let breakers = Arc::clone(&engine.breakers);
    loops.spawn(async move { every(FORGET_EVERY, || breakers.forget()).await });
    loops.spawn(schedules::run(Arc::clone(engine)));
    let of = Arc::clone(engine);
    loops.spawn(every(FORGET_KEYS_EVERY, move || forget_keys(Arc::clone(&of))));
    let of = Arc::clone(engine);
    loops
        .spawn(async move { every(cost_policies::LOOK_EVERY, || of.follow_cost_policies()).await });
    let of = Arc::clone(engine);
    loops.spawn(async move { every(notifications::LOOK_EVERY, || of.post_notifications()).await });
    tracing::debug!(attempts_max = engine.settings.attempts_max, "dispatching");
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

async fn forget_keys(engine: Arc<Engine>) {
    loop {
        match engine.store.forget_keys(engine.now(), KEYS_PER_COMMIT).await {
            Ok(forgotten) if forgotten >= u64::from(KEYS_PER_COMMIT) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!(error = chain(&error), "expired idempotency keys stay");
                return;
            }
        }
    }
}
