//! Posts what cost policies notify of. Each is posted at least once: whoever is told knows a second
//! time by its id.

use std::sync::Arc;
use std::time::Duration;

use apflow_store::Notification;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::webhook::{Post, WebhookCall};

/// How often to look for what is to be posted.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most that are posted at once.
const AT_ONCE_MAX: u32 = 16;
/// How long a host has for one, before another posts it. Longer than a post takes.
const TURN: Duration = Duration::from_secs(30);
/// How long to wait after the first post that failed. Each further wait is twice as long.
const WAIT_BASE: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_hours(1);
/// How often one is posted at most. With the waits between, that takes about nine hours.
const TRIES_MAX: u32 = 20;

impl Engine {
    /// Posts what is due.
    pub(crate) async fn post_notifications(self: &Arc<Self>) {
        let Some(post) = self.settings.post.clone() else { return };
        while let Ok(posted) = self.post_some(&post).await.inspect_err(|error| {
            tracing::error!(error = chain(error), "notifications wait to be posted");
        }) {
            if posted < AT_ONCE_MAX {
                return;
            }
        }
    }

    /// Posts some at once. Answers how many.
    async fn post_some(self: &Arc<Self>, post: &Post) -> Result<u32, EngineError> {
        let now = self.now();
        let due = self.store.take_notifications(now, now.after(TURN), AT_ONCE_MAX).await?;
        let count = u32::try_from(due.len()).unwrap_or(AT_ONCE_MAX);
        let mut posts = JoinSet::new();
        for notification in due {
            let Notification { id, at, webhook, body, .. } = notification.clone();
            let id = format!("n_{}_{id}", at.unix_ms());
            let posting = post(WebhookCall { id, url: webhook, body });
            posts.spawn(async move { (notification, posting.await) });
        }
        while let Some(posted) = posts.join_next().await {
            let (notification, outcome) = posted?;
            self.note_post(&notification, outcome).await?;
        }
        Ok(count)
    }

    /// Notes what became of a post.
    async fn note_post(
        &self,
        notification: &Notification,
        outcome: Result<(), String>,
    ) -> Result<(), EngineError> {
        let Notification { id, job, policy, webhook, tries, .. } = notification;
        match outcome {
            Ok(()) => tracing::debug!(%job, policy, webhook, "notified"),
            Err(reason) if *tries < TRIES_MAX => {
                let wait = wait_after(*tries);
                let seconds = wait.as_secs();
                tracing::warn!(%job, policy, webhook, tries, reason, seconds, "not notified yet");
                return Ok(self.store.delay_notification(*id, self.now().after(wait)).await?);
            }
            Err(reason) => {
                tracing::error!(%job, policy, webhook, tries, reason, "given up to notify");
            }
        }
        Ok(self.store.forget_notification(*id).await?)
    }
}

/// How long to wait after so many posts that failed, from 1.
fn wait_after(tries: u32) -> Duration {
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    WAIT_BASE.saturating_mul(doubled).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let seconds = |tries| wait_after(tries).as_secs();
        assert_eq!([1, 2, 3, 12, 13, 40].map(seconds), [1, 2, 4, 2_048, 3_600, 3_600]);
        let all: Duration = (1..TRIES_MAX).map(wait_after).sum();
        assert_eq!(all.as_secs() / 3_600, 8);
    }
}
