//! What the host says of itself: its log on standard error, the spans of its traces, and what it
//! uses. There is one of each for a process.

mod ended;
mod lines;
pub(crate) mod otlp;
mod process;
pub(crate) mod spans;

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use apflow_api::SystemClock;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::metric::Page;
use apflow_model::telemetry::{
    Destination, Exports, LogFormat, MetricExport, SpanExport, TelemetrySettings,
};
use tokio::task::JoinHandle;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use lines::Lines;
use otlp::{Collector, CollectorFault, Fates, Pulse, Queue, Source};
pub(crate) use process::name;
use spans::{Export, Spans, is_of_trace};

/// The longest that the end of the host waits for its last spans to be sent.
const LAST_SPANS_MAX: Duration = Duration::from_secs(2);

static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// What of the log was typed, and how it may be changed.
struct Telemetry {
    typed: Typed,
    filter: reload::Handle<EnvFilter, Registry>,
    is_json: Arc<AtomicBool>,
    spans: Spans,
    fates: Arc<Fates>,
    begun: Timestamp,
    exporting: Mutex<Exporting>,
}

/// What is sent at present, and where.
#[derive(Default)]
struct Exporting {
    spans: Option<SpanExport>,
    sending: Option<JoinHandle<()>>,
    /// What metrics are read from. None where nothing is measured.
    source: Option<Source>,
    metrics: Option<MetricExport>,
    pulse: Option<Pulse>,
}

/// Why settings cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("`{said_by}`: {reason}")]
pub(crate) struct Refused {
    /// The key of `config.yaml`, or the variable, that says what cannot be taken.
    pub(crate) said_by: &'static str,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl Refused {
    /// The variable that is at fault. None when `config.yaml` is.
    pub(crate) fn variable(&self) -> Option<&'static str> {
        self.said_by.starts_with("OTEL_").then_some(self.said_by)
    }
}

/// What the command line says of the log. It wins over `config.yaml`.
pub(crate) struct Typed {
    /// What the log holds, for example `info` or `apflow_engine=debug`.
    pub(crate) filter: Option<String>,
    /// What it holds when nobody says.
    pub(crate) usual: &'static str,
    /// How its lines are written.
    pub(crate) format: Option<LogFormat>,
    /// Whether it has no colours, not even on a terminal.
    pub(crate) is_plain: bool,
}

/// Starts the log.
///
/// # Errors
///
/// What is wrong with the filter.
pub(crate) fn start(typed: Typed) -> Result<(), String> {
    let filter = read_filter(typed.filter.as_deref().unwrap_or(typed.usual))?;
    let (filter, handle) = reload::Layer::new(filter);
    let is_json = Arc::new(AtomicBool::new(typed.format == Some(LogFormat::Json)));
    let text = format::Format::default().with_target(false);
    let lines = fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && !typed.is_plain)
        .event_format(Lines { is_json: Arc::clone(&is_json), text });
    // Spans of traces belong to every line, whatever the log holds: they say what it is about.
    let own = filter.or(filter_fn(is_of_trace)).and(filter_fn(is_the_hosts_own));
    let spans = Spans::new();
    let traces = spans.clone().with_filter(filter_fn(is_of_trace));
    let log = tracing_subscriber::registry().with(lines.with_filter(own)).with(traces);
    if log.try_init().is_ok() {
        let (fates, exporting, begun) = (Arc::default(), Mutex::default(), SystemClock.now());
        let started = Telemetry { typed, filter: handle, is_json, spans, fates, begun, exporting };
        // It fails only when a log was started before, which then serves as well.
        TELEMETRY.set(started).unwrap_or_default();
    }
    Ok(())
}

/// Says what metrics are read from. It is asked whenever they are sent, from the next
/// [`configure`] on.
pub(crate) fn measure(source: Source) {
    if let Some(telemetry) = TELEMETRY.get() {
        telemetry.exporting().source = Some(source);
    }
}

/// Whether these settings can be taken.
///
/// # Errors
///
/// What is wrong with them.
pub(crate) fn check(settings: &TelemetrySettings, exports: &Exports) -> Result<(), Refused> {
    let log = settings.log.as_deref().map(read_filter).transpose();
    log.map_err(|reason| Refused { said_by: "telemetry.log", reason })?;
    let spans = exports.spans.as_ref().map(|export| &export.to);
    let metrics = exports.metrics.as_ref().map(|export| &export.to);
    for to in spans.into_iter().chain(metrics) {
        Collector::new(to).map_err(|error| refused(to, &error))?;
    }
    Ok(())
}

/// Takes settings: from now on the log and what is sent are as they say. It must be called within a
/// runtime.
///
/// # Errors
///
/// What is wrong with them. Nothing is changed then.
pub(crate) fn configure(settings: &TelemetrySettings, exports: &Exports) -> Result<(), Refused> {
    check(settings, exports)?;
    let Some(telemetry) = TELEMETRY.get() else { return Ok(()) };
    let typed = &telemetry.typed;
    let filter = typed.filter.as_deref().or(settings.log.as_deref()).unwrap_or(typed.usual);
    let failed = |reason| Refused { said_by: "telemetry.log", reason };
    let filter = read_filter(filter).map_err(failed)?;
    telemetry.filter.reload(filter).map_err(|error| failed(error.to_string()))?;
    let format = typed.format.unwrap_or(settings.log_format);
    telemetry.is_json.store(format == LogFormat::Json, Ordering::Relaxed);
    telemetry.export_spans(exports.spans.as_ref())?;
    telemetry.export_metrics(exports.metrics.as_ref())
}

/// Sends the last metrics, and no more from then on. What they are read from must still be there.
pub(crate) async fn close_metrics() {
    let Some(telemetry) = TELEMETRY.get() else { return };
    let pulse = {
        let mut exporting = telemetry.exporting();
        exporting.source = None;
        exporting.pulse.take()
    };
    if let Some(pulse) = pulse {
        pulse.end().await;
    }
}

/// Sends the last spans, and no more from then on.
pub(crate) async fn close() {
    let Some(telemetry) = TELEMETRY.get() else { return };
    telemetry.spans.export(None);
    let sending = telemetry.exporting().sending.take();
    if let Some(sending) = sending {
        // A collector that takes longer does not keep the host from ending.
        drop(tokio::time::timeout(LAST_SPANS_MAX, sending).await);
    }
}

/// Shows what the process uses, and what becomes of its spans and metrics.
pub(crate) fn show_metrics(page: &mut Page) {
    process::show_metrics(page);
    if let Some(telemetry) = TELEMETRY.get() {
        telemetry.fates.show_metrics(page);
    }
}

impl Telemetry {
    fn export_spans(&self, export: Option<&SpanExport>) -> Result<(), Refused> {
        let mut exporting = self.exporting();
        if exporting.spans.as_ref() == export {
            return Ok(());
        }
        let start = |export: &SpanExport| {
            let started = Queue::start(&export.to, Arc::clone(&self.fates));
            started.map_err(|error| refused(&export.to, &error))
        };
        let (queue, sending) = export.map(start).transpose()?.unzip();
        let sample = export.map_or(0.0, |export| export.sample.0);
        // The task of the queue before ends by itself, once it has sent what waits.
        self.spans.export(queue.map(|queue| Export { queue, sample }));
        exporting.spans = export.cloned();
        exporting.sending = sending;
        Ok(())
    }

    fn export_metrics(&self, export: Option<&MetricExport>) -> Result<(), Refused> {
        let mut exporting = self.exporting();
        if exporting.metrics.as_ref() == export {
            return Ok(());
        }
        let Some(source) = exporting.source.clone() else { return Ok(()) };
        let start = |export: &MetricExport| {
            let started = Pulse::start(export, source, self.begun, Arc::clone(&self.fates));
            started.map_err(|error| refused(&export.to, &error))
        };
        // The one before ends by itself, with what was counted until now.
        exporting.pulse = export.map(start).transpose()?;
        exporting.metrics = export.cloned();
        Ok(())
    }

    fn exporting(&self) -> std::sync::MutexGuard<'_, Exporting> {
        self.exporting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(to: &Destination, error: &CollectorFault) -> Refused {
    Refused { said_by: to.said_by, reason: error.to_string() }
}

fn read_filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(text)
        .map_err(|error| format!("`{text}` is no filter of the log, such as `info`: {error}"))
}

/// Whether something is no detail of wasmtime's: it would log what guests pass to their imports, and
/// that may be a secret.
fn is_the_hosts_own(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("wasmtime") || *metadata.level() <= Level::INFO
}
