//! The host's own log, on standard error.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts the log. `filter` says what it holds, for example `info` or `apflow_engine=debug`; without
/// it, `usual` does. A plain log has no colours, not even on a terminal.
///
/// # Errors
///
/// What is wrong with the filter.
pub(crate) fn start(filter: Option<&str>, usual: &str, is_plain: bool) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter.unwrap_or(usual)).map_err(|error| error.to_string())?;
    let lines = fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && !is_plain)
        .with_target(false);
    let log = tracing_subscriber::registry().with(filter).with(filter_fn(is_the_hosts_own));
    let started = log.with(lines).try_init();
    // It fails only when a log was started before, which then serves as well.
    drop(started);
    Ok(())
}

/// Whether something is no detail of wasmtime's: it would log what guests pass to their imports, and
/// that may be a secret.
fn is_the_hosts_own(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("wasmtime") || *metadata.level() <= Level::INFO
}
