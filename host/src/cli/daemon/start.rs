//! `daemon start`.

use std::process::Child;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::{Daemon, process};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::daemon::{self, LOG_FILE, Present};

/// How often to look whether it answers.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many lines of the log say why it did not start.
const REASON_LINES: usize = 10;
/// How long one that did not start in time may take to end.
const END_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// How many seconds to wait until it answers.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    wait: u32,
    /// The address to listen on.
    #[arg(long)]
    host: Option<std::net::IpAddr>,
    /// The port to listen on; 0 for any free one.
    #[arg(long)]
    port: Option<u16>,
    /// More options of `serve`, after `--`.
    #[arg(last = true, value_name = "OPTION")]
    more: Vec<String>,
}

impl Start {
    /// These options, or those of the daemon that ran, when there are none.
    pub(super) fn or_as(self, before: Option<Present>) -> Self {
        let is_silent = self.host.is_none() && self.port.is_none() && self.more.is_empty();
        match before {
            Some(before) if is_silent => Self { more: before.arguments, ..self },
            _ => self,
        }
    }

    /// What `serve` is told.
    fn options(&self) -> Vec<String> {
        let host = self.host.map(|host| vec!["--host".to_owned(), host.to_string()]);
        let port = self.port.map(|port| vec!["--port".to_owned(), port.to_string()]);
        [host, port].into_iter().flatten().flatten().chain(self.more.iter().cloned()).collect()
    }
}

pub(super) async fn run(
    daemon: &Daemon,
    typed: Vec<String>,
    asked: Start,
    output: &Output,
) -> Result<Exit, CliError> {
    if let Some(present) = daemon.find()? {
        daemon.tell(Some(&present), output);
        output.note("it runs already: `apflow-host daemon restart` starts it anew");
        return Ok(Exit::Ok);
    }
    let log = daemon::open_log(&daemon.folder).map_err(|source| daemon.unusable(source))?;
    let (_, written) = daemon::tail(&daemon.folder, 0).map_err(|source| daemon.unusable(source))?;
    let arguments: Vec<String> = typed
        .into_iter()
        .chain(["serve".to_owned(), "--daemon".to_owned()])
        .chain(asked.options())
        .collect();
    let mut child = process::start(&arguments, log)
        .map_err(|source| CliError::Io { what: "the daemon".to_owned(), source })?;
    let deadline = Instant::now() + Duration::from_secs(asked.wait.into());
    loop {
        if let Some(present) = daemon.find()?.filter(|present| present.pid == child.id())
            && present.url.is_some()
        {
            daemon.tell(Some(&present), output);
            return Ok(Exit::Ok);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(daemon, written, &format!("the daemon did not start: {status}")));
        }
        if Instant::now() >= deadline {
            end(&mut child).await;
            let wait = asked.wait;
            let what = format!("the daemon did not answer within {wait} s, so it was stopped");
            return Err(failed(daemon, written, &what));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Ends one that did not start in time.
async fn end(child: &mut Child) {
    if let Ok(Some(process)) = process::Process::open(child.id()) {
        drop(process.end());
        let deadline = Instant::now() + END_MAX;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
    }
    drop(child.kill());
    drop(child.wait());
}

/// Why it did not start, in its own words: the last lines that it wrote.
fn failed(daemon: &Daemon, written: u64, what: &str) -> CliError {
    let said = match daemon::tail(&daemon.folder, REASON_LINES) {
        Ok((lines, size)) if size > written => lines.join("\n  "),
        _ => "it said nothing".to_owned(),
    };
    let log = daemon.path.join(LOG_FILE);
    CliError::Daemon(format!("{what}\n  {said}\n  the whole log: {}", log.display()))
}
