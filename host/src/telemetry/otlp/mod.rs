//! Sends spans and metrics to a collector, by OTLP over HTTP with JSON.
//!
//! A collector that is slow or gone costs the host nothing but spans: they wait in a queue of fixed
//! length, what does not fit is dropped, and what is dropped is counted. Metrics do not wait: a later
//! page says all that an earlier one did.

mod encode;
mod encode_page;
mod post;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use apflow_model::metric::{Counter, Page};
use apflow_model::telemetry::Destination;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::ended::Ended;
pub(crate) use post::{Collector, CollectorFault};
pub(crate) use pulse::{Pulse, Source};

/// The most spans that wait to be sent.
const SPANS_WAITING_MAX: usize = 4_096;
/// The most spans of one request.
const SPANS_PER_REQUEST_MAX: usize = 512;
/// The longest that a span waits for others to go with it.
const GATHER: Duration = Duration::from_secs(1);
/// The longest that a request may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often a request is tried, and how long the first wait between is; each next is twice as long.
const TRIES: u32 = 3;
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What becomes of spans and metrics.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    sent: Counter,
    /// The queue was full.
    dropped: Counter,
    /// The collector did not take them.
    failed: Counter,
    pages_sent: Counter,
    /// The collector did not take them.
    pages_failed: Counter,
}

impl Fates {
    pub(super) fn show_metrics(&self, page: &mut Page) {
        let help = "Spans, by what became of them: sent, dropped from a full queue, or not taken.";
        page.counter("apflow_otlp_spans_total", help)
            .show(&[("outcome", "sent")], self.sent.get())
            .show(&[("outcome", "dropped")], self.dropped.get())
            .show(&[("outcome", "failed")], self.failed.get());
        let help = "Pages of metrics, by what became of them: sent, or not taken.";
        page.counter("apflow_otlp_pages_total", help)
            .show(&[("outcome", "sent")], self.pages_sent.get())
            .show(&[("outcome", "failed")], self.pages_failed.get());
    }
}

/// The way to the collector.
pub(crate) struct Queue {
    spans: mpsc::Sender<Ended>,
    fates: Arc<Fates>,
}

impl Queue {
    /// Starts the task that sends. It ends once the queue is dropped and what waits is sent.
    pub(crate) fn start(
        to: &Destination,
        fates: Arc<Fates>,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), CollectorFault> {
        let collector = Collector::new(to)?;
        let (spans, waiting) = mpsc::channel(SPANS_WAITING_MAX);
        let sending = tokio::spawn(send(collector, waiting, Arc::clone(&fates)));
        Ok((Self { spans, fates }, sending))
    }

    /// Has a span sent, unless too many wait.
    pub(crate) fn put(&self, span: Ended) {
        match self.spans.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.fates.dropped.count(),
        }
    }
}

async fn send(collector: Collector, mut waiting: mpsc::Receiver<Ended>, fates: Arc<Fates>) {
    let mut taking = Taking::of("spans");
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        // Running out of time is fine: what has come goes.
        timeout(GATHER, gather(&mut waiting, &mut batch)).await.unwrap_or_default();
        let (count, body) = (batch.len() as u64, encode::request(&batch));
        let sent = deliver(&collector, &body).await;
        if sent.is_ok() { &fates.sent } else { &fates.failed }.add(count);
        taking.tell(sent);
    }
}

/// Whether a collector takes what is sent. It is told once, or one that is gone would fill the log.
struct Taking {
    what: &'static str,
    is_well: bool,
}

impl Taking {
    fn of(what: &'static str) -> Self {
        Self { what, is_well: true }
    }

    fn tell(&mut self, sent: Result<(), CollectorFault>) {
        let (what, was_well) = (self.what, self.is_well);
        self.is_well = sent.is_ok();
        match sent {
            Ok(()) if !was_well => tracing::info!("the collector takes {what} again"),
            Err(error) if was_well => tracing::warn!(%error, "the collector takes no {what}"),
            Ok(()) | Err(_) => {}
        }
    }
}

/// Waits for more, until the batch is full or no more can come.
async fn gather(waiting: &mut mpsc::Receiver<Ended>, batch: &mut Vec<Ended>) {
    while batch.len() < SPANS_PER_REQUEST_MAX {
        let room = SPANS_PER_REQUEST_MAX - batch.len();
        if waiting.recv_many(batch, room).await == 0 {
            return;
        }
    }
}

async fn deliver(collector: &Collector, body: &str) -> Result<(), CollectorFault> {
    let mut wait = TRY_AGAIN;
    for _ in 1..TRIES {
        match post(collector, body).await {
            Err(error) if error.may_pass() => {}
            done => return done,
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    post(collector, body).await
}

async fn post(collector: &Collector, body: &str) -> Result<(), CollectorFault> {
    let posting = timeout(ANSWER_MAX, collector.post(body.to_owned()));
    posting.await.unwrap_or(Err(CollectorFault::Silent))
}
