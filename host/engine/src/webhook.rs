//! How the host posts to webhooks: whoever makes the engine says.

use std::pin::Pin;
use std::sync::Arc;

/// Something to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookCall {
    /// What it is known by, each time that it is posted.
    pub id: String,
    /// Where it goes.
    pub url: String,
    /// The JSON.
    pub body: String,
}

/// What becomes of a post: a sentence says why it was not taken.
pub type Posting = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// How the host posts.
pub type Post = Arc<dyn Fn(WebhookCall) -> Posting + Send + Sync>;
