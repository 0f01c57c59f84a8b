//! The host's own log, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Starts the log. `filter` says what it holds, for example `info` or `apflow_engine=debug`; without
/// it, `usual` does. A plain log has no colours, not even on a terminal.
///
/// # Errors
///
/// What is wrong with the filter.
pub(crate) fn start(filter: Option<&str>, usual: &str, is_plain: bool) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter.unwrap_or(usual)).map_err(|error| error.to_string())?;
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && !is_plain)
        .with_target(false)
        .try_init();
    // It fails only when a log was started before, which then serves as well.
    drop(started);
    Ok(())
}
