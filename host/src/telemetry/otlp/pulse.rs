//! Sends the page of metrics again and again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apflow_api::SystemClock;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::metric::Page;
use apflow_model::telemetry::MetricExport;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{Collector, CollectorFault, Fates, Taking, deliver, encode_page};

/// The longest that the end of the host waits for its last page to be sent.
const LAST_PAGE_MAX: Duration = Duration::from_secs(2);

/// Reads the page of metrics.
pub(crate) type Source = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Page> + Send>> + Send + Sync>;

/// What sends the page. Once it is dropped, one more goes, and then none.
pub(crate) struct Pulse {
    goes_on: oneshot::Sender<()>,
    sending: JoinHandle<()>,
}

impl Pulse {
    /// Starts the task that sends what `source` says. Its counters began with the process.
    pub(crate) fn start(
        export: &MetricExport,
        source: Source,
        begun: Timestamp,
        fates: Arc<Fates>,
    ) -> Result<Self, CollectorFault> {
        let collector = Collector::new(&export.to)?;
        let (goes_on, ended) = oneshot::channel::<()>();
        let taking = Taking::of("metrics");
        let mut sender = Sender { collector, source, begun, fates, taking };
        let period = export.period;
        let sending = tokio::spawn(async move {
            // A page that is under way is left: the last one says all that it does.
            tokio::select! {
                () = sender.send_every(period) => {}
                _ = ended => {}
            }
            sender.send().await;
        });
        Ok(Self { goes_on, sending })
    }

    /// Sends the last page, unless the collector takes too long for it.
    pub(crate) async fn end(self) {
        drop(self.goes_on);
        drop(timeout(LAST_PAGE_MAX, self.sending).await);
    }
}

struct Sender {
    collector: Collector,
    source: Source,
    begun: Timestamp,
    fates: Arc<Fates>,
    taking: Taking,
}

impl Sender {
    async fn send_every(&mut self, period: Duration) {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send().await;
        }
    }

    async fn send(&mut self) {
        let page = (self.source)().await;
        let body = encode_page::request(&page, self.begun, SystemClock.now());
        let sent = deliver(&self.collector, &body).await;
        if sent.is_ok() { &self.fates.pages_sent } else { &self.fates.pages_failed }.count();
        self.taking.tell(sent);
    }
}
