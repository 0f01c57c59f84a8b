//! What a process costs: the baseline that the sandbox is measured against.

use std::process::Stdio;
use std::time::{Duration, Instant};

/// Starts a program, waits for its end and says how long that took. None when it is not installed.
///
/// The standard library starts it by `posix_spawn`, the fastest way there is.
pub(super) fn time(program: &str, arguments: &[&str]) -> Option<Duration> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark measures what the host itself never does; no request leads here"
    )]
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().ok()?;
    let took = started.elapsed();
    status.success().then_some(took)
}
