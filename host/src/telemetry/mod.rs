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

use apflow_model::metric::Page;
use apflow_model::telemetry::{LogFormat, OtlpSettings, TelemetrySettings};
use tokio::task::JoinHandle;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use lines::Lines;
use otlp::{Fates, Queue};
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
    exporting: Mutex<Exporting>,
}

/// Where spans are sent at present.
#[derive(Default)]
struct Exporting {
    to: Option<OtlpSettings>,
    sending: Option<JoinHandle<()>>,
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
        let (fates, exporting) = (Arc::default(), Mutex::default());
        let started = Telemetry { typed, filter: handle, is_json, spans, fates, exporting };
        // It fails only when a log was started before, which then serves as well.
        TELEMETRY.set(started).unwrap_or_default();
    }
    Ok(())
}

/// Whether these settings can be taken.
///
/// # Errors
///
/// What is wrong with them.
pub(crate) fn check(settings: &TelemetrySettings) -> Result<(), String> {
    settings.log.as_deref().map(read_filter).transpose()?;
    let collector = settings.otlp.as_ref().map(otlp::Collector::new).transpose();
    collector.map(drop).map_err(|error| error.to_string())
}

/// Takes settings: from now on the log and the export of spans are as they say. It must be called
/// within a runtime.
///
/// # Errors
///
/// What is wrong with them. Nothing is changed then.
pub(crate) fn configure(settings: &TelemetrySettings) -> Result<(), String> {
    check(settings)?;
    let Some(telemetry) = TELEMETRY.get() else { return Ok(()) };
    let typed = &telemetry.typed;
    let filter = typed.filter.as_deref().or(settings.log.as_deref()).unwrap_or(typed.usual);
    telemetry.filter.reload(read_filter(filter)?).map_err(|error| error.to_string())?;
    let format = typed.format.unwrap_or(settings.log_format);
    telemetry.is_json.store(format == LogFormat::Json, Ordering::Relaxed);
    telemetry.export(settings.otlp.as_ref())
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

/// Shows what the process uses, and what becomes of its spans.
pub(crate) fn show_metrics(page: &mut Page) {
    process::show_metrics(page);
    if let Some(telemetry) = TELEMETRY.get() {
        telemetry.fates.show_metrics(page);
    }
}

impl Telemetry {
    fn export(&self, to: Option<&OtlpSettings>) -> Result<(), String> {
        let mut exporting = self.exporting();
        if exporting.to.as_ref() == to {
            return Ok(());
        }
        let started = to.map(|to| Queue::start(to, Arc::clone(&self.fates)));
        let started = started.transpose().map_err(|error| error.to_string())?;
        let (queue, sending) = started.unzip();
        let sample = to.map_or(0.0, |to| to.sample.0);
        // The task of the queue before ends by itself, once it has sent what waits.
        self.spans.export(queue.map(|queue| Export { queue, sample }));
        *exporting = Exporting { to: to.cloned(), sending };
        Ok(())
    }

    fn exporting(&self) -> std::sync::MutexGuard<'_, Exporting> {
        self.exporting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
